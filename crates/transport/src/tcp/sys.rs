//! What the kernel knows of a connection.
#![expect(unsafe_code, reason = "TCP_INFO has no safe wrapper")]

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
        }
    }
}

pub(super) fn info(socket: BorrowedFd<'_>) -> io::Result<Info> {
    // SAFETY: all zeroes is a valid tcp_info.
    let mut raw: libc::tcp_info = unsafe { zeroed() };
    #[expect(clippy::cast_possible_truncation, reason = "some 100 octets")]
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` octets into `raw`, which has as many.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut raw).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Info {
        silence: Duration::from_millis(raw.tcpi_last_ack_recv.into()),
        unanswered: raw.tcpi_retransmits.max(raw.tcpi_probes),
        srtt: Duration::from_micros(raw.tcpi_rtt.into()),
        congestion_window: raw.tcpi_snd_cwnd as usize * raw.tcpi_snd_mss as usize,
        retransmissions: raw.tcpi_total_retrans.into(),
    })
}
