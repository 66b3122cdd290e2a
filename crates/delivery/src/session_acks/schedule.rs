//! When a collector sends a cookie on an association (docs/wire.md section 5).
//!
//! Timers: 200 ms between cookies while there is news, 1 s while a received record is not durable.

use std::time::{Duration, Instant};

/// Shortest time between two cookies.
const NEWS_INTERVAL: Duration = Duration::from_millis(200);
/// Time between two cookies while something of the session is uncovered: they say "alive but slow".
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Decides when the next cookie of one association is due. None is, before a session record asked for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CookieSchedule {
    asked: Option<Instant>,
    sent: Option<Instant>,
    news: bool,
    uncovered: bool,
}

impl CookieSchedule {
    /// Returns the schedule of a new association: silent.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Takes a session record; after the first one a cookie is due at once.
    pub(super) fn handle_session_record(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// Takes the receipt of records with numbers that are not durable yet.
    pub(super) fn handle_received(&mut self) {
        self.uncovered = true;
    }

    /// Takes news: more is durable, or the collector's state changed. `uncovered`: something of the session still is.
    pub(super) fn handle_news(&mut self, uncovered: bool) {
        self.news = true;
        self.uncovered = uncovered;
    }

    /// Notes that a cookie was sent. `uncovered`: something of the session is not durable.
    pub(super) fn handle_sent(&mut self, now: Instant, uncovered: bool) {
        self.sent = Some(now);
        self.news = false;
        self.uncovered = uncovered;
    }

    /// Returns when the next cookie is due; `None` while there is nothing to say.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.asked?;
        let Some(sent) = self.sent else { return Some(asked) };
        if self.news {
            return Some(sent + NEWS_INTERVAL);
        }
        self.uncovered.then(|| sent + ALIVE_INTERVAL)
    }

    /// Tells whether a cookie is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.poll_timeout().is_some_and(|due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "tests need some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn nothing_is_sent_before_a_session_record_asks() {
        let mut schedule = CookieSchedule::new();
        schedule.handle_received();
        schedule.handle_news(false);
        assert_eq!(schedule.poll_timeout(), None);
        let now = start();
        schedule.handle_session_record(now);
        assert!(schedule.is_due(now));
    }

    #[test]
    fn news_waits_for_200_ms_and_slowness_for_one_second() {
        let now = start();
        let mut schedule = CookieSchedule::new();
        schedule.handle_session_record(now);
        schedule.handle_sent(now, false);
        assert_eq!(schedule.poll_timeout(), None);
        schedule.handle_received();
        assert_eq!(schedule.poll_timeout(), Some(now + ALIVE_INTERVAL));
        schedule.handle_news(true);
        assert_eq!(schedule.poll_timeout(), Some(now + NEWS_INTERVAL));
        schedule.handle_sent(now + NEWS_INTERVAL, true);
        assert_eq!(schedule.poll_timeout(), Some(now + NEWS_INTERVAL + ALIVE_INTERVAL));
    }
}
