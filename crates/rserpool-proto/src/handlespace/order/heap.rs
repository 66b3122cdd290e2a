//! Positions of which only the first is at hand, and any may leave: a heap that knows where each slot is in it. Adding
//! one, or taking one out of the middle, moves two others on average, and their number's logarithm at most.

use super::Position;

/// Four children share two lines of the processor's cache, and the heap is half as high as with two.
const CHILDREN: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Heap {
    /// Each comes behind its parent, that at `(nth - 1) / CHILDREN`.
    positions: Vec<Position>,
    /// Where a slot is, if the position there is that slot's; else it is not in the heap.
    places: Vec<u32>,
}

impl Heap {
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    pub(super) fn push(&mut self, position: Position) {
        let slot = position.slot as usize;
        if self.places.len() <= slot {
            self.places.resize(slot + 1, 0);
        }
        self.positions.push(position);
        self.rise(self.positions.len() - 1, position);
    }

    /// Takes the first one out.
    pub(super) fn pop(&mut self) -> Option<Position> {
        let first = *self.positions.first()?;
        self.take_out(0);
        Some(first)
    }

    /// Takes that of a slot out; returns whether it was there.
    pub(super) fn remove(&mut self, slot: u32) -> bool {
        let nth = self.places.get(slot as usize).map_or(0, |&place| place as usize);
        let is_there = self.positions.get(nth).is_some_and(|position| position.slot == slot);
        if is_there {
            self.take_out(nth);
        }
        is_there
    }

    /// Fills the gap with the last one.
    fn take_out(&mut self, nth: usize) {
        let Some(last) = self.positions.pop() else { return };
        if nth == self.positions.len() {
            return;
        }
        if nth > 0 && last < self.positions[(nth - 1) / CHILDREN] {
            self.rise(nth, last);
        } else {
            self.sink(nth, last);
        }
    }

    /// Puts a position here or, parents that come behind it moving down, above.
    fn rise(&mut self, mut nth: usize, position: Position) {
        while nth > 0 {
            let parent = (nth - 1) / CHILDREN;
            if self.positions[parent] < position {
                break;
            }
            self.put(nth, self.positions[parent]);
            nth = parent;
        }
        self.put(nth, position);
    }

    /// Puts a position here or, children that come before it moving up, below.
    fn sink(&mut self, mut nth: usize, position: Position) {
        loop {
            let from = nth * CHILDREN + 1;
            let children = (from..self.positions.len()).take(CHILDREN);
            let Some(first) = children.min_by_key(|&child| self.positions[child].key()) else { break };
            if position < self.positions[first] {
                break;
            }
            self.put(nth, self.positions[first]);
            nth = first;
        }
        self.put(nth, position);
    }

    fn put(&mut self, nth: usize, position: Position) {
        self.positions[nth] = position;
        // There are no more positions than slots.
        self.places[position.slot as usize] = u32::try_from(nth).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PeId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_one_is_at_hand_whoever_joins_and_leaves(
            steps in proptest::collection::vec((0..300_u32, 0..50_u64, 0..3_u8), 0..600),
        ) {
            let (mut heap, mut expected) = (Heap::default(), Vec::<Position>::new());
            for (turn, (slot, rank, step)) in (0..).zip(steps) {
                let was_there = expected.iter().any(|position| position.slot == slot);
                prop_assert_eq!(heap.remove(slot), was_there);
                expected.retain(|position| position.slot != slot);
                if step > 0 {
                    let position = Position { rank, turn, slot, pe: PeId(slot) };
                    heap.push(position);
                    expected.push(position);
                    expected.sort_unstable();
                } else if turn % 2 == 0 {
                    prop_assert_eq!(heap.pop(), (!expected.is_empty()).then(|| expected.remove(0)));
                }
                prop_assert_eq!(heap.positions.len(), expected.len());
            }
            for position in expected {
                prop_assert_eq!(heap.pop(), Some(position));
            }
            prop_assert!(heap.is_empty());
        }
    }
}
