//! Setting an association up: natively, in UDP, or whichever works first.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::socket::{self, Socket};
use super::{Shared, connection, options};
use crate::{Association, ConnectError, ConnectOptions, PeerAddress};

/// How long native SCTP is tried alone.
const HEAD_START: Duration = Duration::from_millis(250);

/// The addresses of one peer, as the kernel takes them.
struct Peer {
    /// What errors name.
    first: PeerAddress,
    native: Vec<SocketAddr>,
    /// Those that can be reached in UDP too, and at which port.
    encapsulated: Option<(u16, Vec<SocketAddr>)>,
}

impl Peer {
    fn new(peers: &[PeerAddress], local: &[IpAddr]) -> Result<Peer, ConnectError> {
        let first = *peers.first().ok_or(ConnectError::NoAddress)?;
        let mut peer = Peer { first, native: Vec::new(), encapsulated: None };
        for address in peers {
            let PeerAddress::Sctp { ip, port, encapsulation } = *address else {
                return Err(ConnectError::Address(*address));
            };
            if port != first.port() {
                // An association has one port for all addresses.
                return Err(ConnectError::Address(*address));
            }
            if !local.iter().any(|local| local.is_ipv4() == ip.is_ipv4()) {
                continue;
            }
            let address = SocketAddr::new(ip, port);
            peer.native.push(address);
            if let Some(udp) = encapsulation {
                let (port, addresses) = peer.encapsulated.get_or_insert_with(|| (udp, Vec::new()));
                if *port == udp {
                    addresses.push(address);
                }
            }
        }
        if peer.native.is_empty() { Err(ConnectError::Address(first)) } else { Ok(peer) }
    }
}

/// Sets up an association over all addresses at once. Natively it comes from the local port asked for. In UDP it
/// comes from a free one: between two ports the kernel has one association, and here both kinds may be tried at once.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    peers: &[PeerAddress],
    options: ConnectOptions,
) -> Result<Association, ConnectError> {
    let peer = Peer::new(peers, &shared.addresses)?;
    let native = attempt(shared, &peer.native, 0, options.port_towards(peers, &shared.addresses));
    let socket = match &peer.encapsulated {
        Some((port, addresses)) if shared.encapsulation.is_some() => {
            first_of(native, attempt(shared, addresses, *port, None)).await
        }
        _ => native.await,
    };
    let up = socket.and_then(|socket| {
        let admission = shared
            .admit(peer.first.ip().unwrap_or(shared.addresses[0]))
            .ok_or_else(|| io::Error::other("too many associations"))?;
        connection::start(socket, admission)
    });
    let association = up.map_err(|error| failure(&peer, shared, error))?;
    shared.counters.connected.one();
    Ok(association)
}

/// Native SCTP, and a little later, or once that failed, SCTP in UDP; whichever is up first. The error is
/// that of SCTP in UDP.
async fn first_of(
    native: impl Future<Output = io::Result<Socket>>,
    encapsulated: impl Future<Output = io::Result<Socket>>,
) -> io::Result<Socket> {
    let mut native = std::pin::pin!(native);
    match tokio::time::timeout(HEAD_START, native.as_mut()).await {
        Ok(Ok(socket)) => return Ok(socket),
        Ok(Err(error)) if exists(&error) => return Err(error),
        Ok(Err(error)) => {
            tracing::debug!(%error, "native SCTP failed, trying SCTP in UDP");
            return encapsulated.await;
        }
        Err(_) => {}
    }
    let mut encapsulated = std::pin::pin!(encapsulated);
    tokio::select! {
        result = native.as_mut() => match result {
            Ok(socket) => Ok(socket),
            Err(_) => encapsulated.await,
        },
        result = encapsulated.as_mut() => match result {
            Ok(socket) => Ok(socket),
            Err(_) => native.await,
        },
    }
}

/// One attempt; returns once the association is up. Aborted when dropped.
async fn attempt(
    shared: &Shared,
    peers: &[SocketAddr],
    encapsulation: u16,
    port: Option<u16>,
) -> io::Result<Socket> {
    let (config, addresses) = (&shared.config, &shared.addresses);
    let socket = match port {
        Some(port) => socket::bound_beside_listener(config, addresses, port, encapsulation)?,
        None => socket::bound(config, addresses, 0, encapsulation)?,
    };
    match options::connect(&socket, peers) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let socket = Socket::new(socket)?;
    loop {
        tokio::select! {
            ready = socket.writable() => ready?,
            ready = socket.readable() => ready?,
        }
        if let Some(error) = socket.take_error() {
            return Err(error);
        }
        match options::status(&socket) {
            Ok(status) if status.established => return Ok(socket),
            Ok(_) => {}
            // Over, and the error was taken by a notification.
            Err(_) => return Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

/// Whether there is an association between these ports already.
fn exists(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

fn failure(peer: &Peer, shared: &Shared, error: io::Error) -> ConnectError {
    let first = peer.first;
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => ConnectError::Refused(first),
        _ if exists(&error) => ConnectError::Exists(first),
        io::ErrorKind::TimedOut => ConnectError::TimedOut(first),
        _ if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            ConnectError::NoSctp { peer: first, udp_here: shared.encapsulation.is_some() }
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ConnectError::Unreachable(first)
        }
        _ => ConnectError::Io(first, error),
    }
}
