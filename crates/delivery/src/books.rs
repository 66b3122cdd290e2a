//! The collector's books: what it has received, and what of that is durable.
//!
//! A record counts as durable once every durable output has it on disk: written, then the data synced, then the
//! sidecar, then [`Books::commit`]. Each durable output keeps a [`Journal`] of what it wrote; the books are shared by
//! all associations.
//!
//! ```text
//! Intake ── New(identity) ──> output: Journal::note, write
//!                             sync:   take_pending, fdatasync, sidecar (Journal::durable_with), commit ──> Books::commit
//! Intake::cookie_entries <── Books
//! ```

use std::ops::Range;

use crate::holdings::Holdings;
use crate::identity::{Identity, Series};

/// Bounds of the tables that peers can make grow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Series (ledger, epoch, domain) in all. Default 65,536.
    pub series: usize,
    /// Ranges in each series. Default 4,096; an honest exporter takes a few.
    pub ranges: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series: 65_536, ranges: 4_096 }
    }
}

impl Limits {
    /// Checks that `holdings` may take this number.
    pub(crate) fn check(self, holdings: &Holdings, series: Series, number: u64) -> Result<(), LimitError> {
        let Some(ranges) = holdings.ranges(series) else {
            let known = holdings.series_count();
            return if known < self.series { Ok(()) } else { Err(LimitError::Series(known)) };
        };
        let takes = ranges.range_count();
        if takes < self.ranges || ranges.end() == number || ranges.contains(number) {
            return Ok(());
        }
        Err(LimitError::Ranges(takes))
    }
}

/// A table is full, so the record is refused: it will not be acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// [`Limits::series`].
    #[error("{0} series are known")]
    Series(usize),
    /// [`Limits::ranges`].
    #[error("series takes {0} ranges")]
    Ranges(usize),
}

/// What a collector has received and made durable, over all associations and outputs.
#[derive(Clone, Debug, Default)]
pub struct Books {
    limits: Limits,
    received: Holdings,
    /// What is durable, one for each durable output.
    durable: Vec<Holdings>,
}

impl Books {
    /// Returns books with what each durable output has on disk (from its sidecar; empty for a new output).
    /// Without any durable output nothing is ever acknowledged.
    pub fn new(limits: Limits, durable: Vec<Holdings>) -> Self {
        let received = durable
            .iter()
            .skip(1)
            .fold(durable.first().cloned().unwrap_or_default(), |all, output| all.intersection(output));
        Self { limits, received, durable }
    }

    /// Tells whether there is a durable output, so that cookies make sense.
    pub fn acknowledges(&self) -> bool {
        !self.durable.is_empty()
    }

    /// Notes a record as received; returns whether it is new. A new record must be given to every output.
    pub fn receive(&mut self, identity: Identity) -> Result<bool, LimitError> {
        self.limits.check(&self.received, identity.series(), identity.number)?;
        Ok(self.received.insert(identity))
    }

    /// Notes a range of numbers as received: records that were refused and go to the dead-letter file.
    pub fn receive_range(&mut self, series: Series, range: Range<u64>) -> Result<(), LimitError> {
        self.limits.check(&self.received, series, range.start)?;
        self.received.insert_range(series, range);
        Ok(())
    }

    /// Notes what output `output` (its place in the list given to [`Books::new`]) has on disk since its last commit.
    /// To be called only after data and sidecar were synced.
    pub fn commit(&mut self, output: usize, batch: &Holdings) {
        self.durable[output].union(batch);
    }

    /// Returns what has been received, durable or not.
    pub fn received(&self) -> &Holdings {
        &self.received
    }

    /// Returns what of `holdings` is durable in every durable output.
    pub fn durable_of(&self, holdings: &Holdings) -> Holdings {
        let Some((first, others)) = self.durable.split_first() else { return Holdings::new() };
        others.iter().fold(holdings.intersection(first), |all, output| all.intersection(output))
    }

    /// Tells whether all of `holdings` is durable.
    pub fn is_durable(&self, holdings: &Holdings) -> bool {
        self.acknowledges() && self.durable.iter().all(|output| holdings.is_within(output))
    }
}

/// What one durable output has written, and which part of it waits for the next sync.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    written: Holdings,
    pending: Holdings,
    durable: Holdings,
}

impl Journal {
    /// Returns the journal of an output whose sidecar tells `durable`.
    pub fn new(durable: Holdings) -> Self {
        Self { written: durable.clone(), pending: Holdings::new(), durable }
    }

    /// Notes a record that is about to be written; returns false when this output has it already (then it must not be
    /// written: another durable output had lost it).
    pub fn note(&mut self, identity: Identity) -> bool {
        let new = self.written.insert(identity);
        if new {
            self.pending.insert(identity);
        }
        new
    }

    /// Notes refused records whose raw octets are in the dead-letter file.
    pub fn note_range(&mut self, series: Series, range: Range<u64>) {
        self.written.insert_range(series, range.clone());
        self.pending.insert_range(series, range);
    }

    /// Tells whether there is anything to sync.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Returns what was written since the last call: to be taken when all of it was handed to the file and the sync
    /// starts. Records noted later belong to the next batch.
    pub fn take_pending(&mut self) -> Holdings {
        std::mem::take(&mut self.pending)
    }

    /// Returns what the sidecar of a sync has to say: everything durable before, and `batch`.
    pub fn durable_with(&self, batch: &Holdings) -> Holdings {
        let mut all = self.durable.clone();
        all.union(batch);
        all
    }

    /// Notes that data and sidecar of `batch` are synced. [`Books::commit`] is told the same.
    pub fn commit(&mut self, batch: &Holdings) {
        self.durable.union(batch);
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

    #[test]
    fn a_record_is_durable_once_every_durable_output_has_committed_it() {
        let mut books = Books::new(Limits::default(), vec![Holdings::new(), Holdings::new()]);
        assert_eq!(books.receive(SERIES.identity(0)), Ok(true));
        books.commit(0, &holding(0..1));
        assert!(!books.is_durable(&holding(0..1)));
        books.commit(1, &holding(0..1));
        assert!(books.is_durable(&holding(0..1)));
    }

    #[test]
    fn without_a_durable_output_nothing_is_durable() {
        let mut books = Books::new(Limits::default(), Vec::new());
        assert_eq!(books.receive(SERIES.identity(0)), Ok(true));
        assert!(!books.acknowledges());
        assert!(!books.is_durable(&holding(0..1)));
        assert!(books.durable_of(&holding(0..1)).is_empty());
    }

    #[test]
    fn after_a_restart_a_record_that_one_output_lost_is_new_again_but_written_there_only() {
        let mut books = Books::new(Limits::default(), vec![holding(0..10), holding(0..8)]);
        let (mut first, mut second) = (Journal::new(holding(0..10)), Journal::new(holding(0..8)));
        assert_eq!(books.receive(SERIES.identity(7)), Ok(false));
        assert_eq!(books.receive(SERIES.identity(8)), Ok(true));
        assert!(!first.note(SERIES.identity(8)));
        assert!(second.note(SERIES.identity(8)));
    }

    #[test]
    fn records_written_during_a_sync_wait_for_the_next() {
        let mut journal = Journal::new(Holdings::new());
        journal.note(SERIES.identity(0));
        let batch = journal.take_pending();
        journal.note(SERIES.identity(1));
        assert_eq!(journal.durable_with(&batch), holding(0..1));
        journal.commit(&batch);
        assert_eq!(journal.take_pending(), holding(1..2));
    }

    #[test]
    fn tables_do_not_grow_beyond_their_limits() {
        let mut books = Books::new(Limits { series: 1, ranges: 2 }, vec![Holdings::new()]);
        assert_eq!(books.receive(SERIES.identity(0)), Ok(true));
        assert_eq!(books.receive(SERIES.identity(2)), Ok(true));
        assert_eq!(books.receive(SERIES.identity(4)), Err(LimitError::Ranges(2)));
        assert_eq!(books.receive(SERIES.identity(3)), Ok(true), "appending takes no new range");
        assert_eq!(books.receive(SERIES.identity(2)), Ok(false));
        let other = Series { domain: 9, ..SERIES };
        assert_eq!(books.receive(other.identity(0)), Err(LimitError::Series(1)));
    }
}
