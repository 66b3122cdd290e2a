//! What the kernel knows of a connection.
#![expect(unsafe_code, reason = "TCP_INFO and MPTCP_INFO have no safe wrapper")]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use crate::link::Figures;

/// What the kernel knows of a connection (`tcp(7)`, TCP_INFO).
#[derive(Clone, Copy, Debug)]
pub(super) struct Info {
    /// Since the last acknowledgement, of data, window probe or keep-alive.
    pub(super) silence: Duration,
    /// Retransmissions, probes or keep-alives that wait for an answer.
    pub(super) unanswered: u8,
    pub(super) srtt: Duration,
    pub(super) congestion_window: usize,
    pub(super) retransmissions: u64,
}

impl Info {
    pub(super) fn figures(&self) -> Figures {
        Figures {
            srtt: Some(self.srtt),
            congestion_window: Some(self.congestion_window),
            peer_window: None,
            retransmissions: Some(self.retransmissions),
            // The kernel answers for a process that stands still.
            quiet: false,
        }
    }
}

/// What the kernel knows of `socket`. Of an MPTCP connection, silence is that of all its paths.
pub(super) fn info(socket: BorrowedFd<'_>) -> io::Result<Info> {
    // SAFETY: all zeroes is a valid tcp_info.
    let mut raw: libc::tcp_info = unsafe { zeroed() };
    // SAFETY: a tcp_info may hold any octets.
    unsafe { option(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut raw)? };
    let silence = multipath(socket)
        .map_or(raw.tcpi_last_ack_recv, |multipath| raw.tcpi_last_ack_recv.min(multipath.last_ack_recv));
    Ok(Info {
        silence: Duration::from_millis(silence.into()),
        unanswered: raw.tcpi_retransmits.max(raw.tcpi_probes),
        srtt: Duration::from_micros(raw.tcpi_rtt.into()),
        congestion_window: raw.tcpi_snd_cwnd as usize * raw.tcpi_snd_mss as usize,
        retransmissions: raw.tcpi_total_retrans.into(),
    })
}

/// The beginning of `struct mptcp_info` (linux/mptcp.h), as of Linux 6.10.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Multipath {
    counts: [u8; 6],
    flags: u32,
    token: u32,
    sequence: [u64; 3],
    local: [u8; 3],
    retransmits: u32,
    octets: [u64; 4],
    subflows: [u8; 4],
    last_data_sent: u32,
    last_data_received: u32,
    /// Milliseconds; `u32::MAX` where the kernel does not tell.
    last_ack_recv: u32,
}

const SOL_MPTCP: libc::c_int = 284;
const MPTCP_INFO: libc::c_int = 1;
const MPTCP_INFO_FLAG_FALLBACK: u32 = 1;

/// What the kernel knows of an MPTCP connection; none where TCP is spoken instead.
pub(super) fn multipath(socket: BorrowedFd<'_>) -> Option<Multipath> {
    let mut raw = Multipath {
        counts: [0; 6],
        flags: 0,
        token: 0,
        sequence: [0; 3],
        local: [0; 3],
        retransmits: 0,
        octets: [0; 4],
        subflows: [0; 4],
        last_data_sent: 0,
        last_data_received: 0,
        last_ack_recv: u32::MAX,
    };
    // SAFETY: a Multipath may hold any octets.
    unsafe { option(socket, SOL_MPTCP, MPTCP_INFO, &mut raw).ok()? };
    (raw.flags & MPTCP_INFO_FLAG_FALLBACK == 0).then_some(raw)
}

/// Reads a socket option into `value`, which keeps what the kernel does not write.
///
/// # Safety
/// Any octets must be a valid `T`.
unsafe fn option<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "some 100 octets")]
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` octets into `value`, which has as many.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut *value).cast(), &raw mut length)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
