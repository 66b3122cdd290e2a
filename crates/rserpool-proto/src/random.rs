//! Randomness of the machines: a seed and nothing else, so that a simulation can be repeated.

use std::time::Duration;

/// SplitMix64: good enough to spread timers and to choose identifiers, not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns the sequence that follows from this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Returns the next number of the sequence.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number that is not zero: identifiers are never zero.
    pub(crate) fn identifier(&mut self) -> u32 {
        loop {
            let [_, _, _, _, a, b, c, d] = self.next_u64().to_be_bytes();
            let number = u32::from_be_bytes([a, b, c, d]);
            if number != 0 {
                return number;
            }
        }
    }

    /// Returns `base` plus or minus up to `percent` percent.
    pub(crate) fn jitter(&mut self, base: Duration, percent: u8) -> Duration {
        let nanos = u64::try_from(base.as_nanos()).unwrap_or(u64::MAX);
        let span = nanos / 100 * u64::from(percent.min(100));
        let least = nanos - span;
        Duration::from_nanos(least.saturating_add(self.next_u64() % (span * 2).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_percentage_and_reaches_both_halves() {
        let mut random = Random::new(1);
        let base = Duration::from_secs(1);
        let drawn: Vec<Duration> = (0..1000).map(|_| random.jitter(base, 50)).collect();
        assert!(drawn.iter().all(|d| (500..=1500).contains(&d.as_millis())));
        assert!(drawn.iter().any(|d| d.as_millis() < 600));
        assert!(drawn.iter().any(|d| d.as_millis() > 1400));
        assert_eq!(random.jitter(base, 0), base);
    }
}
