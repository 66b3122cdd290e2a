//! Limits what one peer may ask for (RFC 5355 threats 1 and 13).

use std::time::{Duration, Instant};

/// How many seconds' worth may come at once.
const BURST: u32 = 5;

/// How many of them are kept for what is more urgent.
const RESERVE: u32 = 1;

#[derive(Debug)]
pub(crate) struct TokenBucket {
    /// Time one token takes; zero means no limit.
    per_token: Duration,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl TokenBucket {
    pub(crate) fn new(per_second: u32, now: Instant) -> TokenBucket {
        let per_token = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        TokenBucket { per_token, full_at: now }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.take_of(now, BURST)
    }

    /// Takes a token if there are more than the reserve.
    pub(super) fn take_beyond_reserve(&mut self, now: Instant) -> bool {
        self.take_of(now, BURST - RESERVE)
    }

    fn take_of(&mut self, now: Instant, seconds: u32) -> bool {
        let full_at = self.full_at.max(now) + self.per_token;
        let allowed = full_at.saturating_duration_since(now) <= Duration::from_secs(seconds.into());
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }
}

impl TokenBucket {
    /// Returns whether nothing was taken that has not come again.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_of_one_per_second_gives_five_at_once_and_then_one_each_second() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(1, start);
        assert_eq!((0..10).filter(|_| bucket.take(start)).count(), 5);
        assert!(!bucket.take(start + Duration::from_millis(900)));
        assert!(bucket.take(start + Duration::from_secs(1)));
        assert!(!bucket.take(start + Duration::from_secs(1)));
        assert_eq!((0..10).filter(|_| bucket.take(start + Duration::from_secs(60))).count(), 5);
    }

    #[test]
    fn a_reserve_of_one_second_is_left_to_what_may_take_it() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(2, start);
        assert_eq!((0..20).filter(|_| bucket.take_beyond_reserve(start)).count(), 8);
        assert_eq!((0..20).filter(|_| bucket.take(start)).count(), 2);
    }
}
