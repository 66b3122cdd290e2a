//! The exporting side: a socket connected to one collector.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::sys;
use crate::datagram::network_error;

/// IP and UDP headers.
const HEADERS_IPV4: usize = 20 + 8;
const HEADERS_IPV6: usize = 40 + 8;
/// The longest UDP payload in a packet without extensions.
const MAX_IPV4: usize = 65_535 - HEADERS_IPV4;
const MAX_IPV6: usize = 65_535 - 8;
/// A packet where the path MTU is not known (RFC 7011 section 10.3.3).
const UNKNOWN_MTU: usize = 512;
/// Entries of the error queue taken in at once, at most: the network makes them.
const MAX_ERRORS: usize = 256;

/// A socket that sends datagrams to one address.
#[derive(Debug)]
pub struct Sender {
    socket: UdpSocket,
    peer: SocketAddr,
    unreachable: u64,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Sent {
    /// How many datagrams left, the first ones of the batch.
    pub sent: usize,
    /// Why the one behind them never will. Without it, those left over wait for room: see [`Sender::writable`].
    pub refused: Option<io::Error>,
}

impl Sender {
    /// Opens a socket towards `peer`, from `local` or else from the address the host uses towards it. Nothing is sent.
    ///
    /// Must be called within a tokio runtime. Fails if the address is not the host's or there is no route.
    pub fn connect(peer: SocketAddr, local: Option<IpAddr>) -> io::Result<Self> {
        let any = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let local = local.unwrap_or(any);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("UDP from {local}: {error}"));
        let socket = std::net::UdpSocket::bind((local, 0)).map_err(named)?;
        socket.connect(peer)?;
        socket.set_nonblocking(true)?;
        sys::set_sender_options(socket.as_fd(), peer.is_ipv6())?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, peer, unreachable: 0 })
    }

    /// Returns the address that it sends from.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns the octets of the longest datagram that goes to the peer in one packet: the path MTU at present, which the
    /// network may lower, less the headers; 484 octets (464 with IPv6) where it is not known
    /// (RFC 7011 section 10.3.3).
    pub fn max_datagram(&self) -> usize {
        let ipv6 = self.peer.is_ipv6();
        let mtu = sys::path_mtu(self.socket.as_fd(), ipv6).unwrap_or(UNKNOWN_MTU);
        let (headers, most) = if ipv6 { (HEADERS_IPV6, MAX_IPV6) } else { (HEADERS_IPV4, MAX_IPV4) };
        mtu.saturating_sub(headers).min(most)
    }

    /// Sends the first of `datagrams`, as many as fit in one system call and in the socket's buffer. Does not wait.
    pub fn try_send<M: AsRef<[u8]>>(&mut self, datagrams: &[M]) -> Sent {
        if datagrams.is_empty() {
            return Sent::default();
        }
        let mut last = None;
        // An ICMP message about an earlier datagram fails the next call, once: nothing was tried then.
        for _ in 0..2 {
            match self.send(datagrams) {
                Ok(sent) => return Sent { sent, refused: None },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::default(),
                Err(error) => {
                    self.take_errors();
                    last = Some(error);
                }
            }
        }
        Sent { sent: 0, refused: last }
    }

    fn send<M: AsRef<[u8]>>(&self, datagrams: &[M]) -> io::Result<usize> {
        let send = || sys::send(self.socket.as_fd(), datagrams);
        match send() {
            // Again under the runtime's eyes, which then knows that there is something to wait for.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.socket.try_io(Interest::WRITABLE, send)
            }
            sent => sent,
        }
    }

    /// Waits until there may be room for another datagram. Cancel safe.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Returns how many ICMP messages have told that the peer, its port or its network is not reached. Datagrams
    /// were lost, but not every loss is told: hosts limit how many such messages they send.
    pub fn unreachable(&mut self) -> u64 {
        self.take_errors();
        self.unreachable
    }

    fn take_errors(&mut self) {
        for _ in 0..MAX_ERRORS {
            let Ok(Some(error)) = network_error(self.socket.as_fd(), &mut []) else { return };
            self.unreachable += u64::from(error.unreachable);
        }
    }
}
