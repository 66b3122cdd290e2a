//! Userland SCTP in UDP (RFC 9260, RFC 3758, RFC 6951): dcsctp behind our driver.
//!
//! One [`Endpoint`] is one UDP socket on one specific address, owned by one thread together with the
//! protocol machines (they are not `Send`) and their timers. Many SCTP ports share it, incoming and
//! outgoing. [`machine`] decides everything, without socket or clock; `driver` is the thread around it,
//! `sys` holds the system calls.

mod config;
mod counters;
mod driver;
pub mod machine;
mod sys;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

pub use counters::Counters;

use crate::{Association, ConnectError, EndpointConfig, PeerAddress};
pub(crate) use driver::ephemeral_port;

pub(crate) use counters::Cells;
use sys::EventFd;

/// What handles ask of the thread.
enum Command {
    Listen {
        port: u16,
        incoming: mpsc::Sender<Association>,
        reply: oneshot::Sender<io::Result<()>>,
    },
    Unlisten(u16),
    Connect {
        peer: PeerAddress,
        /// The SCTP port to come from; a free one without.
        port: Option<u16>,
        reply: oneshot::Sender<Result<Association, ConnectError>>,
    },
    Close,
}

#[derive(Default)]
struct Inbox {
    commands: Vec<Command>,
    stopped: bool,
}

/// What the handles and the thread share.
struct Shared {
    config: EndpointConfig,
    local: SocketAddr,
    inbox: Mutex<Inbox>,
    event: EventFd,
    counters: Arc<Cells>,
    handles: AtomicUsize,
}

impl Shared {
    fn post(&self, command: Command) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if inbox.stopped {
            return;
        }
        let asleep = inbox.commands.is_empty();
        inbox.commands.push(command);
        drop(inbox);
        if asleep {
            self.event.signal();
        }
    }

    fn address(&self, port: u16) -> PeerAddress {
        sctp_in_udp(self.local, port)
    }
}

/// The SCTP port behind a UDP socket.
fn sctp_in_udp(udp: SocketAddr, port: u16) -> PeerAddress {
    PeerAddress::Sctp { ip: udp.ip(), port, encapsulation: Some(udp.port()) }
}

/// Userland SCTP over one UDP socket. A cheap handle; the thread lives as long as an endpoint handle, a
/// listener or an association does, or until [`Endpoint::close`].
pub(crate) struct Endpoint {
    shared: Arc<Shared>,
}

impl Endpoint {
    /// Binds the UDP socket and starts the thread. The error names address and port.
    pub(crate) fn bind(config: EndpointConfig) -> io::Result<Endpoint> {
        let (socket, local) = config.bind()?;
        let event = EventFd::new()?;
        let shared = Arc::new(Shared {
            config,
            local,
            inbox: Mutex::default(),
            event,
            counters: Arc::default(),
            handles: AtomicUsize::new(1),
        });
        driver::start(socket, Arc::clone(&shared))?;
        Ok(Endpoint { shared })
    }

    /// Accepts associations at an SCTP port into `incoming`. Fails if the port is taken.
    pub(crate) async fn listen(&self, port: u16, incoming: mpsc::Sender<Association>) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        self.shared.post(Command::Listen { port, incoming, reply });
        answer.await.map_err(|_| io::Error::new(io::ErrorKind::NotConnected, "the endpoint is closed"))?
    }

    /// Accepts no more associations at an SCTP port.
    pub(crate) fn unlisten(&self, port: u16) {
        self.shared.post(Command::Unlisten(port));
    }

    /// Sets up an association from an SCTP port, a free one without; returns once it is up. Cancel safe: a connect
    /// that is dropped is aborted.
    pub(crate) async fn connect(
        &self,
        peer: PeerAddress,
        port: Option<u16>,
    ) -> Result<Association, ConnectError> {
        let (reply, answer) = oneshot::channel();
        self.shared.post(Command::Connect { peer, port, reply });
        answer.await.map_err(|_| ConnectError::EndpointClosed)?
    }

    /// Aborts every association and stops; the address is free again soon after.
    pub(crate) fn close(&self) {
        self.shared.post(Command::Close);
    }

    /// The UDP address, with the port in use where 0 was asked for.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.shared.local
    }

    /// How a peer reaches an SCTP port of this endpoint.
    pub(crate) fn peer_address(&self, port: u16) -> PeerAddress {
        self.shared.address(port)
    }

    /// What was counted so far.
    pub(crate) fn counters(&self) -> Counters {
        self.shared.counters.snapshot()
    }
}

impl Clone for Endpoint {
    fn clone(&self) -> Endpoint {
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Endpoint { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.event.signal();
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.shared.local)
    }
}
