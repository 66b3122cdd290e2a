//! One SCTP endpoint over whichever stack there is.

mod config;
mod staggered;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::sync::mpsc;

pub use config::{ConnectOptions, EndpointConfig, SCTP_ENCAPSULATION_PORT, Stack};

#[cfg(feature = "kernel-sctp")]
use crate::kernel;
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
    #[cfg(feature = "kernel-sctp")]
    Kernel(kernel::Endpoint),
    /// One UDP socket and thread for each local address.
    Userland(Arc<[userland::Endpoint]>),
}

impl Endpoint {
    /// Opens the local addresses. The error names address and port. One INFO line says which stack it is
    /// and why.
    pub fn bind(config: EndpointConfig) -> io::Result<Endpoint> {
        let backlog = config.backlog.max(1);
        let address = config.address;
        let (stack, reason) = choose(config.stack)?;
        let back_end = match stack {
            #[cfg(feature = "kernel-sctp")]
            Stack::Kernel => BackEnd::Kernel(kernel::Endpoint::bind(config)?),
            _ => BackEnd::Userland(bind_userland(&config)?),
        };
        let endpoint = Endpoint { back_end, backlog };
        let udp_port = match endpoint.local_address().port() {
            0 => "none; sysctl -w net.sctp.udp_port=9899 lets peers with userland SCTP in".to_owned(),
            port => port.to_string(),
        };
        tracing::info!(%stack, reason, %address, udp_port, "SCTP endpoint");
        Ok(endpoint)
    }

    /// Accepts associations at an SCTP port of every local address; 0 takes a free one. Fails if the port
    /// is taken.
    pub async fn listen(&self, port: u16) -> io::Result<Listener> {
        match &self.back_end {
            #[cfg(feature = "kernel-sctp")]
            BackEnd::Kernel(endpoint) => endpoint.listen(port, kernel::Acknowledge::AsRecommended),
            BackEnd::Userland(endpoints) => listen(endpoints, port, self.backlog).await,
        }
    }

    /// As [`Endpoint::listen`], for a server that answers nearly every message at once: its answers carry the SACKs.
    ///
    /// Kernel SCTP sends a SACK of its own after 16 packets without an answer, or after the profile's delay, instead
    /// of after every second packet as RFC 9260 section 6.2 recommends. Not for peers that send much without being
    /// answered: they would wait for the delay until their congestion window has grown. Userland SCTP listens as ever.
    pub async fn listen_for_requests(&self, port: u16) -> io::Result<Listener> {
        match &self.back_end {
            #[cfg(feature = "kernel-sctp")]
            BackEnd::Kernel(endpoint) => endpoint.listen(port, kernel::Acknowledge::WithAnswers),
            BackEnd::Userland(endpoints) => listen(endpoints, port, self.backlog).await,
        }
    }

    /// Sets up an association; returns once it is up. Cancel safe: a connect that is dropped is aborted.
    ///
    /// Kernel SCTP reaches a peer that has an encapsulation port natively or, tried a little later, through
    /// UDP; userland SCTP only through UDP.
    pub async fn connect(&self, peer: PeerAddress) -> Result<Association, ConnectError> {
        match &self.back_end {
            #[cfg(feature = "kernel-sctp")]
            BackEnd::Kernel(endpoint) => endpoint.connect(&[peer], ConnectOptions::default()).await,
            BackEnd::Userland(endpoints) => connect(endpoints, peer).await,
        }
    }

    /// Sets up an association with a peer that has several addresses.
    ///
    /// Kernel SCTP uses all of them for one association (multihoming). Userland SCTP has one path: it tries the
    /// addresses in turn, 250 ms apart and without waiting for the end of those before, takes the first one
    /// that is up and says at INFO which (RFC 8305 section 5). Addresses it has no local address for are left
    /// out. The error is that of the last address that failed. Cancel safe like [`Endpoint::connect`].
    pub async fn connect_any(&self, peers: &[PeerAddress]) -> Result<Association, ConnectError> {
        self.connect_with(peers, ConnectOptions::default()).await
    }

    /// As [`Endpoint::connect_any`], with options. Fails with [`ConnectError::Exists`] beside an association
    /// between the same ports.
    pub async fn connect_with(
        &self,
        peers: &[PeerAddress],
        options: ConnectOptions,
    ) -> Result<Association, ConnectError> {
        match &self.back_end {
            #[cfg(feature = "kernel-sctp")]
            BackEnd::Kernel(endpoint) => endpoint.connect(peers, options).await,
            BackEnd::Userland(endpoints) => connect_staggered(endpoints, peers, options).await,
        }
    }

    /// Aborts every association and stops; the addresses are free again soon after.
    pub fn close(&self) {
        match &self.back_end {
            #[cfg(feature = "kernel-sctp")]
            BackEnd::Kernel(endpoint) => endpoint.close(),
            BackEnd::Userland(endpoints) => endpoints.iter().for_each(userland::Endpoint::close),
        }
    }

    /// The first local address, with the UDP port in use where 0 was asked for; port 0 for native SCTP.
    pub fn local_address(&self) -> SocketAddr {
        match &self.back_end {
            #[cfg(feature = "kernel-sctp")]
            BackEnd::Kernel(endpoint) => endpoint.local_address(),
            BackEnd::Userland(endpoints) => endpoints[0].local_address(),
        }
    }

    /// How a peer reaches an SCTP port of this endpoint, at its first address.
    pub fn peer_address(&self, port: u16) -> PeerAddress {
        match &self.back_end {
            #[cfg(feature = "kernel-sctp")]
            BackEnd::Kernel(endpoint) => endpoint.peer_address(port),
            BackEnd::Userland(endpoints) => endpoints[0].peer_address(port),
        }
    }

    /// How a peer reaches an SCTP port of this endpoint, at each of its addresses.
    pub fn peer_addresses(&self, port: u16) -> Vec<PeerAddress> {
        match &self.back_end {
            #[cfg(feature = "kernel-sctp")]
            BackEnd::Kernel(endpoint) => endpoint.peer_addresses(port),
            BackEnd::Userland(endpoints) => endpoints.iter().map(|e| e.peer_address(port)).collect(),
        }
    }

    /// The stack in use, never [`Stack::Auto`].
    pub fn stack(&self) -> Stack {
        match &self.back_end {
            #[cfg(feature = "kernel-sctp")]
            BackEnd::Kernel(_) => Stack::Kernel,
            BackEnd::Userland(_) => Stack::Userland,
        }
    }

    /// What was counted so far, over all addresses. Of kernel SCTP only the associations and how they
    /// ended; packets are counted in `/proc/net/sctp/snmp`.
    pub fn counters(&self) -> Counters {
        match &self.back_end {
            #[cfg(feature = "kernel-sctp")]
            BackEnd::Kernel(endpoint) => endpoint.counters(),
            BackEnd::Userland(endpoints) => {
                endpoints.iter().fold(Counters::default(), |sum, endpoint| sum + endpoint.counters())
            }
        }
    }
}

/// Returns the stack that an endpoint uses which is configured for `stack`, and why. Fails where that is not to be had.
pub fn choose(stack: Stack) -> io::Result<(Stack, String)> {
    match (stack, kernel_sctp()) {
        (Stack::Userland, _) => Ok((Stack::Userland, "as configured".to_owned())),
        (Stack::Kernel, Ok(())) => Ok((Stack::Kernel, "as configured".to_owned())),
        (Stack::Kernel, Err(error)) => {
            Err(io::Error::new(error.kind(), format!("stack \"kernel\": {error}; or take \"userland\"")))
        }
        (Stack::Auto, Ok(())) => Ok((Stack::Kernel, "auto: the kernel has SCTP".to_owned())),
        (Stack::Auto, Err(error)) => Ok((Stack::Userland, format!("auto: {error}"))),
    }
}

#[cfg(feature = "kernel-sctp")]
fn kernel_sctp() -> io::Result<()> {
    kernel::available()
}

#[cfg(not(feature = "kernel-sctp"))]
fn kernel_sctp() -> io::Result<()> {
    let error = "this build has no kernel SCTP (cargo feature kernel-sctp)";
    Err(io::Error::new(io::ErrorKind::Unsupported, error))
}

fn bind_userland(config: &EndpointConfig) -> io::Result<Arc<[userland::Endpoint]>> {
    // A free UDP port is that of the first address at the others too: peers are told one.
    let mut encapsulation = config.encapsulation;
    let bind = |address| {
        let endpoint = userland::Endpoint::bind(EndpointConfig { address, encapsulation, ..config.clone() })?;
        encapsulation = endpoint.local_address().port();
        Ok(endpoint)
    };
    config.addresses().map(bind).collect()
}

async fn listen(endpoints: &Arc<[userland::Endpoint]>, port: u16, backlog: usize) -> io::Result<Listener> {
    let port = if port == 0 { userland::ephemeral_port()? } else { port };
    let (incoming, accepted) = mpsc::channel(backlog);
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

async fn connect(endpoints: &[userland::Endpoint], peer: PeerAddress) -> Result<Association, ConnectError> {
    let ip = peer.ip().ok_or(ConnectError::Address(peer))?;
    facing(endpoints, ip).ok_or(ConnectError::Address(peer))?.connect(peer, None).await
}

async fn connect_staggered(
    endpoints: &[userland::Endpoint],
    peers: &[PeerAddress],
    options: ConnectOptions,
) -> Result<Association, ConnectError> {
    let attempts: Vec<_> = peers
        .iter()
        .filter_map(|&peer| {
            let endpoint = facing(endpoints, peer.ip()?)?.clone();
            let port = options.port_towards(&[peer], &[endpoint.local_address().ip()]);
            Some(async move { endpoint.connect(peer, port).await })
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
