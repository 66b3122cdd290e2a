//! Batches of datagrams, in and out, and what the kernel tells of a UDP socket. Each unsafe block says why it holds.
#![expect(unsafe_code, reason = "recvmmsg, sendmmsg and the socket options have no safe wrapper in std")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::datagram::{MAX_DATAGRAM, NAME_LENGTH, check, from_storage, set_option};

/// Datagrams per system call.
pub(super) const BATCH: usize = 32;
#[expect(clippy::cast_possible_truncation, reason = "32")]
const MESSAGES: libc::c_uint = BATCH as libc::c_uint;

/// Room for one control message with an u32.
const CONTROL: usize = 64;

/// Control messages start with a `cmsghdr`, which wants this alignment.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// Buffers for receiving datagrams in batches, made once. Pages that no datagram reached take no memory.
pub(super) struct Batch {
    buffers: Vec<u8>,
    lengths: [usize; BATCH],
    names: Box<[libc::sockaddr_storage; BATCH]>,
    count: usize,
    dropped: Option<u32>,
}

impl Batch {
    pub(super) fn new() -> Self {
        // SAFETY: all zeroes is a valid sockaddr_storage.
        let names = Box::new(unsafe { zeroed() });
        Self { buffers: vec![0; BATCH * MAX_DATAGRAM], lengths: [0; BATCH], names, count: 0, dropped: None }
    }

    /// Receives what is there, [`BATCH`] datagrams at most.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        (self.count, self.dropped) = (0, None);
        let mut controls = [Control([0; CONTROL]); BATCH];
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
            header.msg_control = controls[i].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        // SAFETY: every header points to one iovec, one name and one control buffer that live over the call, and
        // every iovec to its own part of `buffers`, exclusively borrowed.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                MESSAGES,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        self.count = check(result)?;
        for (length, header) in self.lengths.iter_mut().zip(&headers[..self.count]) {
            *length = header.msg_len as usize;
        }
        // The count only grows, so the last datagram's is enough.
        self.dropped = headers[..self.count].last().and_then(|header| overflow(&header.msg_hdr));
        Ok(self.count)
    }

    /// The kernel's count of drops when it queued the last datagram of the batch; none while it is zero.
    pub(super) fn dropped(&self) -> Option<u32> {
        self.dropped
    }

    /// The datagrams of the last batch; left out where the sender's address is of no known family.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let buffers = self.buffers.chunks_exact(MAX_DATAGRAM).zip(&self.lengths);
        buffers
            .zip(self.names.iter())
            .take(self.count)
            .filter_map(|((buffer, &length), name)| Some((from_storage(name)?, buffer.get(..length)?)))
    }
}

/// Reads the count of drops from a header whose control buffer the kernel filled.
fn overflow(header: &libc::msghdr) -> Option<u32> {
    // SAFETY: the header's control buffer and its length are as the kernel left them, and the buffer is alive.
    let mut cmsg = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !cmsg.is_null() {
        // SAFETY: not null, so it is a header within the buffer.
        let (level, kind) = unsafe { ((*cmsg).cmsg_level, (*cmsg).cmsg_type) };
        if (level, kind) == (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) {
            // SAFETY: this kind carries an u32; it may be unaligned.
            return Some(unsafe { libc::CMSG_DATA(cmsg).cast::<u32>().read_unaligned() });
        }
        // SAFETY: as for the first.
        cmsg = unsafe { libc::CMSG_NXTHDR(header, cmsg) };
    }
    None
}

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

/// The MTU of the path to the peer of a connected socket, as far as the kernel knows; none where it does not say.
pub(super) fn path_mtu(socket: BorrowedFd<'_>, ipv6: bool) -> Option<usize> {
    let (level, name) =
        if ipv6 { (libc::IPPROTO_IPV6, libc::IPV6_MTU) } else { (libc::IPPROTO_IP, libc::IP_MTU) };
    let mut mtu: libc::c_int = 0;
    #[expect(clippy::cast_possible_truncation, reason = "4 octets")]
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` octets into `mtu`, which has as many.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut mtu).cast(), &raw mut length) };
    if result == 0 { usize::try_from(mtu).ok() } else { None }
}
