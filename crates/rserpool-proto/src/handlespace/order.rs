//! Elements in the order in which they are chosen, with logarithmic growth, and less where elements just take turns:
//! whoever goes to the very end is appended to a queue, all others are in a tree. Both are sorted.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};

use crate::PeId;

/// One element in order. With the identifier at hand, walking along the order touches nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) rank: u64,
    pub(super) turn: u64,
    pub(super) slot: u32,
    pub(super) pe: PeId,
}

/// The slot of a position that was taken out of the middle of the queue.
const GONE: u32 = u32::MAX;

impl Position {
    /// No two elements of a pool have the same turn.
    fn key(&self) -> u128 {
        u128::from(self.rank) << 64 | u128::from(self.turn)
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Position) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Position) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Position) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Position {}

/// Positions in order; the first is the head.
#[derive(Debug, Default)]
pub(super) struct Order {
    tree: BTreeSet<Position>,
    /// Its ends are never gone.
    queue: VecDeque<Position>,
    gone: usize,
}

impl Order {
    pub(super) fn insert(&mut self, position: Position) {
        if self.queue.back().is_none_or(|last| *last < position) {
            self.queue.push_back(position);
        } else if self.gone > 0
            && let Ok(index) = self.queue.binary_search(&position)
        {
            // It was there before, and comes back with its turn.
            self.queue[index] = position;
            self.gone -= 1;
        } else {
            self.tree.insert(position);
        }
    }

    pub(super) fn remove(&mut self, position: &Position) {
        // Whose turn is over is at the head.
        if self.queue.front() == Some(position) {
            self.queue.pop_front();
            self.tidy();
        } else if self.tree.first() == Some(position) {
            self.tree.pop_first();
        } else if let Ok(index) = self.queue.binary_search(position) {
            self.queue[index].slot = GONE;
            self.gone += 1;
            self.tidy();
        } else {
            self.tree.remove(position);
        }
    }

    /// Takes gone positions off the ends, and all when most are gone.
    fn tidy(&mut self) {
        if self.gone == 0 {
            return;
        }
        while self.queue.front().is_some_and(|first| first.slot == GONE) {
            self.queue.pop_front();
            self.gone -= 1;
        }
        while self.queue.back().is_some_and(|last| last.slot == GONE) {
            self.queue.pop_back();
            self.gone -= 1;
        }
        if self.gone > self.queue.len() / 2 {
            self.queue.retain(|position| position.slot != GONE);
            self.gone = 0;
        }
    }

    pub(super) fn first(&self) -> Option<&Position> {
        match (self.queue.front(), self.tree.first()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Position> {
        let mut queue = self.queue.iter().filter(|position| position.slot != GONE).peekable();
        let mut tree = self.tree.iter().peekable();
        std::iter::from_fn(move || match (queue.peek(), tree.peek()) {
            (Some(one), Some(other)) if other < one => tree.next(),
            (Some(_), _) => queue.next(),
            (None, _) => tree.next(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(rank: u64, turn: u64) -> Position {
        let slot = u32::try_from(turn).unwrap();
        Position { rank, turn, slot, pe: PeId(slot) }
    }

    proptest! {
        #[test]
        fn whatever_is_inserted_and_removed_stays_in_order(
            steps in proptest::collection::vec((0..4_u64, any::<u16>(), any::<bool>()), 0..300),
        ) {
            let (mut order, mut expected) = (Order::default(), BTreeSet::new());
            let mut removed = Vec::new();
            for (turn, (rank, pick, remove)) in (0..).zip(steps) {
                if let Some(again) = removed.pop_if(|_| pick % 3 == 0) {
                    order.insert(again);
                    expected.insert(again);
                } else if remove && !expected.is_empty() {
                    let nth = usize::from(pick) % expected.len();
                    let position: Position = *expected.iter().nth(nth).unwrap();
                    order.remove(&position);
                    expected.remove(&position);
                    removed.push(position);
                } else {
                    order.insert(position(rank, turn));
                    expected.insert(position(rank, turn));
                }
                prop_assert_eq!(order.first(), expected.first());
                prop_assert!(order.iter().eq(&expected));
            }
        }
    }

    #[test]
    fn elements_that_take_turns_are_in_the_queue_only() {
        let mut order = Order::default();
        (0..100).for_each(|turn| order.insert(position(0, turn)));
        for turn in 100..1_000 {
            let head = *order.first().unwrap();
            order.remove(&head);
            order.insert(position(0, turn));
        }
        assert_eq!((order.tree.len(), order.queue.len()), (0, 100));
    }
}
