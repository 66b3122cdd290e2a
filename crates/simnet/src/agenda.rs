//! What will happen when.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Events by time; events of the same time in the order in which they were added.
#[derive(Debug)]
pub struct Agenda<E> {
    heap: BinaryHeap<Planned<E>>,
    added: u64,
}

#[derive(Debug)]
struct Planned<E> {
    at: Instant,
    order: u64,
    event: E,
}

impl<E> Agenda<E> {
    /// Returns an empty agenda.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), added: 0 }
    }

    /// Plans an event.
    pub fn add(&mut self, at: Instant, event: E) {
        self.heap.push(Planned { at, order: self.added, event });
        self.added += 1;
    }

    /// Returns when the next event is.
    pub fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|planned| planned.at)
    }

    /// Takes the next event.
    pub fn take(&mut self) -> Option<(Instant, E)> {
        self.heap.pop().map(|planned| (planned.at, planned.event))
    }
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Ord for Planned<E> {
    /// The greatest is the earliest: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Planned<E> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_added() {
        let start = crate::start();
        let mut agenda = Agenda::new();
        for (milliseconds, name) in [(2, "c"), (1, "a"), (2, "d"), (1, "b")] {
            agenda.add(start + Duration::from_millis(milliseconds), name);
        }
        assert_eq!(agenda.next_at(), Some(start + Duration::from_millis(1)));
        let order: Vec<_> = std::iter::from_fn(|| agenda.take()).map(|(_, name)| name).collect();
        assert_eq!(order, ["a", "b", "c", "d"]);
    }
}
