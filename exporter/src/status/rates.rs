//! What went through, second by second, for the small charts.

use std::time::{Duration, Instant};

use service::page::History;

/// Seconds that are remembered.
pub(crate) const KEPT: usize = 180;
const SECOND: Duration = Duration::from_secs(1);

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Totals {
    /// Packets metered.
    pub(crate) packets: u64,
    /// Flow records taken.
    pub(crate) metered: u64,
    /// Flow records in messages, repeats included.
    pub(crate) sent: u64,
    /// Flow records whose way has ended well: on a collector's disk, or acknowledged by its transport.
    pub(crate) settled: u64,
}

impl Totals {
    /// The same in the order of [`NAMES`].
    const fn each(self) -> [u64; NAMES.len()] {
        [self.packets, self.metered, self.sent, self.settled]
    }
}

/// What the series are called, in JSON and on the page.
pub(crate) const NAMES: [(&str, &str); 4] = [
    ("packets", "Packets a second"),
    ("metered", "Flow records a second"),
    ("sent", "Sent a second"),
    ("settled", "Acknowledged a second"),
];

/// Rates of the last [`KEPT`] seconds.
#[derive(Debug)]
pub(crate) struct Rates {
    /// When and from what the next ones are counted.
    last: (Instant, Totals),
    series: [History; NAMES.len()],
}

impl Rates {
    /// Counts from `now` on.
    pub(crate) fn new(now: Instant) -> Self {
        Self { last: (now, Totals::default()), series: NAMES.map(|_| History::new(SECOND, KEPT)) }
    }

    /// Tells whether a second is over.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last.0) >= SECOND
    }

    /// Takes totals, if a second is over. Seconds in which nobody came here share what happened in them.
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
    pub(crate) fn take(&mut self, now: Instant, totals: Totals) {
        if !self.is_due(now) {
            return;
        }
        let elapsed = now.saturating_duration_since(self.last.0);
        let seconds = usize::try_from(elapsed.as_secs()).unwrap_or(KEPT).min(KEPT);
        let grown = self.last.1.each().into_iter().zip(totals.each());
        for (series, (before, total)) in self.series.iter_mut().zip(grown) {
            let rate = total.saturating_sub(before) as f64 / elapsed.as_secs_f64();
            (0..seconds).for_each(|_| series.push(rate.round()));
        }
        self.last = (now, totals);
    }

    /// Returns the series in the order of [`NAMES`].
    pub(crate) const fn series(&self) -> &[History; NAMES.len()] {
        &self.series
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
mod tests {
    use super::*;

    fn packets(rates: &Rates) -> Vec<f64> {
        rates.series()[0].samples().collect()
    }

    #[test]
    fn seconds_without_a_look_share_what_happened_in_them() {
        let start = Instant::now();
        let mut rates = Rates::new(start);
        let mut take = |milliseconds, packets| {
            let totals = Totals { packets, ..Totals::default() };
            rates.take(start + Duration::from_millis(milliseconds), totals);
        };
        take(500, 7);
        take(1_000, 10);
        take(1_999, 500);
        take(4_000, 1_510);
        assert_eq!(packets(&rates), [10.0, 500.0, 500.0, 500.0]);
    }

    #[test]
    fn only_the_last_minutes_are_remembered_however_long_nobody_looked() {
        let start = Instant::now();
        let mut rates = Rates::new(start);
        rates
            .take(start + Duration::from_secs(1_000_000), Totals { packets: 2_000_000, ..Totals::default() });
        assert_eq!(packets(&rates), [2.0; KEPT]);
        rates
            .take(start + Duration::from_secs(1_000_001), Totals { packets: 2_000_005, ..Totals::default() });
        assert_eq!((packets(&rates).len(), packets(&rates)[KEPT - 1]), (KEPT, 5.0));
    }
}
