//! System calls on an SCTP socket: options as octets, messages with ancillary data (RFC 6458).
#![expect(unsafe_code, reason = "socket options and ancillary data of SCTP have no safe wrapper")]

use std::cell::RefCell;
use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::time::Duration;

use libc::{c_int, c_void, cmsghdr, sctp_prinfo, sctp_rcvinfo, sctp_sndinfo, socklen_t};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_sctp::SctpSocket;

use crate::{MAX_MESSAGE, Ppid};

/// Octets read at once: the longest message, or a SEND_FAILED notification with the longest fragment.
const CHUNK: usize = MAX_MESSAGE + 1 + 1024;

thread_local! {
    /// Where every association of a thread reads into, so that an idle one owns no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// tokio-sctp's socket, which only tells its descriptor as a number.
pub(super) struct Descriptor(pub(super) SctpSocket);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Puts a socket on tokio's reactor, for reading.
pub(super) fn register(socket: Descriptor) -> io::Result<AsyncFd<Descriptor>> {
    // SAFETY: the descriptor stays the same, and open, as long as the socket lives, which the AsyncFd owns
    // and hands out by shared reference only.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// Puts another descriptor of a socket on tokio's reactor, for writing.
pub(super) fn register_for_writing(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: it owns its descriptor, and the AsyncFd owns it and hands it out by shared reference only.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, Interest::WRITABLE) }?)
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket owns the descriptor and closes it only when dropped.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

/// Returns how long a tick of the kernel is, a "jiffy": 1 to 10 ms. The coarse clock advances once in a tick
/// (clock_gettime(2)).
pub(super) fn tick() -> Duration {
    static TICK: OnceLock<Duration> = OnceLock::new();
    *TICK.get_or_init(|| {
        // SAFETY: all octets zero are a timespec.
        let mut resolution: libc::timespec = unsafe { zeroed() };
        // SAFETY: the kernel writes one timespec.
        let failed = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut resolution) } != 0;
        // What most distributions' kernels have.
        let nanoseconds = if failed { 4_000_000 } else { resolution.tv_nsec };
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
    })
}

/// Sets an option of `IPPROTO_SCTP`.
pub(super) fn set(socket: &impl AsFd, option: c_int, value: &[u8]) -> io::Result<()> {
    set_at(socket, libc::IPPROTO_SCTP, option, value)
}

/// Sets an option of `SOL_SOCKET` that is a number.
pub(super) fn set_socket(socket: &impl AsFd, option: c_int, value: c_int) -> io::Result<()> {
    set_at(socket, libc::SOL_SOCKET, option, &value.to_ne_bytes())
}

fn set_at(socket: &impl AsFd, level: c_int, option: c_int, value: &[u8]) -> io::Result<()> {
    let length = socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel reads `length` octets.
    let result = unsafe {
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, value.as_ptr().cast::<c_void>(), length)
    };
    // SCTP_SOCKOPT_CONNECTX returns the identifier of the association, which is positive.
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads an option of `level` into `value`, whose octets before are the question. Returns how many octets
/// the kernel wrote.
pub(super) fn get(socket: &impl AsFd, level: c_int, option: c_int, value: &mut [u8]) -> io::Result<usize> {
    let mut length = socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel writes at most `length`
    // octets into `value`, which has as many.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            value.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(length as usize) }
}

/// What goes with a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendInfo {
    pub(super) stream: u16,
    /// Bits of `sctp_sinfo_flags`.
    pub(super) flags: u16,
    pub(super) ppid: Ppid,
    /// Comes back in SCTP_SEND_FAILED_EVENT.
    pub(super) context: u32,
    /// Policy of RFC 7496 (`SCTP_PR_SCTP_NONE` for none) and its value.
    pub(super) policy: u16,
    pub(super) value: u32,
    /// Another message follows at once, which may share the packet.
    pub(super) more: bool,
}

/// SCTP_SNDINFO and SCTP_PRINFO as `CMSG_SPACE` lays them out.
#[repr(C)]
struct SendControl {
    sndinfo_header: cmsghdr,
    sndinfo: sctp_sndinfo,
    prinfo_header: cmsghdr,
    prinfo: sctp_prinfo,
}

#[expect(clippy::cast_possible_truncation, reason = "a few octets")]
const _: () = {
    // SAFETY: arithmetic only.
    let spaces = unsafe {
        (
            libc::CMSG_SPACE(size_of::<sctp_sndinfo>() as u32) as usize,
            libc::CMSG_SPACE(size_of::<sctp_prinfo>() as u32) as usize,
        )
    };
    assert!(size_of::<sctp_sndinfo>() == 16 && size_of::<sctp_prinfo>() == 8);
    assert!(size_of::<sctp_rcvinfo>() == 28);
    assert!(offset_of!(SendControl, prinfo_header) == spaces.0);
    assert!(size_of::<SendControl>() == spaces.0 + spaces.1);
};

const fn header(kind: c_int, length: usize) -> cmsghdr {
    // SAFETY: arithmetic only; all zeroes is a valid cmsghdr.
    #[expect(clippy::cast_possible_truncation, reason = "a few octets")]
    let (total, mut header) = unsafe { (libc::CMSG_LEN(length as u32), zeroed::<cmsghdr>()) };
    header.cmsg_len = total as _;
    header.cmsg_level = libc::IPPROTO_SCTP;
    header.cmsg_type = kind;
    header
}

/// Hands the kernel one whole message. `WouldBlock` when its send buffer is full.
pub(super) fn send(socket: &impl AsFd, data: &[u8], info: &SendInfo) -> io::Result<()> {
    let mut control = SendControl {
        sndinfo_header: header(libc::SCTP_SNDINFO, size_of::<sctp_sndinfo>()),
        sndinfo: sctp_sndinfo {
            snd_sid: info.stream,
            snd_flags: info.flags,
            snd_ppid: info.ppid.0.to_be(),
            snd_context: info.context,
            snd_assoc_id: 0,
        },
        prinfo_header: header(libc::SCTP_PRINFO, size_of::<sctp_prinfo>()),
        prinfo: sctp_prinfo { pr_policy: info.policy, pr_value: info.value },
    };
    let mut vector = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    // A message without limits needs no second header.
    let unlimited = info.policy == super::SCTP_PR_SCTP_NONE;
    let length = if unlimited { offset_of!(SendControl, prinfo_header) } else { size_of::<SendControl>() };
    message.msg_controllen = length as _;
    let more = if info.more { libc::MSG_MORE } else { 0 };
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | more;
    // SAFETY: the descriptor is open as long as `socket` is borrowed; what `message` points to lives until
    // the call returns, and the kernel only reads it.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, flags) };
    match usize::try_from(sent) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(length) if length == data.len() => Ok(()),
        Ok(length) => Err(io::Error::other(format!("{length} octets of {} sent", data.len()))),
    }
}

/// Where a piece of what was read belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// Of a message.
    Data { stream: u16, ppid: Ppid, unordered: bool },
    /// Of a notification.
    Notification,
    /// Nothing comes any more.
    End,
}

/// Reads the next piece and shows it to `read`, together with whether it is the last of its message or
/// notification. `WouldBlock` when there is none.
pub(super) fn receive<T>(socket: &impl AsFd, read: impl FnOnce(Piece, &[u8], bool) -> T) -> io::Result<T> {
    SCRATCH.with_borrow_mut(|buffer| {
        // Room for SCTP_RCVINFO and for the older SCTP_SNDRCV, aligned for a cmsghdr.
        let mut control = [0_u64; 24];
        let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: all zeroes is a valid msghdr.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel writes at most
        // `buffer.len()` octets into `buffer` and `msg_controllen` into `control`.
        let length =
            unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
        let Ok(length) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
        let piece = if message.msg_flags & libc::MSG_NOTIFICATION != 0 {
            Piece::Notification
        } else if length == 0 {
            Piece::End
        } else {
            receive_info(&message).ok_or_else(|| io::Error::other("a message came without SCTP_RCVINFO"))?
        };
        Ok(read(piece, &buffer[..length], message.msg_flags & libc::MSG_EOR != 0))
    })
}

/// The SCTP_RCVINFO among the ancillary data the kernel wrote.
fn receive_info(message: &libc::msghdr) -> Option<Piece> {
    // SAFETY: `message` is as recvmsg(2) left it, its control buffer is alive and aligned.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a whole header within the control buffer.
    while let Some(header) = unsafe { next.as_ref() } {
        let wanted = header.cmsg_level == libc::IPPROTO_SCTP && header.cmsg_type == libc::SCTP_RCVINFO;
        // SAFETY: arithmetic only.
        #[expect(clippy::cast_possible_truncation, reason = "28 octets")]
        let whole = unsafe { libc::CMSG_LEN(size_of::<sctp_rcvinfo>() as u32) } as usize;
        if wanted && header.cmsg_len >= whole as _ {
            // SAFETY: the header says that as many octets follow it.
            let info = unsafe { libc::CMSG_DATA(header).cast::<sctp_rcvinfo>().read_unaligned() };
            return Some(Piece::Data {
                stream: info.rcv_sid,
                ppid: Ppid(u32::from_be(info.rcv_ppid)),
                unordered: c_int::from(info.rcv_flags) & libc::SCTP_UNORDERED != 0,
            });
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        next = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}
