//! What holds at the end of every run.

use std::ops::Range;

use delivery::audit::Audit;
use delivery::{Identity, Series};

use super::World;

impl World {
    /// Everything is cut to what is durable, and the pool's files are merged.
    pub(super) fn check(&mut self) {
        let counts = self.exporter.retention.counts();
        assert_eq!(counts.pushed, self.metered);
        assert_eq!(counts.pushed, counts.covered + counts.dropped + counts.retained, "books balance");
        assert_eq!((counts.retained, counts.retained_octets), (0, 0));
        assert_eq!(self.exporter.retention.held_octets(), 0);
        let mut all = Audit::new();
        for collector in &self.collectors {
            let mut own = Audit::new();
            for &identity in collector.disk.records() {
                assert!(own.read(identity), "{identity} twice in one collector");
                assert!(
                    all.read(identity) || self.exporter.exposed.contains(&identity),
                    "{identity} repeated"
                );
            }
        }
        let expected: Vec<(Series, Range<u64>)> =
            self.exporter.retention.issued().map(|(series, end)| (series, 0..end)).collect();
        assert_eq!(all.unexpected(&expected), 0);
        let missing = expected.iter().flat_map(|(series, range)| {
            let ranges = all.missing(*series, range.clone());
            ranges.into_iter().flatten().map(|number| series.identity(number))
        });
        let in_letters = |&identity: &Identity| {
            self.collectors.iter().any(|collector| collector.disk.letters.contains(identity))
        };
        let (refused, missing): (Vec<_>, Vec<_>) = missing.partition(in_letters);
        let (refused, missing) = (refused.len() as u64, missing.len() as u64);
        assert!(missing <= counts.dropped, "{missing} records missing, {} dropped", counts.dropped);
        assert_eq!(all.seen().count() + refused + missing, self.metered);
        self.outcome.refused = refused;
        self.outcome.records = self.metered;
        self.outcome.replayed = counts.replayed;
        self.outcome.dropped = counts.dropped;
        self.outcome.repeats = all.repeats();
    }
}
