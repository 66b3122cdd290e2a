//! The collector's side of one association: from sequence numbers to identities (docs/wire.md section 4).
//!
//! The transport's order and the session record give every flow record its number. [`Intake`] lives as long as
//! the association; [`Books`] are the collector's and outlive it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::books::{Books, LimitError, Limits};
use crate::cookie::{self, Entry};
use crate::holdings::Holdings;
use crate::identity::{Identity, Series};
use crate::session_record::SessionRecord;

/// Most (stream, domain) pairs with a session record in one association.
const MAX_RUNS: usize = 4_096;
/// What one session's cookies may have to tell at most.
const SESSION_LIMITS: Limits = Limits { series: MAX_RUNS, ranges: 4_096 };

/// What to do with a flow record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Received for the first time: to be written to every output.
    New(Identity),
    /// The collector has it: to be counted and dropped.
    Duplicate(Identity),
    /// No session record precedes it, so it has no identity: to be written as it is.
    Plain,
}

/// Why a record of a session with numbers was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// The sequence number lies before the session record, or the number passes 2^64.
    #[error("sequence number {sequence} has no number")]
    OutOfRange {
        /// The record's sequence number.
        sequence: u32,
    },
    /// Too many streams and domains carry session records.
    #[error("{MAX_RUNS} streams and domains have session records")]
    Runs,
    /// A limit of the collector's books, or of one session.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// The numbering of one association's records.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    runs: BTreeMap<(u16, u32), Run>,
    /// What this session carried, repeats included: cookies speak of nothing else.
    received: Holdings,
    /// Where the next cookie starts to tell ranges, when they do not fit into one.
    turn: usize,
}

/// Consecutive numbers on one stream and domain.
#[derive(Clone, Copy, Debug)]
struct Run {
    series: Series,
    first_number: u64,
    possible_duplicate_until: u64,
    /// Sequence number and number of the record that comes next when nothing is missing.
    next_sequence: u32,
    next_number: u64,
}

impl Run {
    /// Returns the number that belongs to a sequence number: the nearest one, over the wrap at 2^32.
    fn number(&self, sequence: u32) -> Option<u64> {
        let distance = i64::from(sequence.wrapping_sub(self.next_sequence).cast_signed());
        let number = self.next_number.checked_add_signed(distance)?;
        (number >= self.first_number && number < u64::MAX).then_some(number)
    }

    fn advance(&mut self, sequence: u32, number: u64) {
        if number >= self.next_number {
            (self.next_sequence, self.next_number) = (sequence.wrapping_add(1), number + 1);
        }
    }
}

impl Intake {
    /// Returns the intake of a new association.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a session record with its own sequence number: it numbers the records after it, and asks for cookies.
    pub fn session_record(
        &mut self,
        stream: u16,
        sequence: u32,
        record: &SessionRecord,
    ) -> Result<(), IntakeError> {
        let key = (stream, record.series.domain);
        if self.runs.len() >= MAX_RUNS && !self.runs.contains_key(&key) {
            return Err(IntakeError::Runs);
        }
        let run = Run {
            series: record.series,
            first_number: record.first_number,
            possible_duplicate_until: record.possible_duplicate_until,
            next_sequence: sequence.wrapping_add(1),
            next_number: record.first_number,
        };
        self.runs.insert(key, run);
        Ok(())
    }

    /// Ends the numbering of a stream and domain: an options record that is no session record was there.
    pub fn end_run(&mut self, stream: u16, domain: u32) {
        self.runs.remove(&(stream, domain));
    }

    /// Ends all numbering: the association was restarted, or its templates were withdrawn.
    pub fn end_all_runs(&mut self) {
        self.runs.clear();
    }

    /// Takes a flow record with its sequence number on this stream and domain.
    pub fn record(
        &mut self,
        books: &mut Books,
        stream: u16,
        domain: u32,
        sequence: u32,
    ) -> Result<Verdict, IntakeError> {
        let Some(run) = self.runs.get_mut(&(stream, domain)) else { return Ok(Verdict::Plain) };
        let number = run.number(sequence).ok_or(IntakeError::OutOfRange { sequence })?;
        let identity = run.series.identity(number);
        SESSION_LIMITS.check(&self.received, run.series, number)?;
        let is_new = books.receive(identity)?;
        run.advance(sequence, number);
        self.received.insert(identity);
        Ok(if is_new { Verdict::New(identity) } else { Verdict::Duplicate(identity) })
    }

    /// Tells whether the exporter said that it may have sent this record of a stream and domain before.
    pub fn is_possible_duplicate(&self, stream: u16, identity: Identity) -> bool {
        self.runs.get(&(stream, identity.domain)).is_some_and(|run| {
            run.series == identity.series() && identity.number < run.possible_duplicate_until
        })
    }

    /// Takes the records before `next_sequence` that were expected and did not come through, because their message
    /// was discarded. Returns their numbers: they count as received, and are to be noted with
    /// [`Journal::note_range`](crate::books::Journal::note_range) once the message is in the dead-letter file.
    pub fn refuse_until(
        &mut self,
        books: &mut Books,
        stream: u16,
        domain: u32,
        next_sequence: u32,
    ) -> Result<Option<(Series, Range<u64>)>, IntakeError> {
        let Some(run) = self.runs.get_mut(&(stream, domain)) else { return Ok(None) };
        let out_of_range = IntakeError::OutOfRange { sequence: next_sequence };
        let refused = run.next_number..run.number(next_sequence).ok_or(out_of_range)?;
        if refused.is_empty() {
            return Ok(None);
        }
        SESSION_LIMITS.check(&self.received, run.series, refused.start)?;
        books.receive_range(run.series, refused.clone())?;
        (run.next_sequence, run.next_number) = (next_sequence, refused.end);
        self.received.insert_range(run.series, refused.clone());
        Ok(Some((run.series, refused)))
    }

    /// Tells whether a session record was received on this association, so that cookies may be sent.
    pub fn has_run(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Tells whether something of this session is not durable yet.
    pub fn is_uncovered(&self, books: &Books) -> bool {
        !books.is_durable(&self.received)
    }

    /// Returns what a cookie tells: the ranges of this session that are durable, at most
    /// [`cookie::MAX_ENTRIES`]; when there are more, each call goes on where the last one ended.
    pub fn cookie_entries(&mut self, books: &Books) -> Vec<Entry> {
        let durable = books.durable_of(&self.received);
        let total = durable.range_count();
        let entry = |series, numbers| Entry { series, numbers };
        let entries =
            durable.iter().flat_map(|(series, ranges)| ranges.iter().map(move |range| entry(series, range)));
        if total <= cookie::MAX_ENTRIES {
            return entries.collect();
        }
        let mut entries: Vec<_> = entries.collect();
        entries.rotate_left(self.turn % total);
        entries.truncate(cookie::MAX_ENTRIES);
        self.turn = (self.turn + cookie::MAX_ENTRIES) % total;
        entries
    }
}

#[cfg(test)]
mod tests;
