//! A one-to-one SCTP socket: tokio-sctp's, on tokio's reactor, with our options.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio_sctp::SctpSocket;

use super::sys::Descriptor;
use super::{options, sys};
use crate::EndpointConfig;

pub(super) struct Socket(AsyncFd<Descriptor>);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

/// Whether this host has SCTP; the error says why not.
pub(crate) fn available() -> io::Result<()> {
    match SctpSocket::new(libc::AF_INET.into()) {
        Ok(_) => Ok(()),
        Err(error) => {
            let remedy = match error.raw_os_error() {
                Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT) => "; as root: modprobe sctp",
                _ => "",
            };
            Err(io::Error::new(error.kind(), format!("no kernel SCTP here: {error}{remedy}")))
        }
    }
}

/// A socket with all options, bound to these addresses; port 0 takes a free one. Does not need a runtime.
pub(super) fn bound(
    config: &EndpointConfig,
    addresses: &[IpAddr],
    port: u16,
    encapsulation: u16,
) -> io::Result<Descriptor> {
    let socket = unbound(config, addresses, encapsulation)?;
    bind(&socket, addresses, port)?;
    Ok(socket)
}

/// The same for a socket that connects from a port where another one of this user's may listen, if that one
/// was shared by [`share_port`]. Where the kernel refuses (Linux before 5.1), it takes a free port.
pub(super) fn bound_beside_listener(
    config: &EndpointConfig,
    addresses: &[IpAddr],
    port: u16,
    encapsulation: u16,
) -> io::Result<Descriptor> {
    let socket = unbound(config, addresses, encapsulation)?;
    share_port(&socket)?;
    match bind(&socket, addresses, port) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            tracing::debug!(port, "the kernel does not share a listener's port: connecting from a free one");
            bound(config, addresses, 0, encapsulation)
        }
        result => result.map(|()| socket),
    }
}

/// Lets sockets that ask for it, too, have the same port. Set on a socket that listens already, it lets no second
/// one listen that does not ask, and makes no group of listeners that share what comes in.
pub(super) fn share_port(socket: &Descriptor) -> io::Result<()> {
    sys::set_socket(socket, libc::SO_REUSEPORT, 1)
}

fn bind(socket: &Descriptor, addresses: &[IpAddr], port: u16) -> io::Result<()> {
    let addresses: Vec<_> = addresses.iter().map(|&ip| SocketAddr::new(ip, port)).collect();
    options::bind(socket, &addresses)
}

fn unbound(config: &EndpointConfig, addresses: &[IpAddr], encapsulation: u16) -> io::Result<Descriptor> {
    let v6 = addresses.iter().any(IpAddr::is_ipv6);
    let domain = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    let socket = Descriptor(SctpSocket::new(domain.into())?);
    socket.0.set_nonblocking(true)?;
    // A port whose associations of an earlier process still close can be taken again; a second listener
    // is refused all the same.
    socket.0.set_reuseaddr(true)?;
    set_options(&socket, config)?;
    options::set_encapsulation(&socket, encapsulation)?;
    Ok(socket)
}

fn set_options(socket: &Descriptor, config: &EndpointConfig) -> io::Result<()> {
    let profile = &config.profile;
    options::set_rto(socket, profile.rto_initial, profile.rto_min, profile.rto_max)?;
    options::set_association_max_retrans(socket, profile.association_max_retrans)?;
    // As many INITs as fit into the time `connect` may take; the peer may be slow to answer one.
    let attempts = profile.connect.as_millis() / profile.rto_initial.as_millis().max(1) + 1;
    let attempts = u16::try_from(attempts).unwrap_or(u16::MAX).min(64);
    options::set_init(socket, config.streams.max(1), attempts, profile.rto_max)?;
    options::set_paths(socket, profile.heartbeat, profile.path_max_retrans)?;
    options::set_sack_delay(socket, profile.sack_delay)?;
    options::set_no_delay(socket)?;
    options::set_receive_info(socket)?;
    options::set_partial_reliability(socket)?;
    options::subscribe(socket)?;
    abort_when_dropped(socket)?;
    set_buffers(socket, config)
}

/// A dropped socket, like a killed process, tells the peer by an ABORT.
fn abort_when_dropped(socket: &Descriptor) -> io::Result<()> {
    socket.0.inner.set_linger(Some(Duration::ZERO))
}

/// The kernel grants what it may. Its count of a message is about twice the message's octets.
fn set_buffers(socket: &Descriptor, config: &EndpointConfig) -> io::Result<()> {
    for (option, force, octets) in [
        (libc::SO_SNDBUF, libc::SO_SNDBUFFORCE, config.queues.send),
        (libc::SO_RCVBUF, libc::SO_RCVBUFFORCE, config.window),
    ] {
        // The kernel doubles it.
        let octets = i32::try_from(octets).unwrap_or(i32::MAX / 2).max(128 << 10);
        if sys::set_socket(socket, force, octets).is_err() {
            sys::set_socket(socket, option, octets)?;
        }
    }
    Ok(())
}

impl Socket {
    pub(super) fn new(socket: Descriptor) -> io::Result<Socket> {
        sys::register(socket).map(Socket)
    }

    /// Waits until there may be something to read. Call only after a read found nothing.
    pub(super) async fn readable(&self) -> io::Result<()> {
        let mut guard = self.0.readable().await?;
        guard.clear_ready();
        Ok(())
    }

    /// Waits until there may be room to write. Call only after a write found none.
    pub(super) async fn writable(&self) -> io::Result<()> {
        let mut guard = self.0.writable().await?;
        guard.clear_ready();
        Ok(())
    }

    pub(super) fn accept(&self) -> io::Result<Descriptor> {
        let socket = Descriptor(self.0.get_ref().0.accept()?.0);
        socket.0.set_nonblocking(true)?;
        abort_when_dropped(&socket)?;
        Ok(socket)
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.get_ref().0.shutdown(how)
    }

    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.local_addr().map(canonical)
    }

    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr().map(canonical)
    }

    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.0.get_ref().0.take_error().ok().flatten()
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
