//! What holds at the end of every run.

use delivery::Identity;
use delivery::audit::Audit;
use exporter::export::ClassIndex;
use exporter::failover::Sign;

use crate::exporter::SERIES;
use crate::world::World;

impl World {
    /// Everything is cut to what is durable, and the pool's files are merged.
    pub(crate) fn check(&mut self) {
        let failover = &self.exporter.failover;
        let books = failover.class_books(ClassIndex(0));
        assert_eq!((books.metered, books.waiting), (self.exporter.metered, 0), "{books:?}");
        assert_eq!(books.metered, books.covered + books.dropped(), "books balance: {books:?}");
        let lossy = failover.class_books(ClassIndex(1));
        let settled = lossy.delivered + lossy.abandoned() + lossy.dropped();
        assert_eq!((lossy.metered, lossy.waiting), (settled, 0), "books balance: {lossy:?}");
        let mut all = Audit::new();
        for collector in &self.collectors {
            let mut own = Audit::new();
            for &identity in collector.disk.records() {
                assert!(own.read(identity), "{identity} twice in one collector");
                assert!(
                    all.read(identity) || self.exporter.exposed.contains(identity.number),
                    "{identity} repeated"
                );
            }
        }
        let expected = 0..self.exporter.metered;
        assert_eq!(all.unexpected(&[(SERIES, expected.clone())]), 0);
        let missing = all.missing(SERIES, expected).into_iter().flatten();
        let in_letters = |&identity: &Identity| {
            self.collectors.iter().any(|collector| collector.disk.letters.contains(identity))
        };
        let (refused, missing): (Vec<_>, Vec<_>) =
            missing.map(|number| SERIES.identity(number)).partition(in_letters);
        let (refused, missing) = (refused.len() as u64, missing.len() as u64);
        assert!(missing <= books.dropped(), "{missing} records missing, {} dropped", books.dropped());
        assert_eq!(all.seen().count() + refused + missing, self.exporter.metered);
        let moves = |sign: Sign| self.exporter.moves.iter().filter(|of| **of == sign).count() as u64;
        self.outcome.failovers = self.exporter.moves.len() as u64;
        self.outcome.frozen = moves(Sign::Frozen);
        self.outcome.slow = moves(Sign::Slow);
        self.outcome.draining = moves(Sign::Draining);
        self.outcome.rebalanced = moves(Sign::Rebalance);
        self.outcome.refused = refused;
        self.outcome.records = self.exporter.metered;
        self.outcome.replayed = books.resent;
        self.outcome.dropped = books.dropped();
        self.outcome.repeats = all.repeats();
    }
}
