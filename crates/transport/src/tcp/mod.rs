//! TCP: messages of IPFIX and ASAP one after the other (RFC 7011 section 10.4).
//!
//! Stream is always 0, everything is fully reliable, and the payload protocol is concluded from the
//! first octet: 0 is IPFIX, anything else ASAP. `Delivered` only means: handed to the kernel. A process
//! that is stopped keeps acknowledging, so silence is noticed only when the host or the path is gone
//! (keep-alive, and a look at the kernel's figures each heartbeat).

mod connection;
mod framer;
mod sys;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

pub(crate) use framer::framed_length;

use crate::listener::Stop;
use crate::{Association, ConnectError, Listener, PeerAddress, Profile, QueueLimits};

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
}

impl Default for Options {
    fn default() -> Options {
        Options { profile: Profile::default(), queues: QueueLimits::default(), backlog: 128 }
    }
}

/// Accepts connections at `address`; port 0 takes a free one. The error names the address.
pub async fn listen(address: SocketAddr, options: Options) -> io::Result<Listener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("TCP at {address}: {error}"));
    let socket = TcpListener::bind(address).await.map_err(named)?;
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
        match socket.accept().await {
            Ok((stream, _)) => match connection::start(stream, &options) {
                Ok(association) => permit.send(association),
                Err(error) => tracing::debug!(%error, "connection gone before it was accepted"),
            },
            Err(error) => {
                // Out of descriptors, mostly: leave it time to pass.
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Connects within the profile's time.
pub async fn connect(address: SocketAddr, options: Options) -> Result<Association, ConnectError> {
    let peer = PeerAddress::Tcp(address);
    let stream = match tokio::time::timeout(options.profile.connect, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return Err(match error.kind() {
                io::ErrorKind::ConnectionRefused => ConnectError::Refused(peer),
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    ConnectError::Unreachable(peer)
                }
                io::ErrorKind::TimedOut => ConnectError::TimedOut(peer),
                _ => ConnectError::Io(peer, error),
            });
        }
        Err(_) => return Err(ConnectError::TimedOut(peer)),
    };
    connection::start(stream, &options).map_err(|error| ConnectError::Io(peer, error))
}
