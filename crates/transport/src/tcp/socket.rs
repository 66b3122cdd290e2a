//! TCP and MPTCP sockets (RFC 8684), up to the point where both are TCP to everyone.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::Once;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Options, sys};

/// A socket for `address`: MPTCP where that is asked for and the kernel has it.
fn open(address: SocketAddr, options: &Options) -> io::Result<TcpSocket> {
    let open = |protocol| {
        let kind = Type::STREAM.nonblocking().cloexec();
        Socket::new(Domain::for_address(address), kind, Some(protocol))
    };
    let socket = if options.mptcp {
        open(Protocol::MPTCP).or_else(|error| {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                tracing::info!(%error, "no MPTCP in this kernel, TCP is used (sysctl net.mptcp.enabled)");
            });
            open(Protocol::TCP)
        })
    } else {
        open(Protocol::TCP)
    };
    Ok(TcpSocket::from_std_stream(socket?.into()))
}

/// Returns whether this host's kernel has MPTCP, and lets us use it.
pub fn has_multipath() -> bool {
    Socket::new(Domain::IPV4, Type::STREAM.cloexec(), Some(Protocol::MPTCP)).is_ok()
}

/// A listening socket. One of MPTCP also accepts TCP.
pub(crate) fn bind(address: SocketAddr, options: &Options) -> io::Result<TcpListener> {
    let socket = open(address, options)?;
    // The port of a process that ended is free again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(u32::try_from(options.backlog.max(1)).unwrap_or(u32::MAX))
}

/// Connects a socket, from the local address where one is given.
pub(crate) async fn reach(address: SocketAddr, options: &Options) -> io::Result<TcpStream> {
    let socket = open(address, options)?;
    // From a loopback address nobody else is reached.
    let fits = |local: &IpAddr| {
        local.is_ipv4() == address.is_ipv4() && (address.ip().is_loopback() || !local.is_loopback())
    };
    if let Some(local) = options.local.filter(fits) {
        socket.bind((local, 0).into())?;
    }
    socket.connect(address).await
}

/// Waits for the next connection.
pub(crate) async fn next(socket: &TcpListener) -> TcpStream {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                // Out of descriptors, mostly: leave it time to pass.
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Whether both sides speak MPTCP on a connection.
pub(crate) fn is_multipath(stream: &TcpStream) -> bool {
    sys::multipath(stream.as_fd()).is_some()
}
