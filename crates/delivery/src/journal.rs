//! What one output holds: which records are new to it, what its sidecar says, and whom a sync is told to.
//!
//! A record is durable once the output has written it, then synced the data, then the sidecar. [`Journal`] belongs to the
//! output's writer alone, which works in this order:
//!
//! ```text
//! for each batch     Journal::take for each run of numbers, write what is new; Journal::note
//! at a sync point    Journal::sync_point, when everything taken was handed to the file
//!                    sync the data; replace the sidecar (Journal::holdings)
//!                    SyncPoint::tickets: tell the sessions
//! ```
//!
//! A record that another session brings again is not written again; its batch is durable with the next sync point.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::holdings::Holdings;
use crate::identity::Series;

/// Ranges held, of all series; far beyond what honest exporters need. Beyond, all are forgotten: better a repeat
/// than a sidecar that takes longer to write than the interval between syncs.
const MAX_RANGES: usize = 1 << 16;
/// Runs between two counts of the ranges; each adds one range at most.
const COUNT_AFTER: usize = 1 << 12;

/// What one output holds. `S` names a session.
#[derive(Clone, Debug)]
pub struct Journal<S> {
    held: Holdings,
    max_ranges: usize,
    /// Runs taken since the ranges were counted.
    uncounted: usize,
    /// Last batch taken and not synced, by session.
    tickets: BTreeMap<S, u64>,
}

/// Which records of a run are new.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fresh {
    /// All of them.
    All,
    /// These, in ascending order; the others are repeats.
    Only(Vec<Range<u64>>),
}

/// What is to be told once data and sidecar are synced.
#[derive(Clone, Debug)]
#[must_use = "sessions wait for it"]
pub struct SyncPoint<S> {
    tickets: BTreeMap<S, u64>,
}

impl<S: Ord> Journal<S> {
    /// Returns the journal of an output whose sidecar told `held`.
    pub const fn new(held: Holdings) -> Self {
        Self { held, max_ranges: MAX_RANGES, uncounted: 0, tickets: BTreeMap::new() }
    }

    /// Takes a run of records; returns which of them are to be written.
    pub fn take(&mut self, series: Series, numbers: Range<u64>) -> Fresh {
        let known =
            self.held.ranges(series).is_some_and(|held| held.within(numbers.clone()).next().is_some());
        let fresh = match self.held.ranges(series).filter(|_| known) {
            None => Fresh::All,
            Some(held) => Fresh::Only(held.gaps(numbers.clone()).collect()),
        };
        self.held.insert_range(series, numbers);
        self.uncounted += 1;
        fresh
    }

    /// Notes that the whole batch with this ticket was taken.
    pub fn note(&mut self, session: S, ticket: u64) {
        self.tickets.insert(session, ticket);
    }

    /// Forgets everything held if it takes too many ranges; returns whether it did: repeats of earlier records are then
    /// not noticed. To be called after each batch.
    pub fn limit(&mut self) -> bool {
        if self.uncounted < COUNT_AFTER {
            return false;
        }
        self.uncounted = 0;
        let is_beyond = self.held.range_count() > self.max_ranges;
        if is_beyond {
            self.held = Holdings::new();
        }
        is_beyond
    }

    /// Returns every record held: what the sidecar says once these are all in the file and synced.
    pub fn holdings(&self) -> &Holdings {
        &self.held
    }

    /// Tells whether a batch waits for a sync point.
    pub fn has_news(&self) -> bool {
        !self.tickets.is_empty()
    }

    /// Begins a sync point, when everything taken was handed to the file and before the sync.
    pub fn sync_point(&mut self) -> SyncPoint<S> {
        SyncPoint { tickets: std::mem::take(&mut self.tickets) }
    }
}

impl<S> SyncPoint<S> {
    /// Returns the last batch of each session that is synced. To be told once data and sidecar are; dropped instead
    /// when a sync fails.
    pub fn tickets(self) -> impl Iterator<Item = (S, u64)> {
        self.tickets.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Epoch, Ledger};

    const SERIES: Series = Series { ledger: Ledger([1; 16]), epoch: Epoch(1), domain: 0 };

    fn holding(range: Range<u64>) -> Holdings {
        let mut holdings = Holdings::new();
        holdings.insert_range(SERIES, range);
        holdings
    }

    fn journal(range: Range<u64>) -> Journal<u8> {
        Journal::new(holding(range))
    }

    #[test]
    fn a_record_is_new_once() {
        let mut journal = journal(0..0);
        assert_eq!(journal.take(SERIES, 5..10), Fresh::All);
        assert_eq!(journal.take(SERIES, 5..10), Fresh::Only(Vec::new()));
        assert_eq!(journal.take(SERIES, 3..12), Fresh::Only(vec![3..5, 10..12]));
        assert_eq!(journal.take(SERIES, 12..13), Fresh::All);
        assert_eq!(journal.take(Series { epoch: Epoch(2), ..SERIES }, 5..10), Fresh::All);
        assert_eq!(journal.holdings().ranges(SERIES), holding(3..13).ranges(SERIES));
    }

    #[test]
    fn after_a_restart_a_record_that_one_output_lost_is_written_there_only() {
        let (mut first, mut second) = (journal(0..10), journal(0..8));
        assert_eq!(first.take(SERIES, 7..9), Fresh::Only(Vec::new()));
        let Fresh::Only(lost) = second.take(SERIES, 7..9) else { panic!("7 is held") };
        assert_eq!(lost.into_iter().flatten().collect::<Vec<_>>(), [8]);
    }

    #[test]
    fn a_sync_point_is_told_to_the_sessions_whose_batches_came_before_it() {
        let mut journal = journal(0..0);
        journal.note(1, 1);
        journal.note(2, 7);
        journal.note(1, 2);
        let point = journal.sync_point();
        journal.note(1, 3);
        assert_eq!(point.tickets().collect::<Vec<_>>(), [(1, 2), (2, 7)]);
        assert!(journal.has_news());
        assert_eq!(journal.sync_point().tickets().collect::<Vec<_>>(), [(1, 3)]);
        assert!(!journal.has_news());
    }

    #[test]
    fn a_batch_of_repeats_waits_for_a_sync_point_too() {
        let mut journal = journal(0..10);
        journal.take(SERIES, 0..5);
        journal.note(1, 1);
        assert!(journal.has_news(), "what is repeated may itself not be synced yet");
    }

    #[test]
    fn what_is_held_does_not_grow_beyond_its_limit() {
        let mut journal = Journal::<u8> { max_ranges: 100, ..journal(0..0) };
        let mut most = 0;
        let mut forgotten = 0;
        for number in 0..20_000 {
            journal.take(SERIES, 2 * number..2 * number + 1);
            forgotten += u32::from(journal.limit());
            most = most.max(journal.holdings().range_count());
        }
        assert_eq!(forgotten, 4);
        assert!(most <= COUNT_AFTER, "{most} ranges");
    }
}
