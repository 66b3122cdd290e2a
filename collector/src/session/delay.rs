//! How old messages are when they come, by the exporter's clock and this host's: whether both clocks are right.

use metrics::Histogram;

/// Where a message's header has its export time (RFC 7011 section 3.1).
const EXPORT_TIME: std::ops::Range<usize> = 4..8;

/// Looks at one message a second of a session.
#[derive(Debug)]
pub(super) struct ExportDelay {
    histogram: Histogram,
    /// When it looked last, in seconds since the Unix epoch.
    second: u64,
}

impl ExportDelay {
    pub(super) fn new(histogram: Histogram) -> Self {
        Self { histogram, second: 0 }
    }

    /// A good message came at `now`, in milliseconds since the Unix epoch. The exporter's clock is ahead where the delay is negative.
    pub(super) fn observe(&mut self, message: &[u8], now: u64) {
        let second = now / 1000;
        if second == self.second {
            return;
        }
        let exported = message
            .get(EXPORT_TIME)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |time| u32::from_be_bytes(*time));
        // 0 is told by nobody who has a clock.
        if exported != 0 {
            self.second = second;
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of some thousand years are exact")]
            self.histogram.record(now as f64 / 1000.0 - f64::from(exported));
        }
    }
}

#[cfg(test)]
mod tests {
    use ipfix::Header;
    use metrics::{describe_histogram, histogram};
    use service::Metrics;

    use super::*;

    const NAME: &str = "test_delay_seconds";

    #[test]
    fn one_message_a_second_tells_how_far_the_clocks_are_apart() {
        let metrics = Metrics::new(&[(NAME, &[-5.0, 0.0, 2.0])]);
        metrics.scope(|| {
            describe_histogram!(NAME, "Seconds.");
            let mut delay = ExportDelay::new(histogram!(NAME));
            let message =
                |export_time| Header { length: 16, export_time, sequence: 0, domain: 0 }.to_octets();
            for (export_time, now) in [
                (1_000, 1_001_500),
                // In the same second.
                (1_000, 1_001_999),
                // A minute ahead; without a clock; without a header.
                (1_062, 1_002_000),
                (0, 1_003_000),
            ] {
                delay.observe(&message(export_time), now);
            }
            delay.observe(&[], 1_004_000);
        });
        let bucket = |bound: &str| metrics.value(&format!("{NAME}_bucket{{le=\"{bound}\"}}"));
        assert_eq!([bucket("-5"), bucket("0"), bucket("2"), bucket("+Inf")], [1.0, 1.0, 2.0, 2.0].map(Some));
        assert_eq!(metrics.value(&format!("{NAME}_sum")), Some(1.5 - 60.0));
    }
}
