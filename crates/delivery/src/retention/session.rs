//! What one transport session has sent.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::chunk::Entry;
use crate::ranges::RangeSet;

/// Acknowledgements closer together than this are remembered as one, the later.
const MARK_INTERVAL: Duration = Duration::from_millis(250);
/// Acknowledgements remembered at most; more are merged into the latest, so that nobody has to release them.
const MAX_MARKS: usize = 1_024;

/// Names a session of a [`Retention`](super::Retention); never used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub(super) u64);

/// How far a session had sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark {
    position: u64,
    octets: u64,
}

/// What is kept for a collector without cookies after its transport has acknowledged it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HoldBack {
    /// For how long.
    pub time: Duration,
    /// How many octets of records at most.
    pub octets: u64,
}

impl HoldBack {
    /// Returns 30 s and 64 MiB, but at most half of what retention may hold: else it would fill with records that have
    /// only to wait, and stop the export.
    pub fn within(limit: usize) -> Self {
        Self { time: Duration::from_secs(30), octets: (64 << 20).min(limit as u64 / 2) }
    }
}

/// Which series and number a domain goes on with, so that no session record is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Run {
    pub(super) series: usize,
    pub(super) next_number: u64,
}

#[derive(Debug)]
pub(super) struct Session {
    /// Position of the next record to look at.
    pub(super) cursor: u64,
    /// By domain.
    pub(super) runs: BTreeMap<u32, Run>,
    /// By series: what was sent here and is still retained.
    pub(super) sent: BTreeMap<usize, RangeSet>,
    /// Octets of the same.
    pub(super) in_flight: u64,
    /// Octets ever sent here.
    octets: u64,
    acknowledged: VecDeque<Acknowledged>,
}

#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    mark: Mark,
    first: Instant,
    last: Instant,
}

impl Session {
    pub(super) fn new(cursor: u64) -> Self {
        Self {
            cursor,
            runs: BTreeMap::new(),
            sent: BTreeMap::new(),
            in_flight: 0,
            octets: 0,
            acknowledged: VecDeque::new(),
        }
    }

    /// Notes that the record at the cursor goes out.
    pub(super) fn hand_out(&mut self, entry: &Entry, octets: u64) {
        self.cursor += 1;
        self.octets += octets;
        if self.sent.entry(entry.series()).or_default().insert(entry.number) {
            self.in_flight += octets;
        }
    }

    /// Notes that the record left retention.
    pub(super) fn forget(&mut self, entry: &Entry, octets: u64) {
        let Some(sent) = self.sent.get_mut(&entry.series()) else { return };
        if sent.contains(entry.number) {
            sent.remove_range(entry.number..entry.number + 1);
            self.in_flight -= octets;
        }
    }

    pub(super) const fn mark(&self) -> Mark {
        Mark { position: self.cursor, octets: self.octets }
    }

    pub(super) fn acknowledge(&mut self, mark: Mark, now: Instant) {
        let is_full = self.acknowledged.len() >= MAX_MARKS;
        match self.acknowledged.back_mut() {
            Some(known) if mark.octets <= known.mark.octets => {}
            Some(known) if is_full || now < known.first + MARK_INTERVAL => {
                (known.mark, known.last) = (mark, now);
            }
            _ => self.acknowledged.push_back(Acknowledged { mark, first: now, last: now }),
        }
    }

    /// Returns the position up to which nothing is held back any more.
    pub(super) fn release(&mut self, now: Instant, hold_back: HoldBack) -> Option<u64> {
        let newest = self.acknowledged.back()?.mark.octets;
        let mut position = None;
        while let Some(oldest) = self.acknowledged.front() {
            let is_old = oldest.last + hold_back.time <= now;
            if !is_old && newest - oldest.mark.octets < hold_back.octets {
                break;
            }
            position = Some(oldest.mark.position);
            self.acknowledged.pop_front();
        }
        position
    }
}
