//! What the exporter keeps until a collector has it on disk, and hands out to send and to send again.
//!
//! Records enter with [`Retention::push`] and get their number. Each transport session reads them from the oldest
//! uncovered one on with [`Retention::next`]: a failover is a new session, so replay comes before new records without
//! further ado. A record leaves when a cookie of a session that carried it covers it ([`Retention::cover`]), for
//! collectors without cookies by hold-back ([`Retention::cover_by_hold_back`]), or when the caller gives it up
//! ([`Retention::drop_oldest`]).
//!
//! Records lie in chunks of memory, so that none costs an allocation; a chunk goes when all its records are gone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::cookie;
use crate::identity::{Epoch, Identity, Ledger, Series};
use crate::session_record::SessionRecord;

mod chunk;
mod session;
mod types;

use chunk::Chunk;
pub use session::{HoldBack, Mark, SessionId};
use session::{Run, Session};
pub use types::{Counts, Covered, Outgoing, PushError};

/// Longest record: what fits into an IPFIX message beside message and set header (RFC 7011 section 3.1).
pub const MAX_RECORD: usize = 65_535 - 16 - 4;

/// Records that no collector is known to have on disk, in the order in which they came.
#[derive(Debug)]
pub struct Retention {
    ledger: Ledger,
    epoch: Epoch,
    limit: usize,
    chunk_size: usize,
    chunks: VecDeque<Chunk>,
    /// The last chunk that went: where records come and go, heaps of several threads would keep the memory of many.
    spare: Option<Chunk>,
    /// Position of the next record pushed; positions count all records, over all series.
    end: u64,
    held_octets: usize,
    series: Vec<Numbering>,
    by_name: BTreeMap<(Epoch, u32), usize>,
    sessions: BTreeMap<SessionId, Session>,
    next_session: u64,
    /// Nothing is handed out from this position on.
    barrier: u64,
    counts: Counts,
}

/// The numbers of one series.
#[derive(Clone, Copy, Debug)]
struct Numbering {
    series: Series,
    next_number: u64,
    /// One past the highest number that was ever handed out.
    sent_until: u64,
}

enum Leave {
    Covered,
    Dropped,
}

impl Retention {
    /// Returns an empty retention for one start of the exporter. `limit`: octets held at most, what is kept beside each
    /// record included. Memory may exceed it by one chunk (a sixteenth of it, 4 KiB to 256 KiB).
    pub fn new(ledger: Ledger, epoch: Epoch, limit: usize) -> Self {
        Self {
            ledger,
            epoch,
            limit,
            chunk_size: (limit / 16).clamp(4 << 10, 256 << 10),
            chunks: VecDeque::new(),
            spare: None,
            end: 0,
            held_octets: 0,
            series: Vec::new(),
            by_name: BTreeMap::new(),
            sessions: BTreeMap::new(),
            next_session: 0,
            barrier: u64::MAX,
            counts: Counts::default(),
        }
    }

    /// Returns the octets that a record of this length takes of the limit.
    pub const fn cost(length: usize) -> usize {
        length + chunk::ENTRY_OCTETS
    }

    /// Takes an encoded record of a domain; returns its number. The template id is whatever the caller wants back.
    pub fn push(&mut self, domain: u32, template: u16, octets: &[u8]) -> Result<u64, PushError> {
        let index = self.series_index(self.epoch, domain);
        let number = self.series[index].next_number;
        self.append(index, number, template, octets)?;
        self.series[index].next_number = number + 1;
        Ok(number)
    }

    /// Takes back a record that an earlier start of the exporter made and spooled. It may have been sent before.
    /// To be called in the order of numbers.
    pub fn restore(
        &mut self,
        epoch: Epoch,
        domain: u32,
        number: u64,
        template: u16,
        octets: &[u8],
    ) -> Result<(), PushError> {
        let index = self.put_back(epoch, domain, number, template, octets)?;
        let sent_until = &mut self.series[index].sent_until;
        *sent_until = (*sent_until).max(number + 1);
        Ok(())
    }

    /// Gives out a number for a record of this start that goes to the spool alone. [`Retention::return_spooled`] takes it
    /// back later.
    pub fn number_spooled(&mut self, domain: u32) -> u64 {
        let index = self.series_index(self.epoch, domain);
        let number = self.series[index].next_number;
        self.series[index].next_number = number + 1;
        number
    }

    /// Takes back a record of this start that was in the spool alone, and so was never sent. To be called in the order of
    /// numbers; records pushed meanwhile are to be spooled, too.
    pub fn return_spooled(
        &mut self,
        domain: u32,
        number: u64,
        template: u16,
        octets: &[u8],
    ) -> Result<(), PushError> {
        self.put_back(self.epoch, domain, number, template, octets).map(drop)
    }

    fn put_back(
        &mut self,
        epoch: Epoch,
        domain: u32,
        number: u64,
        template: u16,
        octets: &[u8],
    ) -> Result<usize, PushError> {
        let index = self.series_index(epoch, domain);
        self.append(index, number, template, octets)?;
        let next_number = &mut self.series[index].next_number;
        *next_number = (*next_number).max(number + 1);
        Ok(index)
    }

    /// Hands out nothing from this position on until it is called again: what is behind is not in the spool yet.
    /// Positions count what was taken, from 0 on.
    pub fn hold_from(&mut self, position: u64) {
        self.barrier = position;
    }

    /// Returns the position of the next record that is taken.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Returns the position of the oldest record that is here; [`Retention::end`] if there is none.
    pub fn oldest(&self) -> u64 {
        seek(&self.chunks, 0).map_or(self.end, |(at, index)| self.chunks[at].first() + index as u64)
    }

    fn append(&mut self, series: usize, number: u64, template: u16, octets: &[u8]) -> Result<(), PushError> {
        if octets.len() > MAX_RECORD {
            return Err(PushError::TooLong { length: octets.len() });
        }
        let cost = Self::cost(octets.len());
        if self.held_octets + cost > self.limit {
            return Err(PushError::Full { held: self.held_octets, limit: self.limit });
        }
        if self.chunks.back().is_none_or(|chunk| chunk.octets() + cost > self.chunk_size) {
            let spare = self.spare.take().map(|chunk| chunk.reuse(self.end));
            let chunk = spare.unwrap_or_else(|| Chunk::new(self.end, self.chunk_size, octets.len()));
            self.chunks.push_back(chunk);
        }
        let chunk = self.chunks.back_mut().expect("one was pushed when there was none");
        chunk.push(series, number, template, octets);
        self.end += 1;
        self.held_octets += cost;
        self.counts.pushed += 1;
        self.counts.retained += 1;
        self.counts.retained_octets += octets.len() as u64;
        Ok(())
    }

    fn series_index(&mut self, epoch: Epoch, domain: u32) -> usize {
        *self.by_name.entry((epoch, domain)).or_insert_with(|| {
            let series = Series { ledger: self.ledger, epoch, domain };
            self.series.push(Numbering { series, next_number: 0, sent_until: 0 });
            self.series.len() - 1
        })
    }

    /// Opens a transport session: it begins with the oldest record that nobody is known to have.
    pub fn open_session(&mut self) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        self.sessions.insert(id, Session::new(self.chunks.front().map_or(self.end, Chunk::first)));
        id
    }

    /// Ends a session: its cookies are not believed from here on, what it carried stays until another session's
    /// cookies cover it.
    pub fn close_session(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// Returns what the session sends next, and counts it as sent there; `None` when it has sent everything, or is
    /// closed. A session record comes first, and again wherever numbers jump or the epoch changes.
    pub fn next(&mut self, id: SessionId) -> Option<Outgoing<'_>> {
        let session = self.sessions.get_mut(&id)?;
        let (at, index) = seek(&self.chunks, session.cursor)?;
        session.cursor = self.chunks[at].first() + index as u64;
        if session.cursor >= self.barrier {
            return None;
        }
        let entry = *self.chunks[at].entry(index);
        let Numbering { series, sent_until, .. } = self.series[entry.series()];
        let run = Run { series: entry.series(), next_number: entry.number };
        if session.runs.get(&series.domain) != Some(&run) {
            session.runs.insert(series.domain, run);
            let first_number = entry.number;
            let record = SessionRecord { series, first_number, possible_duplicate_until: sent_until };
            return Some(Outgoing::SessionRecord(record));
        }
        let octets = self.chunks[at].record(index);
        session.runs.insert(series.domain, Run { next_number: entry.number + 1, ..run });
        session.hand_out(&entry, octets.len() as u64);
        let replayed = entry.number < sent_until;
        self.counts.replayed += u64::from(replayed);
        self.series[entry.series()].sent_until = sent_until.max(entry.number + 1);
        let identity = series.identity(entry.number);
        Some(Outgoing::Record { identity, template: entry.template, octets, replayed })
    }

    /// Makes the next record of this domain follow a new session record: another options record went in between.
    pub fn end_run(&mut self, id: SessionId, domain: u32) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.runs.remove(&domain);
        }
    }

    /// Takes out what a cookie of this session says is durable. Numbers that the session did not send, and other
    /// ledgers, are not believed.
    pub fn cover(&mut self, id: SessionId, entries: &[cookie::Entry]) -> Covered {
        let before = self.counts;
        let ledger = self.ledger;
        for entry in entries.iter().filter(|entry| entry.series.ledger == ledger) {
            let Some(&series) = self.by_name.get(&(entry.series.epoch, entry.series.domain)) else {
                continue;
            };
            let Some(sent) = self.sessions.get(&id).and_then(|session| session.sent.get(&series)) else {
                continue;
            };
            let parts: Vec<_> = sent.within(entry.numbers.clone()).collect();
            for numbers in parts {
                self.leave(
                    Leave::Covered,
                    |chunk| chunk.spans(series, &numbers),
                    |_, entry| entry.series() == series && numbers.contains(&entry.number),
                );
            }
        }
        self.covered_since(before)
    }

    /// Returns how far the session has sent, to be kept until the transport acknowledges it.
    pub fn mark(&self, id: SessionId) -> Option<Mark> {
        self.sessions.get(&id).map(Session::mark)
    }

    /// Notes that the transport has acknowledged what the session had sent at `mark`. Means nothing for collectors
    /// with cookies; for others it starts the hold-back.
    pub fn handle_transport_acknowledged(&mut self, id: SessionId, mark: Mark, now: Instant) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.acknowledge(mark, now);
        }
    }

    /// Takes out what a collector without cookies has by all likelihood: what its transport acknowledged longer ago, or
    /// followed by more octets, than `hold_back` says. What is held back is replayed on failover.
    pub fn cover_by_hold_back(&mut self, id: SessionId, now: Instant, hold_back: HoldBack) -> Covered {
        let before = self.counts;
        let Some(position) = self.sessions.get_mut(&id).and_then(|session| session.release(now, hold_back))
        else {
            return Covered::default();
        };
        let Some(sent) = self.sessions.get(&id).map(|session| session.sent.clone()) else {
            return Covered::default();
        };
        self.leave(
            Leave::Covered,
            |chunk| chunk.first() < position,
            |at, entry| {
                at < position && sent.get(&entry.series()).is_some_and(|sent| sent.contains(entry.number))
            },
        );
        self.covered_since(before)
    }

    /// Gives up the records of the oldest chunk, to make room; returns how many. The caller counts them by reason.
    pub fn drop_oldest(&mut self) -> u64 {
        let before = self.counts.dropped;
        if let Some(end) = self.chunks.front().map(Chunk::end) {
            self.leave(Leave::Dropped, |chunk| chunk.first() < end, |_, _| true);
        }
        self.counts.dropped - before
    }

    /// Lets records leave: those that `is_it` says (position, entry), in chunks that `may_be` says.
    fn leave(
        &mut self,
        how: Leave,
        may_be: impl Fn(&Chunk) -> bool,
        is_it: impl Fn(u64, &chunk::Entry) -> bool,
    ) {
        let (mut gone, mut gone_octets) = (0, 0);
        for chunk in self.chunks.iter_mut().filter(|chunk| may_be(chunk)) {
            for index in 0..chunk.len() {
                let entry = *chunk.entry(index);
                if entry.gone || !is_it(chunk.first() + index as u64, &entry) {
                    continue;
                }
                let octets = chunk.record(index).len() as u64;
                chunk.take_out(index);
                self.sessions.values_mut().for_each(|session| session.forget(&entry, octets));
                gone += 1;
                gone_octets += octets;
            }
        }
        let mut at = 0;
        while let Some(chunk) = self.chunks.get(at) {
            if chunk.is_live() {
                at += 1;
            } else {
                self.held_octets -= chunk.octets();
                self.spare = self.chunks.remove(at);
            }
        }
        match how {
            Leave::Covered => self.counts.covered += gone,
            Leave::Dropped => self.counts.dropped += gone,
        }
        self.counts.retained -= gone;
        self.counts.retained_octets -= gone_octets;
    }

    fn covered_since(&self, before: Counts) -> Covered {
        Covered {
            records: self.counts.covered - before.covered,
            octets: before.retained_octets - self.counts.retained_octets,
        }
    }

    /// Returns every record that is here, in order: position, identity, template, octets.
    pub fn records(&self) -> impl Iterator<Item = (u64, Identity, u16, &[u8])> {
        self.chunks.iter().flat_map(|chunk| (0..chunk.len()).map(move |index| (chunk, index))).filter_map(
            |(chunk, index)| {
                let entry = chunk.entry(index);
                let identity = self.series[entry.series()].series.identity(entry.number);
                let record = (chunk.first() + index as u64, identity, entry.template, chunk.record(index));
                (!entry.gone).then_some(record)
            },
        )
    }

    /// Returns the octets that the session has sent and nobody is known to have: what the window bounds.
    pub fn in_flight(&self, id: SessionId) -> u64 {
        self.sessions.get(&id).map_or(0, |session| session.in_flight)
    }

    /// Returns the books.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the octets held, what is kept beside each record included: never above the limit.
    pub fn held_octets(&self) -> usize {
        self.held_octets
    }

    /// Returns the limit of [`Retention::held_octets`].
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns every series with its next number: records 0 up to it were made.
    pub fn issued(&self) -> impl Iterator<Item = (Series, u64)> + '_ {
        self.series.iter().map(|numbering| (numbering.series, numbering.next_number))
    }
}

/// Finds the first record at or after `position` that is still here: chunk and index in it.
fn seek(chunks: &VecDeque<Chunk>, position: u64) -> Option<(usize, usize)> {
    let start = chunks.partition_point(|chunk| chunk.end() <= position);
    chunks.iter().enumerate().skip(start).find_map(|(at, chunk)| {
        let skip = usize::try_from(position.saturating_sub(chunk.first())).ok()?;
        (skip..chunk.len()).find(|&index| !chunk.entry(index).gone).map(|index| (at, index))
    })
}

#[cfg(test)]
mod tests;
