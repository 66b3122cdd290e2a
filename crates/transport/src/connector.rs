//! Reaches peers over whichever transport their address names.

use std::sync::{Arc, OnceLock};

use crate::{Association, ConnectError, ConnectOptions, Endpoint, PeerAddress, tcp, tls};

/// How this process reaches peers. A peer is reached by the transport its address names or not at all:
/// never over TCP where TLS is asked for (RFC 5355 threat 9).
#[derive(Clone, Debug, Default)]
pub struct Connector {
    /// Where SCTP goes out. Without one, SCTP peers are not reached.
    pub endpoint: Option<Endpoint>,
    /// The same where it is opened only later, as its local address is not known yet; `endpoint` comes first.
    pub later: Arc<OnceLock<Endpoint>>,
    /// How TCP goes out, and TLS over it.
    pub tcp: tcp::Options,
    /// Who this process is to TLS servers, and who they may be. Without it, they are not reached.
    pub tls: Option<tls::Client>,
}

impl Connector {
    /// Sets up an association. Fails with [`ConnectError::Address`] where there is nothing to reach such an
    /// address with. Cancel safe: a connect that is dropped is given up.
    pub async fn connect(&self, peer: PeerAddress) -> Result<Association, ConnectError> {
        self.connect_with(peer, ConnectOptions::default()).await
    }

    /// The same with options, which are SCTP's: other transports have none of them.
    pub async fn connect_with(
        &self,
        peer: PeerAddress,
        options: ConnectOptions,
    ) -> Result<Association, ConnectError> {
        match (peer, self.sctp(), &self.tls) {
            (PeerAddress::Sctp { .. }, Some(endpoint), _) => endpoint.connect_with(&[peer], options).await,
            (PeerAddress::Tcp(address), ..) => tcp::connect(address, self.tcp.clone()).await,
            (PeerAddress::Tls(address), _, Some(client)) => {
                tls::connect(address, self.tcp.clone(), &client.identity, &client.names).await
            }
            _ => Err(ConnectError::Address(peer)),
        }
    }

    /// Returns where SCTP goes out at present.
    fn sctp(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref().or_else(|| self.later.get())
    }

    /// Sets up an association with a peer that has several addresses, all of one transport: SCTP as its stack
    /// can ([`Endpoint::connect_any`]), the others at one after the other, and the error is that of the last.
    pub async fn connect_any(&self, peers: &[PeerAddress]) -> Result<Association, ConnectError> {
        if let ([PeerAddress::Sctp { .. }, ..], Some(endpoint)) = (peers, self.sctp()) {
            return endpoint.connect_any(peers).await;
        }
        let mut failure = ConnectError::NoAddress;
        for peer in peers {
            match self.connect(*peer).await {
                Ok(association) => return Ok(association),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

impl From<Option<Endpoint>> for Connector {
    fn from(endpoint: Option<Endpoint>) -> Connector {
        Connector { endpoint, ..Connector::default() }
    }
}
