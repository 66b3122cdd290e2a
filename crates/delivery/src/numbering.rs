//! From sequence numbers to numbers (docs/wire.md sections 3 and 4): the collector's side of one transport session.
//!
//! The transport's order and the session record give every flow record its number. A message is of one stream and
//! observation domain, so these are selected once for each message and not looked up for each record.
//!
//! What had to be refused (a malformed message, a set without a template) leaves a gap in the sequence numbers. It is known
//! when the next record of the stream and domain closes it, and then counts as received and refused. Any other gap is a
//! loss, and is never acknowledged.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::identity::Series;
use crate::session_record::SessionRecord;

/// Most pairs of stream and observation domain with numbering; records of further ones have no identity.
pub const MAX_NUMBERINGS: usize = 1024;

/// Too many pairs of stream and observation domain have session records.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{MAX_NUMBERINGS} streams and domains have session records")]
pub struct TooMany;

/// A flow record with its number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Numbered {
    /// What the number counts in.
    pub series: Series,
    /// The record's number.
    pub number: u64,
    /// Numbers before it that were received and refused.
    pub refused: Option<Range<u64>>,
}

/// The numbering of one transport session's records.
#[derive(Clone, Debug, Default)]
pub struct Numberings {
    /// Stream and domain that calls are about.
    selected: (u16, u32),
    /// Their numbering, which is not in `others`.
    run: Option<Run>,
    others: BTreeMap<(u16, u32), Run>,
}

/// Consecutive numbers on one stream and domain.
#[derive(Clone, Copy, Debug)]
struct Run {
    series: Series,
    /// The session record's firstNumber.
    first: u64,
    /// Number and sequence number of the next record in order.
    next: u64,
    next_sequence: u32,
    /// Whether something was refused since the last record: a gap before the next is then no loss.
    refused: bool,
}

impl Run {
    /// Returns the number that belongs to a sequence number: the nearest one, over the wrap at 2^32. None: it is from
    /// before the session record, or no number at all.
    fn number(&self, sequence: u32) -> Option<u64> {
        let distance = sequence.wrapping_sub(self.next_sequence).cast_signed();
        let number = self.next.checked_add_signed(distance.into())?;
        (number >= self.first && number < u64::MAX).then_some(number)
    }
}

impl Numberings {
    /// Returns the numberings of a new session: none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a message of this stream and observation domain: what follows is about them.
    pub fn select(&mut self, stream: u16, domain: u32) {
        let key = (stream, domain);
        if self.selected != key {
            if let Some(run) = self.run.take() {
                self.others.insert(self.selected, run);
            }
            self.selected = key;
            self.run = self.others.remove(&key);
        }
    }

    /// Takes a session record with its own sequence number: it numbers the records after it. A gap that a refusal left
    /// before it was of the old numbering, and comes again.
    pub fn session_record(&mut self, sequence: u32, record: &SessionRecord) -> Result<(), TooMany> {
        if self.run.is_none() && self.others.len() >= MAX_NUMBERINGS {
            return Err(TooMany);
        }
        self.run = Some(Run {
            series: record.series,
            first: record.first_number,
            next: record.first_number,
            next_sequence: sequence.wrapping_add(1),
            refused: false,
        });
        Ok(())
    }

    /// Takes a flow record with its sequence number. None: no session record precedes it, so it has no identity.
    #[inline]
    pub fn record(&mut self, sequence: u32) -> Option<Numbered> {
        let run = self.run.as_mut()?;
        let number = run.number(sequence)?;
        let mut refused = None;
        if number >= run.next {
            if std::mem::take(&mut run.refused) && number > run.next {
                refused = Some(run.next..number);
            }
            (run.next, run.next_sequence) = (number + 1, sequence.wrapping_add(1));
        }
        Some(Numbered { series: run.series, number, refused })
    }

    /// Ends the numbering: an options record that is no session record was there, or all templates were withdrawn.
    pub fn end(&mut self) {
        self.run = None;
    }

    /// Notes that records of the message were refused.
    pub fn refuse(&mut self) {
        if let Some(run) = &mut self.run {
            run.refused = true;
        }
    }

    /// Notes that a message of this stream was refused whole, so that nobody knows whose records it had.
    pub fn refuse_stream(&mut self, stream: u16) {
        if self.selected.0 == stream {
            self.refuse();
        }
        for (_, run) in self.others.range_mut((stream, 0)..=(stream, u32::MAX)) {
            run.refused = true;
        }
    }
}

#[cfg(test)]
mod tests;
