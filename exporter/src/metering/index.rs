//! Finds flows by their hashes: an open-addressed table with linear probing that never grows all at once.
//!
//! A slot is 8 octets: 32 bits of a flow's hash, and its number. So a look-up reads one cache line as a rule, and moving a slot needs nothing
//! of the flow. Where the table is full, a larger one takes its place, and the slots of the old one move over a few at a time, with each
//! flow that begins: no packet waits for millions of others.

/// Slots at first; always a power of two.
const FIRST: usize = 128;
/// Slots of the old table looked at with each flow that begins. The new table has room for as many flows again as the old one held, and
/// this is several times what that needs.
const MOVED: usize = 8;
/// A slot without a flow.
const EMPTY: u64 = 0;

#[derive(Debug)]
pub(super) struct Index {
    table: Slots,
    /// What has not moved yet; no slots at all where everything has.
    old: Slots,
    /// The slot of the old table that is to move next; those before it are empty.
    next: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { table: Slots::new(FIRST), old: Slots::new(0), next: 0 }
    }
}

impl Index {
    /// Returns how many flows are in it.
    pub(super) const fn len(&self) -> usize {
        self.table.used + self.old.used
    }

    /// Returns the flow with this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let found = self.table.find(hash, &is_it).map(|at| flow_of(self.table.slots[at]));
        if found.is_some() || self.old.used == 0 {
            return found;
        }
        self.old.find(hash, is_it).map(|at| flow_of(self.old.slots[at]))
    }

    /// Returns what depends on the slots where a search for `hash` begins, and on nothing else: reading them is all that is wanted.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> u64 {
        self.table.first(hash) ^ self.old.first(hash)
    }

    /// Adds a flow that is not in it.
    pub(super) fn insert(&mut self, hash: u64, flow: u32) {
        if self.len() >= self.table.room() {
            self.move_over(usize::MAX);
            let larger = Slots::new(2 * self.table.slots.len());
            (self.old, self.next) = (std::mem::replace(&mut self.table, larger), 0);
        }
        if self.old.used > 0 {
            self.move_over(MOVED);
        }
        self.table.insert(slot(hash, flow));
    }

    /// Takes out a flow that is in it.
    pub(super) fn remove(&mut self, hash: u64, flow: u32) {
        for table in [&mut self.table, &mut self.old] {
            if let Some(at) = table.find(hash, |other| other == flow) {
                table.clear(at);
                return;
            }
        }
    }

    /// Looks at up to `some` slots of the old table.
    fn move_over(&mut self, some: usize) {
        let mut budget = some;
        while budget > 0 && self.old.used > 0 {
            match self.old.slots[self.next] {
                EMPTY => self.next += 1,
                // Another may take its place: it is looked at again.
                slot => {
                    self.old.clear(self.next);
                    self.table.insert(slot);
                }
            }
            budget -= 1;
        }
        if self.old.used == 0 {
            self.old = Slots::new(0);
        }
    }
}

/// A table that does not grow.
#[derive(Debug)]
struct Slots {
    slots: Vec<u64>,
    used: usize,
}

impl Slots {
    fn new(size: usize) -> Self {
        // Zeroes, which the operating system has: nothing is written here.
        Self { slots: vec![EMPTY; size], used: 0 }
    }

    /// Returns how many flows it takes: searches stay short up to there.
    const fn room(&self) -> usize {
        self.slots.len() / 4 * 3
    }

    const fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    /// Returns the slot where a search begins.
    #[inline]
    fn first(&self, hash: u64) -> u64 {
        self.slots.get(home(hash) & self.mask()).copied().unwrap_or(EMPTY)
    }

    /// Returns where the flow is; nothing if there is none, or no table.
    #[inline]
    fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mut at = home(hash) & self.mask();
        loop {
            match *self.slots.get(at)? {
                EMPTY => return None,
                slot if home(slot) == home(hash) && is_it(flow_of(slot)) => return Some(at),
                _ => at = (at + 1) & self.mask(),
            }
        }
    }

    fn insert(&mut self, slot: u64) {
        let mut at = home(slot) & self.mask();
        while self.slots[at] != EMPTY {
            at = (at + 1) & self.mask();
        }
        self.slots[at] = slot;
        self.used += 1;
    }

    /// Empties a slot. Those behind it move up, as far as a search for them still finds them: no search meets a gap.
    fn clear(&mut self, mut gap: usize) {
        let mask = self.mask();
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot == EMPTY {
                break;
            }
            let distance = |from: usize| at.wrapping_sub(from) & mask;
            if distance(home(slot) & mask) >= distance(gap) {
                self.slots[gap] = slot;
                gap = at;
            }
        }
        self.slots[gap] = EMPTY;
        self.used -= 1;
    }
}

const fn slot(hash: u64, flow: u32) -> u64 {
    // One more than the flow's number, so that it is not empty.
    hash & !(u32::MAX as u64) | (flow as u64 + 1)
}

/// Returns the half of a hash that is in its slot.
#[inline]
const fn home(hash_or_slot: u64) -> usize {
    (hash_or_slot >> 32) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "takes the slot apart")]
#[inline]
const fn flow_of(slot: u64) -> u32 {
    (slot as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const fn hash(flow: u32) -> u64 {
        (flow as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn find(index: &Index, flow: u32) -> Option<u32> {
        index.find(hash(flow), |other| other == flow)
    }

    #[test]
    fn every_flow_is_found_while_others_move() {
        let mut index = Index::default();
        for flow in 0..3_000 {
            index.insert(hash(flow), flow);
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
            let before = index.old.used;
            index.insert(hash(flow), flow);
            let began = before == 0 && index.old.used > 0;
            assert!(began || before - index.old.used <= MOVED, "flow {flow}");
        }
        assert_eq!((0..100_000).filter(|flow| find(&index, *flow).is_some()).count(), 100_000);
    }

    #[test]
    fn flows_that_come_and_go_do_not_make_it_larger() {
        let mut index = Index::default();
        for flow in 0..1_000 {
            index.insert(hash(flow), flow);
        }
        for round in 0..200_u32 {
            for flow in 0..1_000 {
                index.remove(hash(flow + 1_000 * round), flow);
                index.insert(hash(flow + 1_000 * (round + 1)), flow);
            }
        }
        assert_eq!((index.len(), index.table.slots.len()), (1_000, 2_048));
    }

    proptest::proptest! {
        /// Few hashes, at both ends of the table, so that searches are long and go round.
        #[test]
        fn it_holds_what_a_map_holds(
            steps in proptest::collection::vec((0_u32..300, 0_u64..6, proptest::bool::ANY), 0..1_500),
        ) {
            let (mut index, mut map) = (Index::default(), HashMap::new());
            for (flow, near, insert) in steps {
                match map.get(&flow) {
                    None if insert => {
                        let hash = near.wrapping_sub(3) << 32;
                        index.insert(hash, flow);
                        map.insert(flow, hash);
                    }
                    Some(&hash) if !insert => {
                        index.remove(hash, flow);
                        map.remove(&flow);
                    }
                    _ => {}
                }
                proptest::prop_assert_eq!(index.len(), map.len());
            }
            for (&flow, &hash) in &map {
                proptest::prop_assert_eq!(index.find(hash, |other| other == flow), Some(flow));
            }
            for hash in (0..6_u64).map(|near| near.wrapping_sub(3) << 32) {
                proptest::prop_assert_eq!(index.find(hash, |other| !map.contains_key(&other)), None);
            }
        }
    }
}
