//! Whether the collector of one session still makes progress, and how much may be in flight to it.
//!
//! Timers: 3 s without any cookie while records are uncovered: frozen. 1 s without progress: the window is halved; 30 to
//! 45 s without progress: slow. Progress doubles the window. What to do on failure is the caller's decision.

use std::time::{Duration, Instant};

/// A timer that fires later than this finds an exporter that was itself stopped: cookies may be waiting to be read, so
/// the collector gets the whole time again.
const OVERSLEPT: Duration = Duration::from_secs(1);

/// Times and window of an [`AckWatch`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Config {
    /// Time without any cookie while records are uncovered, after which the collector counts as frozen. Default 3 s.
    pub frozen_after: Duration,
    /// Time without progress after which the window is halved, again and again. Default 1 s.
    pub shrink_after: Duration,
    /// Time without progress after which the collector counts as slow; up to half of it is added at random, so that not
    /// all exporters leave at once. Default 30 s.
    pub slow_after: Duration,
    /// The window at the start of a session, in octets of records. Default 1 MiB.
    pub initial_window: u64,
    /// Smallest window. Default 64 KiB.
    pub min_window: u64,
    /// Largest window: what a failover may repeat at most. Default 8 MiB.
    pub max_window: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            frozen_after: Duration::from_secs(3),
            shrink_after: Duration::from_secs(1),
            slow_after: Duration::from_secs(30),
            initial_window: 1 << 20,
            min_window: 64 << 10,
            max_window: 8 << 20,
        }
    }
}

/// Whether the collector is known to send cookies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expectation {
    /// It is: the pool element registered "data plus control" (RFC 5354 section 3.4), or the configuration says so.
    Cookies,
    /// Not until the first one comes: until then nothing is concluded from silence, and hold-back covers.
    Unknown,
}

/// Why to leave the collector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// No cookie came while records were uncovered.
    Frozen,
    /// Cookies came, without progress.
    Slow,
}

/// Watches the cookies of one session.
#[derive(Clone, Debug)]
pub struct AckWatch {
    config: Config,
    sends_cookies: bool,
    slow_after: Duration,
    window: u64,
    /// While records are uncovered.
    waiting: Option<Waiting>,
    failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    frozen_at: Instant,
    shrink_at: Instant,
    slow_at: Instant,
}

impl AckWatch {
    /// Returns the watch of a new session. `seed` decides how much is added to `slow_after`.
    pub fn new(config: Config, expectation: Expectation, seed: u64) -> Self {
        let sends_cookies = expectation == Expectation::Cookies;
        // The upper 32 bits of a product with an odd constant are spread evenly, whatever the seed (Knuth, 6.4).
        let share = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let slow_after =
            config.slow_after + config.slow_after.mul_f64(share as f64 / 2.0 / f64::from(u32::MAX));
        Self {
            config,
            sends_cookies,
            slow_after,
            window: config.initial_window,
            waiting: None,
            failure: None,
        }
    }

    /// Tells whether the collector sends cookies, as far as is known; hold-back is for those that do not.
    pub fn sends_cookies(&self) -> bool {
        self.sends_cookies
    }

    /// Returns how many octets of records may be in flight.
    pub fn window(&self) -> u64 {
        if self.sends_cookies { self.window } else { u64::MAX }
    }

    /// Tells whether more may be sent with `in_flight` octets uncovered in this session.
    pub fn may_send(&self, in_flight: u64) -> bool {
        in_flight < self.window()
    }

    /// Takes the sending of a record that awaits a cookie.
    pub fn handle_sent(&mut self, now: Instant) {
        if self.sends_cookies && self.waiting.is_none() {
            self.waiting = Some(self.all_timers(now));
        }
    }

    /// Takes a cookie. `progress`: it covered something. `in_flight`: octets that are uncovered after it.
    pub fn handle_cookie(&mut self, now: Instant, progress: bool, in_flight: u64) {
        self.sends_cookies = true;
        if progress {
            self.window = (self.window * 2).clamp(self.config.min_window, self.config.max_window);
        }
        let fresh = self.all_timers(now);
        self.waiting = match self.waiting {
            _ if in_flight == 0 => None,
            Some(waiting) if !progress => Some(Waiting { frozen_at: fresh.frozen_at, ..waiting }),
            _ => Some(fresh),
        };
    }

    fn all_timers(&self, now: Instant) -> Waiting {
        Waiting {
            frozen_at: now + self.config.frozen_after,
            shrink_at: now + self.config.shrink_after,
            slow_at: now + self.slow_after,
        }
    }

    /// Returns when [`AckWatch::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.map(|waiting| waiting.frozen_at.min(waiting.shrink_at).min(waiting.slow_at))
    }

    /// Fires every timer due at `now`. Cookies that have arrived are to be handled first.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(waiting) = self.waiting else { return };
        if self.poll_timeout().is_some_and(|due| due + OVERSLEPT < now) {
            self.waiting = Some(self.all_timers(now));
            return;
        }
        if waiting.frozen_at <= now || waiting.slow_at <= now {
            let frozen = waiting.frozen_at <= now;
            self.failure = Some(if frozen { Failure::Frozen } else { Failure::Slow });
            self.waiting = Some(self.all_timers(now));
        } else if waiting.shrink_at <= now {
            self.window = (self.window / 2).max(self.config.min_window);
            self.waiting = Some(Waiting { shrink_at: now + self.config.shrink_after, ..waiting });
        }
    }

    /// Returns a failure once. Staying with the collector is allowed: the timers have started anew.
    pub fn poll_output(&mut self) -> Option<Failure> {
        self.failure.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "tests need some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn watch() -> AckWatch {
        AckWatch::new(Config::default(), Expectation::Cookies, 1)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Runs the timers up to `until`, with a cookie without progress every second when `alive`.
    fn run(watch: &mut AckWatch, from: Instant, until: Instant, alive: bool) -> Option<(Duration, Failure)> {
        let mut cookie = from + seconds(1);
        loop {
            let due = watch.poll_timeout().unwrap();
            if alive && cookie < due {
                watch.handle_cookie(cookie, false, 1);
                cookie += seconds(1);
                continue;
            }
            if due > until {
                return None;
            }
            watch.handle_timeout(due);
            if let Some(failure) = watch.poll_output() {
                return Some((due - from, failure));
            }
        }
    }

    #[test]
    fn no_cookie_for_three_seconds_while_records_are_uncovered_is_frozen() {
        let (mut watch, now) = (watch(), start());
        assert_eq!(watch.poll_timeout(), None);
        watch.handle_sent(now);
        watch.handle_sent(now + seconds(2));
        assert_eq!(run(&mut watch, now, now + seconds(60), false), Some((seconds(3), Failure::Frozen)));
    }

    #[test]
    fn nothing_is_expected_while_everything_is_covered() {
        let (mut watch, now) = (watch(), start());
        watch.handle_sent(now);
        watch.handle_cookie(now + seconds(1), true, 0);
        assert_eq!(watch.poll_timeout(), None);
    }

    #[test]
    fn cookies_without_progress_are_slow_after_thirty_seconds_and_some() {
        let (mut watch, now) = (watch(), start());
        watch.handle_sent(now);
        let (after, failure) = run(&mut watch, now, now + seconds(60), true).unwrap();
        assert_eq!(failure, Failure::Slow);
        assert!(after >= seconds(30) && after <= seconds(45), "{after:?}");
    }

    #[test]
    fn the_window_halves_without_progress_and_doubles_with_it() {
        let (mut watch, now) = (watch(), start());
        watch.handle_sent(now);
        run(&mut watch, now, now + Duration::from_millis(2_900), true);
        assert_eq!(watch.window(), 256 << 10);
        watch.handle_cookie(now + seconds(3), true, 1);
        assert_eq!(watch.window(), 512 << 10);
        (0..20).for_each(|_| watch.handle_cookie(now + seconds(3), true, 1));
        assert_eq!(watch.window(), 8 << 20);
        assert!(watch.may_send((8 << 20) - 1) && !watch.may_send(8 << 20));
    }

    #[test]
    fn silence_of_a_collector_that_never_sent_a_cookie_means_nothing() {
        let now = start();
        let mut watch = AckWatch::new(Config::default(), Expectation::Unknown, 1);
        watch.handle_sent(now);
        assert_eq!((watch.poll_timeout(), watch.may_send(1 << 40)), (None, true));
        watch.handle_cookie(now, false, 1);
        assert!(watch.sends_cookies());
        assert_eq!(run(&mut watch, now, now + seconds(60), false), Some((seconds(3), Failure::Frozen)));
    }

    #[test]
    fn an_exporter_that_was_stopped_itself_does_not_blame_the_collector() {
        let (mut watch, now) = (watch(), start());
        watch.handle_sent(now);
        watch.handle_timeout(now + seconds(100));
        assert_eq!(watch.poll_output(), None);
        assert_eq!(watch.poll_timeout(), Some(now + seconds(101)));
    }
}
