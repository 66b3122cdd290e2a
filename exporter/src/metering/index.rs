//! Finds flows by their keys: a hash table of their indices that never grows all at once.
//!
//! Where it is full, a larger one takes its place, and those in the old one move over a few at a time, with each flow that begins: no packet
//! waits for millions of others to be hashed again.

use hashbrown::HashTable;

/// Capacity at first.
const FIRST: usize = 64;
/// Flows looked at for moving with each that begins. The new table has room for as many as there are, so that one would do.
const MOVED: u32 = 8;

#[derive(Debug, Default)]
pub(super) struct Index {
    table: HashTable<u32>,
    /// What has not moved yet.
    old: HashTable<u32>,
    /// The flow that is to move next.
    next: u32,
}

impl Index {
    /// Returns how many flows are in it.
    pub(super) fn len(&self) -> usize {
        self.table.len() + self.old.len()
    }

    /// Returns the flow with this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        match self.table.find(hash, |&index| is_it(index)) {
            Some(&index) => Some(index),
            None if self.old.is_empty() => None,
            None => self.old.find(hash, |&index| is_it(index)).copied(),
        }
    }

    /// Adds a flow that is not in it. `flows` is how many there ever were at a time, `hash_of` the hash of each of them.
    pub(super) fn insert(&mut self, hash: u64, flow: u32, flows: usize, hash_of: impl Fn(u32) -> u64) {
        if self.table.len() == self.table.capacity() {
            self.move_over(u32::MAX, flows, &hash_of);
            self.old = std::mem::replace(&mut self.table, HashTable::with_capacity((2 * flows).max(FIRST)));
            self.next = 0;
        }
        if !self.old.is_empty() {
            self.move_over(MOVED, flows, &hash_of);
        }
        self.table.insert_unique(hash, flow, |&other| hash_of(other));
    }

    /// Takes out a flow that is in it.
    pub(super) fn remove(&mut self, hash: u64, flow: u32) {
        for table in [&mut self.table, &mut self.old] {
            if let Ok(entry) = table.find_entry(hash, |&other| other == flow) {
                entry.remove();
                return;
            }
        }
    }

    /// Moves up to `some` flows.
    fn move_over(&mut self, some: u32, flows: usize, hash_of: &impl Fn(u32) -> u64) {
        let mut budget = some;
        while budget > 0 && !self.old.is_empty() && (self.next as usize) < flows {
            let (flow, hash) = (self.next, hash_of(self.next));
            if let Ok(entry) = self.old.find_entry(hash, |&other| other == flow) {
                entry.remove();
                self.table.insert_unique(hash, flow, |&other| hash_of(other));
            }
            self.next += 1;
            budget -= 1;
        }
        if self.old.is_empty() {
            self.old = HashTable::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn hash(flow: u32) -> u64 {
        (flow as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn find(index: &Index, flow: u32) -> Option<u32> {
        index.find(hash(flow), |other| other == flow)
    }

    #[test]
    fn every_flow_is_found_while_others_move() {
        let mut index = Index::default();
        for flow in 0..3_000 {
            index.insert(hash(flow), flow, flow as usize + 1, hash);
            if flow % 3 == 0 {
                index.remove(hash(flow), flow);
            }
            for other in [flow, flow / 2, flow / 5] {
                assert_eq!(find(&index, other).is_some(), other % 3 != 0, "{other} of {flow}");
            }
        }
        assert_eq!((0..3_000).filter(|flow| find(&index, *flow).is_some()).count(), 2_000);
        assert_eq!(index.len(), 2_000);
    }

    #[test]
    fn it_grows_without_moving_many_at_once() {
        let mut index = Index::default();
        for flow in 0..100_000 {
            let before = index.old.len();
            index.insert(hash(flow), flow, flow as usize + 1, hash);
            let began = before == 0 && !index.old.is_empty();
            assert!(began || before - index.old.len() <= MOVED as usize, "flow {flow}");
        }
        assert!(index.old.is_empty() || index.old.len() < 100_000);
    }

    #[test]
    fn flows_that_come_and_go_do_not_make_it_larger() {
        let mut index = Index::default();
        for flow in 0..1_000 {
            index.insert(hash(flow), flow, 1_000, hash);
        }
        for round in 0..200_u32 {
            for flow in 0..1_000 {
                let key = |round: u32| hash(flow + 1_000 * round);
                index.remove(key(round), flow);
                index.insert(key(round + 1), flow, 1_000, |other| {
                    hash(other + 1_000 * (round + u32::from(other <= flow)))
                });
            }
        }
        assert_eq!(index.len(), 1_000);
        assert!(index.table.capacity() < 8_000, "{}", index.table.capacity());
    }
}
