//! One SCTP endpoint over whichever stack there is.

mod config;
mod staggered;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::sync::mpsc;

pub use config::{EndpointConfig, SCTP_ENCAPSULATION_PORT, Stack};

use crate::listener::Stop;
use crate::{Association, ConnectError, Counters, Listener, PeerAddress, userland};

/// An SCTP endpoint: local addresses, on which SCTP ports listen and from which associations go out.
///
/// A cheap handle. The endpoint lives as long as a handle, a listener or an association does, or until
/// [`Endpoint::close`].
#[derive(Clone)]
pub struct Endpoint {
    back_end: BackEnd,
    backlog: usize,
}

#[derive(Clone)]
enum BackEnd {
    /// One UDP socket and thread for each local address.
    Userland(Arc<[userland::Endpoint]>),
}

impl Endpoint {
    /// Opens the local addresses. The error names address and port.
    pub fn bind(config: EndpointConfig) -> io::Result<Endpoint> {
        if config.stack == Stack::Kernel {
            let error = "this build has no kernel SCTP (cargo feature kernel-sctp); take stack \"userland\"";
            return Err(io::Error::new(io::ErrorKind::Unsupported, error));
        }
        let backlog = config.backlog.max(1);
        let bind = |address| userland::Endpoint::bind(EndpointConfig { address, ..config.clone() });
        let endpoints = config.addresses().map(bind).collect::<io::Result<_>>()?;
        Ok(Endpoint { back_end: BackEnd::Userland(endpoints), backlog })
    }

    /// Accepts associations at an SCTP port of every local address; 0 takes a free one. Fails if the port
    /// is taken.
    pub async fn listen(&self, port: u16) -> io::Result<Listener> {
        let BackEnd::Userland(endpoints) = &self.back_end;
        let port = if port == 0 { userland::ephemeral_port()? } else { port };
        let (incoming, accepted) = mpsc::channel(self.backlog);
        for (listening, endpoint) in endpoints.iter().enumerate() {
            if let Err(error) = endpoint.listen(port, incoming.clone()).await {
                endpoints[..listening].iter().for_each(|endpoint| endpoint.unlisten(port));
                return Err(error);
            }
        }
        let listening = Arc::clone(endpoints);
        let stop = move || listening.iter().for_each(|endpoint| endpoint.unlisten(port));
        Ok(Listener::new(accepted, endpoints[0].peer_address(port), Stop(Arc::new(stop))))
    }

    /// Sets up an association; returns once it is up. Cancel safe: a connect that is dropped is aborted.
    pub async fn connect(&self, peer: PeerAddress) -> Result<Association, ConnectError> {
        let BackEnd::Userland(endpoints) = &self.back_end;
        let ip = peer.ip().ok_or(ConnectError::Address(peer))?;
        let endpoint = facing(endpoints, ip).ok_or(ConnectError::Address(peer))?;
        endpoint.connect(peer).await
    }

    /// Sets up an association with a peer that has several addresses. Userland SCTP has one path: it tries the
    /// addresses in turn, 250 ms apart and without waiting for the end of those before, takes the first one
    /// that is up and says at INFO which (RFC 8305 section 5). Addresses it has no local address for are left
    /// out. The error is that of the last address that failed. Cancel safe like [`Endpoint::connect`].
    pub async fn connect_any(&self, peers: &[PeerAddress]) -> Result<Association, ConnectError> {
        let BackEnd::Userland(endpoints) = &self.back_end;
        let attempts: Vec<_> = peers
            .iter()
            .filter_map(|&peer| {
                let endpoint = facing(endpoints, peer.ip()?)?.clone();
                Some(async move { endpoint.connect(peer).await })
            })
            .collect();
        let first = peers.first().ok_or(ConnectError::NoAddress)?;
        let outcome = staggered::first_up(attempts).await.unwrap_or(Err(ConnectError::Address(*first)));
        if let (Ok(association), true) = (&outcome, peers.len() > 1) {
            let (peer, addresses) = (association.peer(), peers.len());
            tracing::info!(%peer, addresses, "userland SCTP has one path: this one");
        }
        outcome
    }

    /// Aborts every association and stops; the addresses are free again soon after.
    pub fn close(&self) {
        let BackEnd::Userland(endpoints) = &self.back_end;
        endpoints.iter().for_each(userland::Endpoint::close);
    }

    /// The first local address, with the UDP port in use where 0 was asked for; port 0 for native SCTP.
    pub fn local_address(&self) -> SocketAddr {
        let BackEnd::Userland(endpoints) = &self.back_end;
        endpoints[0].local_address()
    }

    /// How a peer reaches an SCTP port of this endpoint, at its first address.
    pub fn peer_address(&self, port: u16) -> PeerAddress {
        let BackEnd::Userland(endpoints) = &self.back_end;
        endpoints[0].peer_address(port)
    }

    /// How a peer reaches an SCTP port of this endpoint, at each of its addresses.
    pub fn peer_addresses(&self, port: u16) -> Vec<PeerAddress> {
        let BackEnd::Userland(endpoints) = &self.back_end;
        endpoints.iter().map(|endpoint| endpoint.peer_address(port)).collect()
    }

    /// The stack in use, never [`Stack::Auto`].
    pub fn stack(&self) -> Stack {
        let BackEnd::Userland(_) = &self.back_end;
        Stack::Userland
    }

    /// What was counted so far, over all addresses.
    pub fn counters(&self) -> Counters {
        let BackEnd::Userland(endpoints) = &self.back_end;
        endpoints.iter().fold(Counters::default(), |sum, endpoint| sum + endpoint.counters())
    }
}

/// The endpoint at the local address this host would use towards `peer`; any of the family else.
fn facing(endpoints: &[userland::Endpoint], peer: IpAddr) -> Option<&userland::Endpoint> {
    let of_family = || endpoints.iter().filter(|e| e.local_address().is_ipv4() == peer.is_ipv4());
    if of_family().nth(1).is_none() {
        return of_family().next();
    }
    let towards = route(peer).ok();
    of_family().find(|e| Some(e.local_address().ip()) == towards).or_else(|| of_family().next())
}

/// The local address this host would use towards `peer`; nothing is sent.
fn route(peer: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if peer.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let probe = UdpSocket::bind((any, 0))?;
    probe.connect((peer, SCTP_ENCAPSULATION_PORT))?;
    Ok(probe.local_addr()?.ip())
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.local_address())
    }
}
