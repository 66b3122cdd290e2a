//! What holds at the end of every run.

use delivery::audit::Audit;
use exporter::export::ClassIndex;
use exporter::failover::Sign;

use crate::message::{identity, name, show};
use crate::world::World;

impl World {
    /// Everything is cut to what is durable, and the pool's files are merged.
    pub(crate) fn check(&mut self) {
        let failover = &self.exporter.failover;
        let books = failover.class_books(ClassIndex(0));
        assert_eq!((books.metered, books.waiting), (self.exporter.metered, 0), "{books:?}");
        let settled = books.covered + books.dropped();
        assert_eq!(books.metered + books.recovered, settled, "books balance: {books:?}");
        let lossy = failover.class_books(ClassIndex(1));
        let settled = lossy.delivered + lossy.abandoned() + lossy.dropped();
        assert_eq!((lossy.metered, lossy.waiting), (settled, 0), "books balance: {lossy:?}");
        self.check_records();
        self.check_spool();
        let moves = |sign: Sign| self.exporter.moves.iter().filter(|of| **of == sign).count() as u64;
        self.outcome.failovers = self.exporter.moves.len() as u64;
        self.outcome.frozen = moves(Sign::Frozen);
        self.outcome.slow = moves(Sign::Slow);
        self.outcome.draining = moves(Sign::Draining);
        self.outcome.rebalanced = moves(Sign::Rebalance);
        self.outcome.replayed += self.exporter.failover.class_books(ClassIndex(0)).resent;
        self.outcome.dropped = self.past.dropped + books.dropped();
    }

    /// Each record that was made is in the files, or accounted for.
    fn check_records(&mut self) {
        let mut all = Audit::new();
        for collector in &self.collectors {
            let mut own = Audit::new();
            for &identity in collector.disk.records() {
                assert!(own.read(identity), "{identity} twice in one collector");
                let may_be_repeated =
                    self.exporter.exposed.contains(name(identity.series(), identity.number));
                assert!(all.read(identity) || may_be_repeated, "{identity} repeated");
            }
        }
        let made = self.made();
        let delivered = self.delivered();
        assert!(delivered.iter().all(|names| made.covers(names)), "only what was made arrives");
        let mut missing = made.clone();
        delivered.iter().for_each(|names| missing.remove_range(names));
        self.past.excused.iter().for_each(|names| missing.remove_range(names));
        if let Some(spool) = &self.spool {
            spool.oracle.dropped.iter().for_each(|names| missing.remove_range(names));
        }
        let books = self.exporter.failover.class_books(ClassIndex(0));
        let [dropped, _, full, unreadable] = books.dropped;
        let shown: Vec<_> = missing.iter().map(show).collect();
        let lost = missing.count();
        assert!(lost <= self.past.dropped + dropped, "missing, {dropped} dropped: {shown:?}");
        assert_eq!(unreadable, 0, "all of the spool can be read");
        assert_eq!(full, self.full, "what made room in the spool was counted");
        let in_files = |name| all.seen().contains(identity(name));
        self.outcome.refused = delivered.iter().flatten().filter(|&name| !in_files(name)).count() as u64;
        self.outcome.records = made.count();
        self.outcome.repeats = all.repeats();
    }

    /// What the last start dropped from its spool is missing, and nothing is left there.
    fn check_spool(&mut self) {
        let series = self.exporter.series();
        let metered = self.exporter.metered;
        let own = crate::message::names(series, 0..metered);
        self.outcome.spooled += self.exporter.failover.spool_counts().spooled;
        let delivered = self.delivered();
        let Some(spool) = &self.spool else { return };
        for dropped in spool.oracle.dropped.within(own) {
            assert_eq!(delivered.within(dropped).count(), 0, "dropped before it was sent");
        }
        self.outcome.disk_failures = spool.failures();
        assert!(self.close_spool(), "the disk works again");
        self.spool.as_ref().unwrap().check_empty();
    }
}
