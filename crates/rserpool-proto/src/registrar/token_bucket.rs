//! Limits what one peer may ask for (RFC 5355 threats 1 and 8).

use std::time::{Duration, Instant};

/// How many seconds' worth may come at once.
const BURST: u32 = 5;

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
        let full_at = self.full_at.max(now) + self.per_token;
        let allowed = full_at.saturating_duration_since(now) <= Duration::from_secs(BURST.into());
        if allowed {
            self.full_at = full_at;
        }
        allowed
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
}
