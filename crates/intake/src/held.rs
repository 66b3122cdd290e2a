//! Data sets held back until their template comes: over UDP it may be late or lost, or sent only from time to time
//! (RFC 7011 section 8: a collecting process may store such sets for a short time).
//!
//! They are kept as datagrams of their own, header and one set, in the order they came. Octets are bounded for each source
//! and for all; what is older than the time limit, or does not fit, is counted as without template.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

/// Octets each set costs beside its own.
const OVERHEAD: usize = 64;

/// Observation domain (or source ID) and template.
pub(crate) type Key = (u32, u16);

/// The sets of one source.
#[derive(Debug, Default)]
pub(crate) struct Held {
    sets: VecDeque<Set>,
    /// How many there are of each template: most templates that come have none, and must not cost a look at all sets.
    count: BTreeMap<Key, usize>,
    octets: usize,
}

/// One set.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) key: Key,
    /// A datagram with this set alone.
    pub(crate) datagram: Box<[u8]>,
    received: u32,
}

impl Set {
    /// Octets it costs.
    pub(crate) const fn cost(&self) -> usize {
        self.datagram.len() + OVERHEAD
    }
}

impl Held {
    /// Octets they cost.
    pub(crate) const fn octets(&self) -> usize {
        self.octets
    }

    /// Holds back a set, if all of them are within `limit` octets with it. Returns whether they are.
    pub(crate) fn hold(&mut self, key: Key, datagram: &[u8], received: u32, limit: usize) -> bool {
        if self.octets + datagram.len() + OVERHEAD > limit {
            return false;
        }
        let set = Set { key, datagram: datagram.into(), received };
        self.octets += set.cost();
        *self.count.entry(key).or_default() += 1;
        self.sets.push_back(set);
        true
    }

    /// Takes out the sets of a template.
    pub(crate) fn take(&mut self, key: Key) -> Vec<Set> {
        if self.count.contains_key(&key) { self.take_if(|set| set.key == key) } else { Vec::new() }
    }

    /// Takes out the sets received before this time.
    pub(crate) fn expire(&mut self, before: u32) -> Vec<Set> {
        match self.sets.front() {
            Some(oldest) if oldest.received < before => self.take_if(|set| set.received < before),
            _ => Vec::new(),
        }
    }

    fn take_if(&mut self, is_meant: impl Fn(&Set) -> bool) -> Vec<Set> {
        let all = std::mem::take(&mut self.sets);
        let (taken, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(is_meant);
        self.sets = kept.into();
        self.octets -= taken.iter().map(Set::cost).sum::<usize>();
        for set in &taken {
            if let Entry::Occupied(mut count) = self.count.entry(set.key) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_out_by_template_in_their_order_and_by_age() {
        let mut held = Held::default();
        for (number, id) in [(1, 256), (2, 257), (3, 256), (4, 258)] {
            assert!(held.hold((1, id), &[number], number.into(), 1_000));
        }
        let numbers = |sets: Vec<Set>| sets.iter().map(|set| set.datagram[0]).collect::<Vec<_>>();
        assert_eq!(numbers(held.take((1, 256))), [1, 3]);
        assert!(held.take((2, 257)).is_empty());
        assert_eq!(numbers(held.expire(4)), [2]);
        assert_eq!((numbers(held.expire(5)), held.octets()), (vec![4], 0));
        assert!(held.count.is_empty());
    }

    #[test]
    fn octets_are_bounded() {
        let mut held = Held::default();
        assert!(held.hold((1, 256), &[0; 36], 0, 250) && held.hold((1, 256), &[0; 36], 0, 250));
        assert!(!held.hold((1, 256), &[0; 36], 0, 250));
        assert_eq!(held.octets(), 200);
    }
}
