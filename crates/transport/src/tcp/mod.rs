//! TCP: messages of IPFIX, ASAP and ENRP one after the other (RFC 7011 section 10.4, RFC 5352 section 9.3).
//!
//! Stream is always 0, everything is fully reliable, and the payload protocol is concluded from the
//! first octet: 0 is IPFIX, anything else [`Options::control`]. `Delivered` only means: handed to the
//! kernel. A process that is stopped keeps acknowledging, so silence is noticed only when the host or
//! the path is gone (keep-alive, and a look at the kernel's figures each heartbeat).

pub(crate) mod connection;
mod framer;
mod socket;
pub(crate) mod stream;
mod sys;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

pub(crate) use framer::framed_length;
pub use socket::has_multipath;
pub(crate) use socket::{bind, next, reach};

use crate::listener::Stop;
use crate::{Association, Budget, ConnectError, Listener, PeerAddress, Ppid, Profile, QueueLimits};

/// How connections are set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Timing; of it `heartbeat`, `silence` and `connect`.
    pub profile: Profile,
    /// Bounds of each connection's queues.
    pub queues: QueueLimits,
    /// Connections waiting for `accept`. Default 128.
    pub backlog: usize,
    /// What messages are whose first octet is not 0, since TCP has no payload protocol identifier and
    /// the message types of ASAP and ENRP overlap. Default [`Ppid::ASAP`].
    pub control: Ppid,
    /// Local address of outgoing connections. Default: the kernel's choice.
    pub local: Option<IpAddr>,
    /// MPTCP (RFC 8684) where both kernels have it, TCP else. Default false.
    pub mptcp: bool,
    /// A bound that the connections share with others. Default none.
    pub budget: Option<Budget>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            profile: Profile::default(),
            queues: QueueLimits::default(),
            backlog: 128,
            control: Ppid::ASAP,
            local: None,
            mptcp: false,
            budget: None,
        }
    }
}

/// Accepts connections at `address`; port 0 takes a free one. The error names the address.
pub async fn listen(address: SocketAddr, options: Options) -> io::Result<Listener> {
    let socket = bind(address, &options).map_err(|error| named("TCP", address, &error))?;
    let local = PeerAddress::Tcp(socket.local_addr()?);
    let (incoming, accepted) = mpsc::channel(options.backlog.max(1));
    let stopped = Arc::new(Notify::new());
    let stop = Arc::clone(&stopped);
    tokio::spawn(async move {
        tokio::select! {
            () = accept(socket, options, incoming) => {}
            () = stopped.notified() => {}
        }
    });
    Ok(Listener::new(accepted, local, Stop(Arc::new(move || stop.notify_one()))))
}

async fn accept(socket: TcpListener, options: Options, incoming: mpsc::Sender<Association>) {
    // With the backlog full nothing is accepted: the kernel's queue fills next.
    while let Ok(permit) = incoming.reserve().await {
        let stream = next(&socket).await;
        match connection::start(stream, &options, PeerAddress::Tcp) {
            Ok(association) => permit.send(association),
            Err(error) => tracing::debug!(%error, "connection gone before it was accepted"),
        }
    }
}

/// Names protocol and address in an error of `listen`.
pub(crate) fn named(protocol: &str, address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{protocol} at {address}: {error}"))
}

/// Connects within the profile's time.
pub async fn connect(address: SocketAddr, options: Options) -> Result<Association, ConnectError> {
    let peer = PeerAddress::Tcp(address);
    let connecting = reach(address, &options);
    let stream = match tokio::time::timeout(options.profile.connect, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(refused(peer, error)),
        Err(_) => return Err(ConnectError::TimedOut(peer)),
    };
    connection::start(stream, &options, PeerAddress::Tcp).map_err(|error| ConnectError::Io(peer, error))
}

/// Says why a socket could not be connected.
pub(crate) fn refused(peer: PeerAddress, error: io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused(peer),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectError::Unreachable(peer),
        io::ErrorKind::TimedOut => ConnectError::TimedOut(peer),
        _ => ConnectError::Io(peer, error),
    }
}
