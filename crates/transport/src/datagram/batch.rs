//! Datagrams received in batches. Each unsafe block says why it holds.
#![expect(unsafe_code, reason = "recvmmsg and its control messages have no safe wrapper in std")]

use std::io;
use std::mem::zeroed;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::{MAX_DATAGRAM, NAME_LENGTH, check, from_storage};

/// Room for one control message with an u32.
const CONTROL: usize = 64;

/// Control messages start with a `cmsghdr`, which wants this alignment.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// Buffers for `N` datagrams per system call, made once. Pages that no datagram reached take no memory.
pub(crate) struct Batch<const N: usize> {
    buffers: Vec<u8>,
    lengths: [usize; N],
    names: Box<[libc::sockaddr_storage; N]>,
    count: usize,
    dropped: Option<u32>,
}

impl<const N: usize> Batch<N> {
    pub(crate) fn new() -> Self {
        // SAFETY: all zeroes is a valid sockaddr_storage.
        let names = Box::new(unsafe { zeroed() });
        Self { buffers: vec![0; N * MAX_DATAGRAM], lengths: [0; N], names, count: 0, dropped: None }
    }

    /// Receives what is there, `N` datagrams at most.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        (self.count, self.dropped) = (0, None);
        let mut controls = [Control([0; CONTROL]); N];
        // SAFETY: all zeroes is a valid iovec and a valid mmsghdr (null pointers, zero lengths).
        let (mut vectors, mut headers): ([libc::iovec; N], [libc::mmsghdr; N]) =
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
        #[expect(clippy::cast_possible_truncation, reason = "a few")]
        let messages = N as libc::c_uint;
        // SAFETY: every header points to one iovec, one name and one control buffer that live over the call, and
        // every iovec to its own part of `buffers`, exclusively borrowed.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                messages,
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

    /// The kernel's count of drops when it queued the last datagram of the batch (`SO_RXQ_OVFL`); none while it is zero
    /// or was not asked for.
    pub(crate) fn dropped(&self) -> Option<u32> {
        self.dropped
    }

    /// Datagram `i` of the last batch; none where the sender's address is of no known family.
    pub(crate) fn datagram(&self, i: usize) -> Option<(SocketAddr, &[u8])> {
        let length = *self.lengths[..self.count].get(i)?;
        Some((from_storage(&self.names[i])?, self.buffers[i * MAX_DATAGRAM..].get(..length)?))
    }

    /// The datagrams of the last batch; left out where the sender's address is of no known family.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        (0..self.count).filter_map(|i| self.datagram(i))
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
