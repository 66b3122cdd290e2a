//! What waits to be sent in a class that may lose records: a ring of octets; when it is full, the oldest go.

use std::collections::VecDeque;

/// Template id and length in front of each record.
const FRAME: usize = 4;

/// Encoded records in the order in which they came.
#[derive(Debug)]
pub(super) struct LossyQueue {
    octets: VecDeque<u8>,
    limit: usize,
    records: u64,
    dropped: u64,
}

impl LossyQueue {
    /// Returns an empty queue of at most `limit` octets.
    pub(super) fn new(limit: usize) -> Self {
        Self { octets: VecDeque::new(), limit, records: 0, dropped: 0 }
    }

    /// Takes a record, and drops the oldest ones if it does not fit otherwise.
    pub(super) fn push(&mut self, template: u16, record: &[u8]) {
        let Ok(length) = u16::try_from(record.len()) else {
            self.dropped += 1;
            return;
        };
        while self.octets.len() + FRAME + record.len() > self.limit {
            if self.skip().is_none() {
                self.dropped += 1;
                return;
            }
            self.dropped += 1;
        }
        self.octets.extend(template.to_be_bytes());
        self.octets.extend(length.to_be_bytes());
        self.octets.extend(record);
        self.records += 1;
    }

    /// Takes out the oldest record into `record`; returns its template.
    pub(super) fn pop(&mut self, record: &mut Vec<u8>) -> Option<u16> {
        let (template, length) = self.frame()?;
        record.clear();
        record.extend(self.octets.drain(..length));
        self.records -= 1;
        Some(template)
    }

    fn skip(&mut self) -> Option<()> {
        let (_, length) = self.frame()?;
        self.octets.drain(..length);
        self.records -= 1;
        Some(())
    }

    fn frame(&mut self) -> Option<(u16, usize)> {
        let mut frame = [0; FRAME];
        for octet in &mut frame {
            *octet = self.octets.pop_front()?;
        }
        let [a, b, c, d] = frame;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]).into()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Returns how many records wait.
    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// Returns the octets in use.
    pub(super) fn octets(&self) -> usize {
        self.octets.len()
    }

    /// Returns how many records were dropped.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_records_make_room_for_the_newest_and_are_counted() {
        let mut queue = LossyQueue::new(3 * (FRAME + 2));
        for record in 0..5_u8 {
            queue.push(300 + u16::from(record), &[record, record]);
        }
        assert_eq!((queue.records(), queue.dropped()), (3, 2));
        let mut record = Vec::new();
        assert_eq!(queue.pop(&mut record), Some(302));
        assert_eq!(record, [2, 2]);
    }

    #[test]
    fn a_record_longer_than_the_queue_is_dropped_alone() {
        let mut queue = LossyQueue::new(8);
        queue.push(300, &[0; 5]);
        assert_eq!((queue.records(), queue.dropped(), queue.is_empty()), (0, 1, true));
    }
}
