//! Kernel SCTP (RFC 9260, RFC 3758, RFC 7496, RFC 6951) through one-to-one sockets (RFC 6458).
//!
//! The socket is tokio-sctp's; what that crate lacks goes through its descriptor. `sys` holds the system
//! calls, `options` and `notification` know the structures of `linux/sctp.h`, `connection` drives one
//! association, `ledger` knows what became of its messages, `connect` sets associations up.
//!
//! All local addresses belong to every association (multihoming). Whether SCTP in UDP works beside native
//! SCTP is a matter of the host: `sysctl net.sctp.udp_port`.

mod connect;
mod connection;
mod ledger;
mod notification;
mod options;
mod paths;
mod reader;
mod sockaddr;
mod socket;
mod sys;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

pub(crate) use socket::available;

use crate::listener::Stop;
use crate::userland::Cells;
use crate::{Association, ConnectError, ConnectOptions, Counters, EndpointConfig, Listener, PeerAddress};
use socket::Socket;

/// Policies of RFC 7496, as Linux numbers them.
const SCTP_PR_SCTP_NONE: u16 = 0;
const SCTP_PR_SCTP_TTL: u16 = 0x10;
const SCTP_PR_SCTP_RTX: u16 = 0x20;
const SCTP_PR_SCTP_PRIO: u16 = 0x30;

/// Packets after which a server that answers sends a SACK of its own: a few times what comes until its answers go out.
const ANSWERED: u32 = 16;

/// When messages are acknowledged that come in over a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Acknowledge {
    /// Every second packet (RFC 9260 section 6.2).
    AsRecommended,
    /// Together with what is sent.
    WithAnswers,
}

/// What the handles and the tasks share.
struct Shared {
    config: EndpointConfig,
    addresses: Vec<IpAddr>,
    /// The UDP port this host's kernel takes SCTP at, if any.
    encapsulation: Option<u16>,
    counters: Cells,
    closed: watch::Sender<bool>,
    /// Associations by peer address.
    associations: Mutex<HashMap<IpAddr, usize>>,
}

impl Shared {
    /// Returns once the endpoint is closed.
    async fn closed(&self) {
        // The sender lives in `self`.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn address(&self, ip: IpAddr, port: u16) -> PeerAddress {
        PeerAddress::Sctp { ip, port, encapsulation: self.encapsulation }
    }

    /// Counts an association with `peer` in, unless there are too many.
    fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Admission> {
        let mut associations = self.associations.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = associations.values().sum();
        let of_peer = associations.get(&peer).copied().unwrap_or_default();
        if all >= self.config.max_associations || of_peer >= self.config.max_per_address {
            return None;
        }
        associations.insert(peer, of_peer + 1);
        Some(Admission { shared: Arc::clone(self), peer })
    }
}

/// Counts an association out when dropped.
struct Admission {
    shared: Arc<Shared>,
    peer: IpAddr,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut associations = self.shared.associations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = associations.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                associations.remove(&self.peer);
            }
        }
    }
}

/// Kernel SCTP at some local addresses. A cheap handle.
#[derive(Clone)]
pub(crate) struct Endpoint {
    shared: Arc<Shared>,
}

impl Endpoint {
    /// Checks that the addresses are this host's. The error names them.
    pub(crate) fn bind(config: EndpointConfig) -> io::Result<Endpoint> {
        let addresses: Vec<IpAddr> = config.addresses().collect();
        let named = |error: io::Error| {
            let list = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            io::Error::new(error.kind(), format!("kernel SCTP at {list}: {error}"))
        };
        available()?;
        if addresses.iter().any(IpAddr::is_unspecified) {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "a specific address is needed");
            return Err(named(error));
        }
        drop(socket::bound(&config, &addresses, 0, 0).map_err(named)?);
        let shared = Arc::new(Shared {
            config,
            encapsulation: encapsulation_port(),
            counters: Cells::default(),
            closed: watch::Sender::new(false),
            associations: Mutex::default(),
            addresses,
        });
        Ok(Endpoint { shared })
    }

    /// Accepts associations at an SCTP port of every local address; 0 takes a free one. Fails if the port
    /// is taken.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn listen(&self, port: u16, acknowledge: Acknowledge) -> io::Result<Listener> {
        let shared = &self.shared;
        let named = |error: io::Error| {
            let address = SocketAddr::new(shared.addresses[0], port);
            io::Error::new(error.kind(), format!("kernel SCTP at {address}: {error}"))
        };
        let backlog = shared.config.backlog.max(1);
        let socket = socket::bound(&shared.config, &shared.addresses, port, 0).map_err(named)?;
        if acknowledge == Acknowledge::WithAnswers {
            // What is accepted inherits it.
            options::set_sack_frequency(&socket, shared.config.profile.sack_delay, ANSWERED)
                .map_err(named)?;
        }
        socket.0.listen(i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(named)?;
        socket::share_port(&socket)?;
        let socket = Socket::new(socket)?;
        let port = socket.local()?.port();
        let (incoming, accepted) = mpsc::channel(backlog);
        let (stop, stopped) = watch::channel(());
        tokio::spawn(accept(socket, Arc::clone(shared), incoming, stopped));
        let local = shared.address(shared.addresses[0], port);
        // Dropped with the listener, which `stopped` sees.
        let stop = Mutex::new(Some(stop));
        let stop = move || drop(stop.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(Listener::new(accepted, local, Stop(Arc::new(stop))))
    }

    /// Sets up an association with a peer that has these addresses, all of them at once.
    pub(crate) async fn connect(
        &self,
        peers: &[PeerAddress],
        options: ConnectOptions,
    ) -> Result<Association, ConnectError> {
        let first = *peers.first().ok_or(ConnectError::NoAddress)?;
        tokio::select! {
            result = connect::connect(&self.shared, peers, options) => result,
            () = self.shared.closed() => Err(ConnectError::EndpointClosed),
            () = tokio::time::sleep(self.shared.config.profile.connect) => Err(ConnectError::TimedOut(first)),
        }
    }

    /// Aborts every association and stops listening.
    pub(crate) fn close(&self) {
        self.shared.closed.send_replace(true);
    }

    /// The first local address; the port is the host's for SCTP in UDP, 0 for none.
    pub(crate) fn local_address(&self) -> SocketAddr {
        SocketAddr::new(self.shared.addresses[0], self.shared.encapsulation.unwrap_or(0))
    }

    /// How a peer reaches an SCTP port of this endpoint, at its first address.
    pub(crate) fn peer_address(&self, port: u16) -> PeerAddress {
        self.shared.address(self.shared.addresses[0], port)
    }

    /// How a peer reaches an SCTP port of this endpoint, at each of its addresses.
    pub(crate) fn peer_addresses(&self, port: u16) -> Vec<PeerAddress> {
        self.shared.addresses.iter().map(|&ip| self.shared.address(ip, port)).collect()
    }

    /// Of the counters those the kernel leaves to us: associations and how they ended.
    pub(crate) fn counters(&self) -> Counters {
        self.shared.counters.snapshot()
    }
}

/// The UDP port this host's kernel takes SCTP at (`sysctl net.sctp.udp_port`); none if it takes none.
fn encapsulation_port() -> Option<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/sctp/udp_port").ok()?;
    text.trim().parse().ok().filter(|&port| port != 0)
}

async fn accept(
    socket: Socket,
    shared: Arc<Shared>,
    incoming: mpsc::Sender<Association>,
    mut stopped: watch::Receiver<()>,
) {
    tokio::select! {
        () = accept_all(&socket, &shared, &incoming) => {}
        _ = stopped.changed() => {}
        () = shared.closed() => {}
    }
}

async fn accept_all(socket: &Socket, shared: &Arc<Shared>, incoming: &mpsc::Sender<Association>) {
    // With the backlog full nothing is accepted: the kernel's queue fills next.
    while let Ok(permit) = incoming.reserve().await {
        match socket.accept() {
            Ok(accepted) => match accept_one(accepted, shared) {
                Ok(Some(association)) => {
                    shared.counters.accepted.one();
                    permit.send(association);
                }
                Ok(None) => shared.counters.handshakes_refused.one(),
                Err(error) => tracing::debug!(%error, "association gone before it was accepted"),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                drop(permit);
                if socket.readable().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Out of descriptors, mostly: leave it time to pass.
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

fn accept_one(socket: sys::Descriptor, shared: &Arc<Shared>) -> io::Result<Option<Association>> {
    let socket = Socket::new(socket)?;
    let Some(admission) = shared.admit(socket.peer()?.ip()) else { return Ok(None) };
    connection::start(socket, admission).map(Some)
}
