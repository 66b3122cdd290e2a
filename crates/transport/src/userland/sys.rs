//! The system calls the standard library lacks: batches of datagrams, the MTU of a path.
//!
//! Each unsafe block says why it holds.
#![expect(unsafe_code, reason = "recvmmsg, sendmmsg and IP_MTU have no safe wrapper in std")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};

pub(crate) use crate::datagram::{EventFd, network_error, wait};
use crate::datagram::{MAX_DATAGRAM, NAME_LENGTH, check, from_storage, into_storage, set_option};

/// Datagrams per system call.
pub(crate) const BATCH: usize = 64;
#[expect(clippy::cast_possible_truncation, reason = "64")]
const MESSAGES: libc::c_uint = BATCH as libc::c_uint;

/// Buffers for receiving datagrams in batches, made once.
pub(crate) struct Receiver {
    buffers: Vec<u8>,
    lengths: [usize; BATCH],
    names: [libc::sockaddr_storage; BATCH],
}

impl Receiver {
    pub(crate) fn new() -> Receiver {
        // SAFETY: all zeroes is a valid sockaddr_storage.
        let names = unsafe { zeroed() };
        Receiver { buffers: vec![0; BATCH * MAX_DATAGRAM], lengths: [0; BATCH], names }
    }

    /// Receives what is there, [`BATCH`] datagrams at most; 0 when nothing is.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: all zeroes is a valid iovec and a valid mmsghdr (null pointers, zero lengths).
        let (mut vectors, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { (zeroed(), zeroed()) };
        for (i, buffer) in self.buffers.chunks_exact_mut(MAX_DATAGRAM).enumerate() {
            vectors[i].iov_base = buffer.as_mut_ptr().cast();
            vectors[i].iov_len = MAX_DATAGRAM;
            let header = &mut headers[i].msg_hdr;
            header.msg_iov = &raw mut vectors[i];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut self.names[i]).cast();
            header.msg_namelen = NAME_LENGTH;
        }
        // SAFETY: every header points to one iovec and one name that live over the call, and every
        // iovec to its own part of `buffers`, exclusively borrowed.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                MESSAGES,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let count = check(result)?;
        for (length, header) in self.lengths.iter_mut().zip(&headers[..count]) {
            *length = header.msg_len as usize;
        }
        Ok(count)
    }

    /// Datagram `i` of the last batch; none where the sender's address is of no known family.
    pub(crate) fn datagram(&self, i: usize) -> Option<(SocketAddr, &[u8])> {
        let octets = &self.buffers[i * MAX_DATAGRAM..][..self.lengths[i]];
        Some((from_storage(&self.names[i])?, octets))
    }
}

/// Sends datagrams in one call, [`BATCH`] at most; returns how many left.
pub(crate) fn send(socket: BorrowedFd<'_>, datagrams: &[(SocketAddr, Vec<u8>)]) -> io::Result<usize> {
    let count = datagrams.len().min(BATCH);
    // SAFETY: all zeroes is valid for these plain structures (null pointers, zero lengths).
    let (mut names, mut vectors, mut headers): (
        [libc::sockaddr_storage; BATCH],
        [libc::iovec; BATCH],
        [libc::mmsghdr; BATCH],
    ) = unsafe { (zeroed(), zeroed(), zeroed()) };
    for (i, (to, octets)) in datagrams[..count].iter().enumerate() {
        vectors[i].iov_base = octets.as_ptr().cast_mut().cast();
        vectors[i].iov_len = octets.len();
        let header = &mut headers[i].msg_hdr;
        header.msg_namelen = into_storage(*to, &mut names[i]);
        header.msg_name = (&raw mut names[i]).cast();
        header.msg_iov = &raw mut vectors[i];
        header.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers point to locals and to `datagrams`, which live over the call;
    // the kernel only reads the octets, though iovec wants a mutable pointer.
    let result = unsafe {
        #[expect(clippy::cast_possible_truncation, reason = "at most BATCH")]
        libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as libc::c_uint, libc::MSG_DONTWAIT)
    };
    check(result)
}

/// Octets of UDP payload that reach `to` unfragmented as far as this host knows: the route's MTU, or what
/// ICMP said of the path, less IP and UDP headers. Nothing is sent.
pub(crate) fn path_payload(local: IpAddr, to: SocketAddr) -> io::Result<usize> {
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect(to)?;
    let (level, name, headers) = match to {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU, 20 + 8),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU, 40 + 8),
    };
    let mut value: libc::c_int = 0;
    #[expect(clippy::cast_possible_truncation, reason = "4 octets")]
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: value and length live over the call, and the length is that of the value.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length)
    };
    check(result)?;
    let mtu = usize::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(mtu.saturating_sub(headers))
}

/// Asks for the error queue, and for fragmentation of packets longer than the path takes: dcsctp has no
/// path MTU discovery.
pub(crate) fn set_options(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)
    }
}
