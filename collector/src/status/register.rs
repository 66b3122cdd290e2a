//! The sessions there are, and what each has done: written by the session alone, read by whoever shows it.
//!
//! What changes with every message is a plain counter without a lock. What changes rarely (domains, ledger, templates) is
//! behind a lock of the session's own, taken when it changes.
#![expect(clippy::disallowed_methods, reason = "driver: tells when sessions began")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use delivery::Series;
use delivery::class_record::Reliability;
use ipfix::Template;
use transport::PeerAddress;

/// Domains of one session that are remembered.
const MAX_DOMAINS: usize = 16;

/// The sessions there are. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Register(Arc<Mutex<Sessions>>);

#[derive(Debug, Default)]
struct Sessions {
    living: BTreeMap<u64, Arc<Entry>>,
    last: u64,
}

/// What one session has done so far.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its number, from 1 in the order they came.
    pub(crate) id: u64,
    pub(crate) peer: PeerAddress,
    pub(crate) since: SystemTime,
    pub(crate) messages: Tally,
    pub(crate) octets: Tally,
    /// When the last message came, in milliseconds since the Unix epoch; 0 before the first.
    pub(crate) last: AtomicU64,
    pub(crate) records: Tally,
    pub(crate) options: Tally,
    pub(crate) lost: Tally,
    pub(crate) late: Tally,
    pub(crate) malformed: Tally,
    pub(crate) no_template: Tally,
    /// Templates refused.
    pub(crate) refused: Tally,
    /// By [`Reliability`].
    pub(crate) classes: [Class; Reliability::ALL.len()],
    /// It is told what is durable.
    pub(crate) is_acknowledged: AtomicBool,
    /// It was asked to move.
    pub(crate) is_leaving: AtomicBool,
    /// It waits for an output with room.
    pub(crate) is_waiting: AtomicBool,
    told: Mutex<Told>,
}

/// What came of one class of records, and what did not.
#[derive(Debug, Default)]
pub(crate) struct Class {
    pub(crate) received: Tally,
    pub(crate) lost: Tally,
    pub(crate) abandoned: Tally,
}

/// What a session's exporter has told, and what changes rarely.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// Observation Domain IDs, the first that came.
    pub(crate) domains: BTreeSet<u32>,
    /// Whose numbers its records have.
    pub(crate) series: Option<Series>,
    /// By domain and Template ID.
    pub(crate) templates: Vec<(u32, Arc<Template>)>,
}

/// A counter with one writer.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    #[inline]
    pub(crate) fn add(&self, number: u64) {
        // There is no other writer, so that nothing is lost between the two.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Register {
    /// A session begins. It is listed until what is returned is dropped.
    pub(crate) fn enter(&self, peer: PeerAddress) -> Entered {
        let mut sessions = lock(&self.0);
        sessions.last += 1;
        let entry = Arc::new(Entry {
            id: sessions.last,
            peer,
            since: SystemTime::now(),
            messages: Tally::default(),
            octets: Tally::default(),
            last: AtomicU64::new(0),
            records: Tally::default(),
            options: Tally::default(),
            lost: Tally::default(),
            late: Tally::default(),
            malformed: Tally::default(),
            no_template: Tally::default(),
            refused: Tally::default(),
            classes: Default::default(),
            is_acknowledged: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            is_waiting: AtomicBool::new(false),
            told: Mutex::default(),
        });
        sessions.living.insert(entry.id, Arc::clone(&entry));
        Entered { entry, register: self.clone() }
    }

    /// Returns the sessions there are, in the order they came.
    pub(crate) fn sessions(&self) -> Vec<Arc<Entry>> {
        lock(&self.0).living.values().cloned().collect()
    }

    /// Returns the session with this number.
    pub(crate) fn session(&self, id: u64) -> Option<Arc<Entry>> {
        lock(&self.0).living.get(&id).cloned()
    }
}

impl Entry {
    /// Returns what its exporter has told.
    pub(crate) fn told(&self) -> Told {
        lock(&self.told).clone()
    }

    /// Returns how many templates it has.
    pub(crate) fn templates(&self) -> usize {
        lock(&self.told).templates.len()
    }

    /// A message of this domain came.
    pub(crate) fn add_domain(&self, domain: u32) {
        let domains = &mut lock(&self.told).domains;
        if domains.len() < MAX_DOMAINS {
            domains.insert(domain);
        }
    }

    /// Its records have numbers of this series from now on.
    pub(crate) fn set_series(&self, series: Series) {
        lock(&self.told).series = Some(series);
    }

    /// It has these templates now.
    pub(crate) fn set_templates<'a>(&self, templates: impl Iterator<Item = (u32, &'a Arc<Template>)>) {
        let templates = templates.map(|(domain, template)| (domain, Arc::clone(template))).collect();
        lock(&self.told).templates = templates;
    }
}

/// A session that is listed.
#[derive(Debug)]
pub(crate) struct Entered {
    entry: Arc<Entry>,
    register: Register,
}

impl Entered {
    /// Returns the entry itself, for those who write parts of it.
    pub(crate) fn share(&self) -> Arc<Entry> {
        Arc::clone(&self.entry)
    }
}

impl Deref for Entered {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.register.0).living.remove(&self.entry.id);
    }
}

/// A panic while the lock was held leaves plain data behind, so poisoning means nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_listed_as_long_as_it_lives() {
        let register = Register::default();
        let peer = PeerAddress::Tcp("192.0.2.1:4739".parse().unwrap());
        let (first, second) = (register.enter(peer), register.enter(peer));
        first.records.add(3);
        first.records.add(4);
        let listed: Vec<(u64, u64)> =
            register.sessions().iter().map(|entry| (entry.id, entry.records.get())).collect();
        assert_eq!(listed, [(1, 7), (2, 0)]);
        drop(first);
        assert_eq!(register.sessions().len(), 1);
        assert!(register.session(1).is_none() && register.session(2).is_some());
        drop(second);
        assert_eq!(register.enter(peer).id, 3, "numbers are not given again");
    }

    #[test]
    fn of_any_number_of_domains_the_first_are_remembered() {
        let register = Register::default();
        let entered = register.enter(PeerAddress::Sim(1));
        (0..1_000).for_each(|domain| entered.add_domain(domain));
        assert_eq!(entered.told().domains.len(), MAX_DOMAINS);
    }
}
