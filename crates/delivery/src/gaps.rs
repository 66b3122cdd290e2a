//! The collector's books of one stream whose records may get lost: what came, and what is missing (docs/wire.md section 11).
//!
//! Records are told apart by their sequence numbers, counted from the class record on, and may come in any order. What is
//! missing is lost once the exporter is known to have nothing of it on its way any more: its statistics records say so
//! for all but the newest records, and the session's end for the rest. To leave room for a record that is still in some
//! queue, each statistics record settles what the one before it spoke of.
//!
//! `sent = received + lost` at the end, as long as none came after it was given up (`late`).

use crate::{RangeSet, StatisticsRecord};

/// Ranges of sequence numbers kept; when there are more, the oldest gap is lost.
const MAX_RANGES: usize = 1024;
/// Half of the sequence numbers: what lies further ahead cannot be told from what lies behind.
const HALF: u64 = 1 << 31;

/// What came on one stream and domain, and what did not.
#[derive(Clone, Debug)]
pub struct Gaps {
    /// Sequence number of the first record after the class record.
    first_sequence: u32,
    /// Positions of what came, from `settled` on. The first record after the class record has position 0.
    came: RangeSet,
    /// Below, everything is decided.
    settled: u64,
    /// One past the highest position that came.
    end: u64,
    /// What the latest statistics record said.
    told: StatisticsRecord,
    counts: Counts,
}

/// The books. `sent` and `abandoned` are as the exporter last told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Records the exporter has sent.
    pub sent: u64,
    /// Different records that came.
    pub received: u64,
    /// Records that did not come.
    pub lost: u64,
    /// Of those counted as lost, records that came in the end.
    pub late: u64,
    /// Records the exporter gave up on their way.
    pub abandoned: u64,
}

impl Counts {
    /// Returns the records that came although the exporter had given them up; none while it is not known how many were
    /// sent.
    pub const fn spurious(&self) -> Option<u64> {
        if self.sent == self.received + self.lost - self.late {
            (self.abandoned + self.late).checked_sub(self.lost)
        } else {
            None
        }
    }
}

/// Why a statistics record is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Implausible {
    /// A count is below what it was.
    #[error("{now} records sent, settled or given up after {before}")]
    GoesBack {
        /// What was said before.
        before: u64,
        /// What is said now.
        now: u64,
    },
    /// Half of the sequence numbers or more would be missing.
    #[error("{sent} records sent where {seen} were seen")]
    TooFar {
        /// What is said.
        sent: u64,
        /// One past the highest position that came.
        seen: u64,
    },
}

impl Gaps {
    /// Returns the books of a stream and domain whose class record has this sequence number.
    pub const fn new(class_record: u32) -> Self {
        Self {
            first_sequence: class_record.wrapping_add(1),
            came: RangeSet::new(),
            settled: 0,
            end: 0,
            told: StatisticsRecord { domain: 0, stream: 0, sent: 0, settled: 0, abandoned: 0, not_sent: 0 },
            counts: Counts { sent: 0, received: 0, lost: 0, late: 0, abandoned: 0 },
        }
    }

    /// So many records came, the first with this sequence number.
    pub fn receive(&mut self, sequence: u32, records: u32) {
        let offset = sequence.wrapping_sub(self.first_sequence);
        // The position with these 32 bits that is nearest to what is expected.
        #[expect(clippy::cast_possible_truncation, reason = "the lower 32 bits are compared")]
        #[expect(clippy::cast_possible_wrap, reason = "half of the numbers are behind")]
        let distance = offset.wrapping_sub(self.end as u32) as i32;
        let Some(start) = self.end.checked_add_signed(distance.into()) else { return };
        let end = start + u64::from(records);
        let from = start.max(self.settled).min(end);
        self.counts.late += from - start;
        self.counts.received += from - start;
        let new: u64 = self.came.gaps(from..end).map(|gap| gap.end - gap.start).sum();
        self.counts.received += new;
        self.came.insert_range(from..end);
        self.end = self.end.max(end);
        if self.came.range_count() > MAX_RANGES {
            let oldest = self.came.gaps(self.settled..self.end).next();
            oldest.into_iter().for_each(|gap| self.settle(gap.end));
        }
    }

    /// The exporter tells what it has sent.
    ///
    /// Fails when that is less than it told before, or far more than came; it changes nothing then.
    pub fn tell(&mut self, record: &StatisticsRecord) -> Result<(), Implausible> {
        let (sent, seen) = (record.sent, self.end);
        if sent >= seen + HALF {
            return Err(Implausible::TooFar { sent, seen });
        }
        for (before, now) in [
            (self.told.sent, record.sent),
            (self.told.settled, record.settled),
            (self.told.abandoned, record.abandoned),
        ] {
            if now < before {
                return Err(Implausible::GoesBack { before, now });
            }
        }
        self.settle(self.told.settled);
        self.told = *record;
        self.counts.sent = record.sent;
        self.counts.abandoned = record.abandoned;
        Ok(())
    }

    /// The session is over: what is missing up to the highest record that came or was told is lost.
    pub fn close(&mut self) {
        self.settle(self.end.max(self.told.sent));
    }

    /// Decides everything below `position`.
    fn settle(&mut self, position: u64) {
        if position <= self.settled {
            return;
        }
        let missing = self.came.gaps(self.settled..position).map(|gap| gap.end - gap.start);
        self.counts.lost += missing.sum::<u64>();
        self.came.remove_range(0..position);
        self.settled = position;
        self.end = self.end.max(position);
    }

    /// Returns how many records that are known to be sent neither came nor are given up: by what came behind them, or by
    /// what the exporter told.
    pub fn missing(&self) -> u64 {
        let Counts { received, lost, late, .. } = self.counts;
        (self.end.max(self.told.sent) + late).saturating_sub(received + lost)
    }

    /// Returns the books.
    pub const fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests;
