//! Batches of datagrams out, and what the kernel tells of a UDP socket. Each unsafe block says why it holds.
#![expect(unsafe_code, reason = "sendmmsg and the socket options have no safe wrapper in std")]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};

pub(super) use crate::datagram::path_mtu;
use crate::datagram::{check, set_option};

/// Datagrams per system call.
pub(super) const BATCH: usize = 32;

/// Asks for the count of drops with every datagram.
pub(super) fn count_drops(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

/// Where `SO_MEMINFO` has the drops, and how many figures Linux has told since it has that one.
const MEMINFO_DROPS: usize = 8;
const SO_MEMINFO: libc::c_int = 55;

/// The kernel's count of drops at present; none where the kernel does not tell (before Linux 4.12).
pub(super) fn dropped(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut figures = [0_u32; MEMINFO_DROPS + 1];
    #[expect(clippy::cast_possible_truncation, reason = "36 octets")]
    let mut length = size_of_val(&figures) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` octets into `figures`, which has as many.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            figures.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let told = length as usize / size_of::<u32>();
    (result == 0 && told > MEMINFO_DROPS).then(|| figures[MEMINFO_DROPS])
}

/// Sends datagrams on a connected socket in one call, [`BATCH`] at most; returns how many left.
pub(super) fn send<M: AsRef<[u8]>>(socket: BorrowedFd<'_>, datagrams: &[M]) -> io::Result<usize> {
    let count = datagrams.len().min(BATCH);
    // SAFETY: all zeroes is valid for these plain structures (null pointers, zero lengths).
    let (mut vectors, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
        unsafe { (zeroed(), zeroed()) };
    for (i, octets) in datagrams[..count].iter().map(AsRef::as_ref).enumerate() {
        vectors[i].iov_base = octets.as_ptr().cast_mut().cast();
        vectors[i].iov_len = octets.len();
        headers[i].msg_hdr.msg_iov = &raw mut vectors[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers point to locals and to `datagrams`, which live over the call;
    // the kernel only reads the octets, though iovec wants a mutable pointer.
    let result = unsafe {
        #[expect(clippy::cast_possible_truncation, reason = "at most BATCH")]
        libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as libc::c_uint, libc::MSG_DONTWAIT)
    };
    check(result)
}

/// Asks for the error queue, and for path MTU discovery: what is longer than the path takes is fragmented by this host,
/// once it knows.
pub(super) fn set_sender_options(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_WANT)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_WANT)
    }
}
