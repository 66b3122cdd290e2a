//! Lets one line a second into the log, of those a peer can trigger at will.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    /// Returns whether a line at `now` is the first for a second.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if admitted {
            *last = Some(now);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn one_line_a_second_is_admitted() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let at = |milliseconds| throttle.admits(start + Duration::from_millis(milliseconds));
        assert_eq!(
            [at(0), at(1), at(999), at(1_000), at(1_500), at(2_000)],
            [true, false, false, true, false, true]
        );
    }
}
