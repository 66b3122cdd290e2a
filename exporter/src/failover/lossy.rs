//! What waits to be sent in a class that may lose records: a ring of octets.

use std::collections::VecDeque;

/// Template id and length in front of each record.
const FRAME: usize = 4;

/// Encoded records in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct LossyQueue {
    octets: VecDeque<u8>,
    records: u64,
    dropped: u64,
}

impl LossyQueue {
    /// Returns the octets that a record of this length takes.
    pub(super) const fn cost(length: usize) -> usize {
        FRAME + length
    }

    /// Takes a record; not one that no message can carry.
    pub(super) fn push(&mut self, template: u16, record: &[u8]) -> bool {
        let Ok(length) = u16::try_from(record.len()) else { return false };
        self.octets.extend(template.to_be_bytes());
        self.octets.extend(length.to_be_bytes());
        self.octets.extend(record);
        self.records += 1;
        true
    }

    /// Drops the oldest record; returns the octets it took.
    pub(super) fn drop_oldest(&mut self) -> Option<usize> {
        let (_, length) = self.frame()?;
        self.octets.drain(..length);
        self.records -= 1;
        self.dropped += 1;
        Some(Self::cost(length))
    }

    /// Counts a record that found no room.
    pub(super) const fn count_dropped(&mut self) {
        self.dropped += 1;
    }

    /// Takes out the oldest record into `record`; returns its template.
    pub(super) fn pop(&mut self, record: &mut Vec<u8>) -> Option<u16> {
        let (template, length) = self.frame()?;
        record.clear();
        record.extend(self.octets.drain(..length));
        self.records -= 1;
        Some(template)
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
    fn records_come_out_in_order_and_dropped_ones_are_counted() {
        let mut queue = LossyQueue::default();
        for record in 0..5_u8 {
            assert!(queue.push(300 + u16::from(record), &[record, record]));
        }
        assert_eq!((queue.drop_oldest(), queue.drop_oldest()), (Some(6), Some(6)));
        assert_eq!((queue.records(), queue.dropped(), queue.octets()), (3, 2, 18));
        let mut record = Vec::new();
        assert_eq!(queue.pop(&mut record), Some(302));
        assert_eq!(record, [2, 2]);
    }

    #[test]
    fn a_record_no_message_can_carry_is_not_taken() {
        let mut queue = LossyQueue::default();
        assert!(!queue.push(300, &[0; 65_536]));
        assert_eq!((queue.records(), queue.drop_oldest()), (0, None));
    }
}
