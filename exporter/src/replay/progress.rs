//! How far reading is, in one line of a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::capture::{CaptureError, Captures, Interface, Packet, PacketSource};

/// Packets between two looks at the clock.
const STRIDE: u64 = 1 << 14;
/// Between two looks of the line.
const PERIOD: Duration = Duration::from_millis(250);
/// Characters of the bar.
const WIDTH: u32 = 30;
/// Back to the beginning of the line, and nothing in it.
const CLEAR: &str = "\r\x1b[2K";

/// Shows how far reading is, where standard error is a terminal. The line is gone with it.
pub(crate) struct Progress {
    packets: u64,
    read: Arc<AtomicU64>,
    /// Octets of all files, where that is known.
    total: Option<u64>,
    begin: Instant,
    /// When to show it next; never where nobody looks.
    next: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(captures: &Captures) -> Self {
        let begin = Instant::now();
        let next = io::stderr().is_terminal().then_some(begin + PERIOD);
        Self { packets: 0, read: captures.octets(), total: captures.size(), begin, next }
    }

    /// A packet was read.
    #[inline]
    pub(super) fn packet(&mut self) {
        self.packets += 1;
        if self.packets.is_multiple_of(STRIDE) {
            self.tell();
        }
    }

    /// Shows it if it is time to.
    fn tell(&mut self) {
        let Some(next) = self.next else { return };
        let now = Instant::now();
        if now >= next {
            self.next = Some(now + PERIOD);
            let line = line(self.read.load(Ordering::Relaxed), self.total, now - self.begin);
            // What is logged next is written over it. Who looks no more needs nothing.
            let _ = write!(io::stderr(), "{CLEAR}{line}\r");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.next.is_some() {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }
}

/// A source that shows how far it is, until its end.
pub(crate) struct Shown<S> {
    source: S,
    progress: Option<Progress>,
}

impl<S> Shown<S> {
    /// Without `progress` it shows nothing.
    pub(crate) const fn new(source: S, progress: Option<Progress>) -> Self {
        Self { source, progress }
    }
}

impl<S: PacketSource> PacketSource for Shown<S> {
    #[inline]
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        let packet = self.source.next_packet();
        match (&mut self.progress, &packet) {
            (Some(progress), Ok(Some(_))) => progress.packet(),
            (Some(_), _) => self.progress = None,
            (None, _) => {}
        }
        packet
    }

    fn take_interfaces(&mut self) -> Vec<Interface> {
        self.source.take_interfaces()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share, and a time to come")]
fn line(read: u64, total: Option<u64>, elapsed: Duration) -> String {
    let mebi = |octets: u64| octets >> 20;
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{} MiB", mebi(read));
    };
    let read = read.min(total);
    let share = read as f64 / total as f64;
    let full: String =
        (0..WIDTH).map(|at| if f64::from(at) < share * f64::from(WIDTH) { '#' } else { '.' }).collect();
    let left = match Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - share) / share) {
        Ok(left) => format!("{}:{:02} left", left.as_secs() / 60, left.as_secs() % 60),
        // Nothing was read.
        Err(_) => "waiting".to_owned(),
    };
    format!("[{full}] {:3.0} %  {} of {} MiB  {left}", share * 100.0, mebi(read), mebi(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_how_far_it_is_and_how_long_it_takes() {
        let second = Duration::from_secs(1);
        let shown = |read: u64, total| line(read << 20, total, 25 * second);
        assert_eq!(
            shown(100, Some(400 << 20)),
            "[########......................]  25 %  100 of 400 MiB  1:15 left"
        );
        assert_eq!(
            shown(0, Some(400 << 20)),
            "[..............................]   0 %  0 of 400 MiB  waiting"
        );
        assert_eq!(
            shown(401, Some(400 << 20)),
            "[##############################] 100 %  400 of 400 MiB  0:00 left"
        );
        assert_eq!(shown(7, None), "7 MiB");
    }

    #[test]
    fn a_source_that_is_shown_lends_what_it_would_and_shows_nothing_after_its_end() {
        let path = pcap_fixtures::fixture(pcap_fixtures::HTTP);
        let captures = Captures::one(path.clone());
        let progress = Progress::new(&captures);
        let mut plain = crate::capture::PcapFile::open(&path).unwrap();
        let mut shown = Shown::new(crate::capture::PcapFile::open(&path).unwrap(), Some(progress));
        while let Some(packet) = shown.next_packet().unwrap() {
            assert_eq!(plain.next_packet().unwrap(), Some(packet));
        }
        assert_eq!(plain.next_packet().unwrap(), None);
        assert!(shown.progress.is_none());
    }
}
