//! How many packets stand behind one that was observed (RFC 5477 section 8.2, and NetFlow's samplers).

/// A ratio: of so many packets, so many were selected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Factor {
    of: u64,
    selected: u64,
}

impl Factor {
    /// One of `interval`; None for 0, which says nothing.
    pub(super) fn one_of(interval: u64) -> Option<Self> {
        Self::ratio(interval, 1)
    }

    /// `selected` of so many; None where there is no such ratio.
    pub(super) fn ratio(of: u64, selected: u64) -> Option<Self> {
        (selected > 0 && of >= selected).then_some(Self { of, selected })
    }

    /// A probability above 0, at most 1.
    pub(super) fn probability(probability: f64) -> Option<Self> {
        // To nine digits.
        const SCALE: f64 = 1e9;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1e9")]
        let selected = (0.0..=1.0).contains(&probability).then_some((probability * SCALE).round() as u64)?;
        Self::ratio(1_000_000_000, selected)
    }

    /// Whether there are packets that were not observed.
    pub(super) const fn is_sampled(&self) -> bool {
        self.of > self.selected
    }

    /// Returns what a count of what was observed stands for, to the nearest whole number.
    pub(super) fn scale(self, count: u64) -> u64 {
        let of = u128::from(count) * u128::from(self.of) + u128::from(self.selected / 2);
        u64::try_from(of / u128::from(self.selected)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_scaled_to_the_nearest_whole_number() {
        assert_eq!(Factor::one_of(100).unwrap().scale(7), 700);
        assert_eq!(Factor::ratio(1_000, 3).unwrap().scale(10), 3_333);
        assert_eq!(Factor::probability(0.25).unwrap().scale(3), 12);
        assert_eq!(Factor::one_of(u64::MAX).unwrap().scale(2), u64::MAX);
    }

    #[test]
    fn impossible_ratios_are_none() {
        assert!(
            Factor::one_of(0).is_none() && Factor::ratio(1, 2).is_none() && Factor::ratio(0, 0).is_none()
        );
        for probability in [0.0, -0.5, 1.5, f64::NAN, f64::INFINITY, 1e-12] {
            assert!(Factor::probability(probability).is_none(), "{probability}");
        }
        assert!(!Factor::probability(1.0).unwrap().is_sampled());
    }
}
