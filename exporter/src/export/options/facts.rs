//! What observation threads find out and options records tell.
//!
//! Threads add to it, drivers read it. Counters are atomic; the lock is taken for descriptions only, which change with the capture's
//! interfaces and never with packets or records.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Selector;
use crate::capture::Interface;
use crate::metering::Ignored;

/// Interfaces described at most; those that come later have no name.
const MAX_INTERFACES: usize = 4_096;

/// What is described by name, not counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described {
    /// By ingressInterface.
    pub interfaces: BTreeMap<u32, Interface>,
    /// How packets were selected; none where all are metered.
    pub selectors: Vec<Selector>,
}

/// Shared by the observation threads and the driver.
#[derive(Debug)]
pub struct Facts {
    described: Mutex<Arc<Described>>,
    lost: Mutex<Arc<BTreeMap<u32, u64>>>,
    packets: AtomicU64,
    octets: AtomicU64,
    first: AtomicU64,
    last: AtomicU64,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            described: Mutex::default(),
            lost: Mutex::default(),
            packets: AtomicU64::new(0),
            octets: AtomicU64::new(0),
            first: AtomicU64::new(u64::MAX),
            last: AtomicU64::new(0),
        }
    }
}

impl Facts {
    /// Describes an interface, anew if it was described before.
    pub fn describe(&self, interface: Interface) {
        let mut described = self.lock();
        let known = described.interfaces.get(&interface.index);
        let is_new = known.is_none();
        if known == Some(&interface) || is_new && described.interfaces.len() == MAX_INTERFACES {
            return;
        }
        Arc::make_mut(&mut described).interfaces.insert(interface.index, interface);
    }

    /// Says how packets are selected.
    pub fn select(&self, selectors: Vec<Selector>) {
        let mut described = self.lock();
        if described.selectors != selectors {
            Arc::make_mut(&mut described).selectors = selectors;
        }
    }

    /// Adds packets that were not metered; their times may be of any order.
    pub fn ignore(&self, more: Ignored) {
        if more.packets == 0 {
            return;
        }
        self.packets.fetch_add(more.packets, Ordering::Relaxed);
        self.octets.fetch_add(more.octets, Ordering::Relaxed);
        self.first.fetch_min(more.first_ns, Ordering::Relaxed);
        self.last.fetch_max(more.last_ns, Ordering::Relaxed);
    }

    /// Adds packets that an interface dropped before they could be captured; may be none.
    pub fn lose(&self, interface: u32, packets: u64) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = lost.contains_key(&interface);
        if is_known && packets == 0 || !is_known && lost.len() == MAX_INTERFACES {
            return;
        }
        *Arc::make_mut(&mut lost).entry(interface).or_default() += packets;
    }

    /// Returns how many packets interfaces dropped, as far as that is known, by ingressInterface.
    pub fn lost(&self) -> Arc<BTreeMap<u32, u64>> {
        Arc::clone(&self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the descriptions: the same allocation for as long as nothing changes.
    pub fn described(&self) -> Arc<Described> {
        Arc::clone(&self.lock())
    }

    /// Returns the packets that were not metered.
    pub fn ignored(&self) -> Ignored {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let first_ns = match load(&self.first) {
            u64::MAX => 0,
            first => first,
        };
        Ignored {
            packets: load(&self.packets),
            octets: load(&self.octets),
            first_ns,
            last_ns: load(&self.last),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Described>> {
        self.described.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str) -> Interface {
        Interface { index, name: name.to_owned(), description: String::new() }
    }

    #[test]
    fn descriptions_are_the_same_until_one_changes() {
        let facts = Facts::default();
        facts.describe(interface(1, "eth0"));
        let before = facts.described();
        facts.describe(interface(1, "eth0"));
        facts.select(Vec::new());
        assert!(Arc::ptr_eq(&before, &facts.described()));
        facts.describe(interface(1, "lan0"));
        assert_eq!(facts.described().interfaces[&1].name, "lan0");
        assert!(!Arc::ptr_eq(&before, &facts.described()));
    }

    #[test]
    fn there_is_a_bound_on_interfaces_and_those_that_are_known_may_be_renamed() {
        let facts = Facts::default();
        (0..=4_096).for_each(|index| facts.describe(interface(index, "a")));
        facts.describe(interface(7, "b"));
        let described = facts.described();
        assert_eq!((described.interfaces.len(), &*described.interfaces[&7].name), (MAX_INTERFACES, "b"));
    }

    #[test]
    fn what_interfaces_drop_adds_up_and_none_is_told_too() {
        let facts = Facts::default();
        for (interface, packets) in [(2, 0), (1, 3), (2, 0), (1, 4)] {
            facts.lose(interface, packets);
        }
        assert_eq!(*facts.lost(), [(1, 7), (2, 0)].into());
        (0..5_000).for_each(|interface| facts.lose(interface, 1));
        assert_eq!(facts.lost().len(), MAX_INTERFACES);
    }

    #[test]
    fn what_threads_ignore_adds_up() {
        let facts = Facts::default();
        assert_eq!(facts.ignored(), Ignored::default());
        facts.ignore(Ignored { packets: 2, octets: 120, first_ns: 50, last_ns: 60 });
        facts.ignore(Ignored { packets: 1, octets: 60, first_ns: 40, last_ns: 45 });
        facts.ignore(Ignored::default());
        assert_eq!(facts.ignored(), Ignored { packets: 3, octets: 180, first_ns: 40, last_ns: 60 });
    }
}
