//! How far reading is, in one line of a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::capture::Captures;

/// Between two looks of the line.
const PERIOD: Duration = Duration::from_millis(250);
/// Characters of the bar.
const WIDTH: u32 = 30;
/// Back to the beginning of the line, and nothing in it.
const CLEAR: &str = "\r\x1b[2K";

/// Shows how far reading is, where standard error is a terminal.
pub(super) struct Progress {
    read: Arc<AtomicU64>,
    /// Octets of all files, where that is known.
    total: Option<u64>,
    begin: Instant,
    /// When to show it next; never where nobody looks.
    next: Option<Instant>,
}

impl Progress {
    pub(super) fn new(captures: &Captures) -> Self {
        let begin = Instant::now();
        let next = io::stderr().is_terminal().then_some(begin + PERIOD);
        Self { read: captures.octets(), total: captures.size(), begin, next }
    }

    /// Shows it if it is time to.
    pub(super) fn tell(&mut self) {
        let Some(next) = self.next else { return };
        let now = Instant::now();
        if now >= next {
            self.next = Some(now + PERIOD);
            let line = line(self.read.load(Ordering::Relaxed), self.total, now - self.begin);
            // Who looks no more needs nothing.
            let _ = write!(io::stderr(), "{CLEAR}{line}");
        }
    }

    /// Takes the line away.
    pub(super) fn end(self) {
        if self.next.is_some() {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
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
}
