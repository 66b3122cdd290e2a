//! Everything that waits here: class `reliable` in retention and behind it in the spool, the others in rings, all but the
//! spool within one limit. Where room is short, the lowest class loses its oldest records first, class `reliable` last and
//! only what the spool does not take.

use std::time::Instant;

use delivery::retention::{PushError, SessionId};
use delivery::{Retention, cookie};
use ipfix::TemplateRecord;
use spool::Position;

use super::lossy::LossyQueue;
use super::tiers::{SpoolCounts, Tiers};
use crate::export::{ClassIndex, Templates};
use crate::spooling::{Command, Event};

#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) retention: Retention,
    /// By class; that of class `reliable` stays empty.
    queues: Vec<LossyQueue>,
    /// Without it there is memory alone.
    tiers: Option<Tiers>,
    limit: usize,
}

impl Buffer {
    pub(super) fn new(retention: Retention, tiers: Option<Tiers>, classes: usize) -> Self {
        let limit = retention.limit();
        Self { retention, queues: (0..classes).map(|_| LossyQueue::default()).collect(), tiers, limit }
    }

    /// Octets held, with what is kept beside each record.
    fn held(&self) -> usize {
        self.retention.held_octets() + self.queued_octets()
    }

    fn queued_octets(&self) -> usize {
        self.queues.iter().map(LossyQueue::octets).sum()
    }

    /// Tells whether a batch of records can be taken.
    pub(super) fn has_room(&self) -> bool {
        // A batch with its book-keeping is below a sixteenth of the smallest memory, 64 KiB.
        let in_memory = self.held() < self.limit - self.limit / 16;
        match &self.tiers {
            Some(tiers) => tiers.has_room() || in_memory && tiers.counts().waiting == 0,
            None => in_memory,
        }
    }

    /// Takes a record of class `reliable`. Where neither memory nor the spool has room, the other classes make it, and then
    /// the oldest records of this one.
    ///
    /// Fails when no message can carry it.
    pub(super) fn push_reliable(
        &mut self,
        domain: u32,
        template: u16,
        record: &[u8],
    ) -> Result<(), PushError> {
        let cost = Retention::cost(record.len());
        let on_disk = self.tiers.as_ref().is_some_and(Tiers::is_open);
        let fits = if on_disk { self.has_share(cost) } else { self.make_room_for_reliable(cost) };
        match &mut self.tiers {
            Some(tiers) => tiers.push(&mut self.retention, fits, domain, template, record),
            None => self.retention.push(domain, template, record).map(drop),
        }
    }

    /// Tells whether class `reliable` may take so many octets more of memory where the spool takes the rest: half of it in
    /// any case, for which the other classes make room, and what they leave.
    fn has_share(&mut self, octets: usize) -> bool {
        if self.retention.held_octets() + octets <= self.limit / 2 {
            self.make_room(octets, ClassIndex::default());
            return true;
        }
        self.held() + octets <= self.limit
    }

    /// Makes room at any price.
    fn make_room_for_reliable(&mut self, octets: usize) -> bool {
        while !self.make_room(octets, ClassIndex::default()) {
            if self.retention.drop_oldest() == 0 {
                return false;
            }
        }
        true
    }

    /// Takes a record of a class that may lose some. Where room is short, this and lower classes make it.
    pub(super) fn push_lossy(&mut self, class: ClassIndex, template: u16, record: &[u8]) {
        let has_room = self.make_room(LossyQueue::cost(record.len()), class);
        let queue = &mut self.queues[usize::from(class.0)];
        if !(has_room && queue.push(template, record)) {
            queue.count_dropped();
        }
    }

    /// Drops the oldest records of the lowest classes, `class` the last of them, until there is room for so many octets.
    fn make_room(&mut self, octets: usize, class: ClassIndex) -> bool {
        let mut held = self.held();
        while held + octets > self.limit {
            let lower = self.queues[usize::from(class.0)..].iter_mut().rev();
            let Some(freed) = lower.filter_map(LossyQueue::drop_oldest).next() else { return false };
            held -= freed;
        }
        true
    }

    /// Takes out the oldest record of a class into `record`; returns its template.
    pub(super) fn pop(&mut self, class: ClassIndex, record: &mut Vec<u8>) -> Option<u16> {
        self.queues[usize::from(class.0)].pop(record)
    }

    /// Returns the ring of a class.
    pub(super) fn queue(&self, class: ClassIndex) -> &LossyQueue {
        &self.queues[usize::from(class.0)]
    }

    /// Tells whether nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        let waiting = self.retention.counts().retained + self.spool_counts().waiting;
        waiting == 0 && self.queues.iter().all(LossyQueue::is_empty)
    }

    /// Takes over templates that were learned since.
    pub(super) fn follow_templates(&mut self, templates: &Templates) {
        self.tiers.iter_mut().for_each(|tiers| tiers.follow_templates(templates));
    }

    /// Returns what the spool is to do next; `export_time` is the wall clock, in seconds since the Unix epoch.
    pub(super) fn poll_spool(&mut self, now: Instant, export_time: u32) -> Option<Command> {
        self.tiers.as_mut()?.release(&self.retention);
        while let Some(octets) = self.tiers.as_mut()?.wanted()
            && self.has_share(octets)
        {
            self.tiers.as_mut()?.take_back(&mut self.retention);
        }
        self.tiers.as_mut()?.poll_command(now, export_time)
    }

    /// Returns when to ask for the spool's next command.
    pub(super) fn spool_timeout(&self) -> Option<Instant> {
        self.tiers.as_ref()?.poll_timeout()
    }

    /// Takes what the spool tells.
    pub(super) fn handle_spool(&mut self, event: Event) {
        if let Some(tiers) = &mut self.tiers {
            tiers.handle_event(&mut self.retention, event);
        }
    }

    /// Puts everything of class `reliable` on disk; returns before which position nothing is needed.
    pub(super) fn spill(&mut self) -> Option<Position> {
        Some(self.tiers.as_mut()?.spill(&self.retention))
    }

    /// Returns the spool's books; all zero without one.
    pub(super) fn spool_counts(&self) -> SpoolCounts {
        self.tiers.as_ref().map_or_else(SpoolCounts::default, |tiers| *tiers.counts())
    }

    /// Returns why the spool does not work, while it does not.
    pub(super) fn spool_failing(&self) -> Option<&str> {
        self.tiers.as_ref()?.failing()
    }

    /// Returns the templates of other versions that came back with their records, in the order in which they did.
    pub(super) fn foreign_templates(&self) -> &[TemplateRecord] {
        self.tiers.as_ref().map_or(&[], Tiers::foreign_templates)
    }

    /// Takes out what a cookie covers; returns how many records.
    pub(super) fn cover(&mut self, session: SessionId, entries: &[cookie::Entry]) -> u64 {
        self.retention.cover(session, entries).records
    }

    /// Notes what the transport has acknowledged.
    pub(super) fn acknowledge(&mut self, session: SessionId, mark: delivery::retention::Mark, now: Instant) {
        self.retention.handle_transport_acknowledged(session, mark, now);
    }
}
