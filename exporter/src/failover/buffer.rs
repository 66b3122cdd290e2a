//! Everything that waits here: class `reliable` in retention, the others in rings, all within one limit. Where room is
//! short, the lowest class loses its oldest records first; class `reliable` never loses any.

use std::time::Instant;

use delivery::retention::{PushError, SessionId};
use delivery::{Retention, cookie};

use super::lossy::LossyQueue;
use crate::export::ClassIndex;

#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) retention: Retention,
    /// By class; that of class `reliable` stays empty.
    queues: Vec<LossyQueue>,
    limit: usize,
}

impl Buffer {
    pub(super) fn new(retention: Retention, classes: usize) -> Self {
        let limit = retention.limit();
        Self { retention, queues: (0..classes).map(|_| LossyQueue::default()).collect(), limit }
    }

    /// Octets held, with what is kept beside each record.
    fn held(&self) -> usize {
        self.retention.held_octets() + self.queued_octets()
    }

    fn queued_octets(&self) -> usize {
        self.queues.iter().map(LossyQueue::octets).sum()
    }

    /// Tells whether a batch of records can be taken; with `give_way`, the rings make room.
    pub(super) fn has_room(&self, give_way: bool) -> bool {
        // A batch with its book-keeping is below a sixteenth of the smallest memory, 64 KiB.
        let held = if give_way { self.retention.held_octets() } else { self.held() };
        held < self.limit - self.limit / 16
    }

    /// Takes a record of class `reliable`; the other classes make room for it.
    pub(super) fn push_reliable(
        &mut self,
        domain: u32,
        template: u16,
        record: &[u8],
    ) -> Result<(), PushError> {
        self.make_room(Retention::cost(record.len()), ClassIndex::default());
        self.retention.push(domain, template, record).map(drop)
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
        self.retention.counts().retained == 0 && self.queues.iter().all(LossyQueue::is_empty)
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
