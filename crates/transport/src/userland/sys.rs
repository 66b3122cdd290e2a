//! The system calls the standard library lacks: batches of datagrams out, the MTU of a path.
//!
//! Each unsafe block says why it holds.
#![expect(unsafe_code, reason = "sendmmsg has no safe wrapper in std")]

use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

pub(crate) use crate::datagram::{EventFd, network_error, wait};
use crate::datagram::{check, into_storage, is_pending, path_mtu, set_option};

/// Datagrams per system call.
pub(crate) const BATCH: usize = 64;
/// What every path of IPv6 takes (RFC 8200 section 5), and those of IPv4 in practice.
const SMALLEST_MTU: usize = 1_280;

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
/// ICMP said of the path, less IP and UDP headers. Nothing is sent. An association lives with the answer, so where IPsec has
/// still to agree on keys it is that of the smallest MTU.
pub(crate) fn path_payload(local: IpAddr, to: SocketAddr) -> io::Result<usize> {
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect(to)?;
    let mtu = path_mtu(socket.as_fd(), to.is_ipv6()).ok_or_else(io::Error::last_os_error)?;
    let mtu = if is_pending(mtu, to.ip()) { SMALLEST_MTU } else { mtu };
    let headers = if to.is_ipv6() { 40 + 8 } else { 20 + 8 };
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
