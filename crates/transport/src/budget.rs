//! One bound for what all associations of a process keep: unfinished messages, messages nobody has read, and
//! messages that are not delivered.
//!
//! While it is full nothing more is read: TCP leaves it to the kernel, which closes the peer's window; userland
//! SCTP drops packets with DATA, which are sent again. To make room, the associations that hold most are aborted,
//! those marked by [`Association::spare`](crate::Association::spare) last.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::link::{Link, Request};

/// A bound on the octets that associations keep together. Clones are the same budget.
#[derive(Clone)]
pub struct Budget(Arc<Pot>);

struct Pot {
    limit: usize,
    held: AtomicUsize,
    closed: AtomicU64,
    next: AtomicU64,
    members: Mutex<HashMap<u64, Weak<Link>>>,
    room: Notify,
}

impl Budget {
    /// Returns a budget of `limit` octets.
    pub fn new(limit: usize) -> Budget {
        Budget(Arc::new(Pot {
            limit,
            held: AtomicUsize::new(0),
            closed: AtomicU64::new(0),
            next: AtomicU64::new(0),
            members: Mutex::default(),
            room: Notify::new(),
        }))
    }

    /// Returns the octets held at present.
    pub fn held(&self) -> usize {
        self.0.held.load(Relaxed)
    }

    /// Returns whether nothing more is read.
    pub fn is_full(&self) -> bool {
        self.held() >= self.0.limit
    }

    /// Returns how many associations were aborted to make room.
    pub fn closed(&self) -> u64 {
        self.0.closed.load(Relaxed)
    }

    /// Waits until something more may be read.
    pub(crate) async fn room(&self) {
        while self.is_full() {
            let room = self.0.room.notified();
            let mut room = std::pin::pin!(room);
            room.as_mut().enable();
            if self.is_full() {
                room.await;
            }
        }
    }

    fn members(&self) -> MutexGuard<'_, HashMap<u64, Weak<Link>>> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Aborts the associations that hold most, until those that stay hold three quarters at most: who fills it
    /// again and again pays with an association each time, and we look at all of them only now and then.
    fn make_room(&self) {
        let links: Vec<Arc<Link>> = self.members().values().filter_map(Weak::upgrade).collect();
        let mut staying: Vec<(bool, Reverse<usize>, &Arc<Link>)> = Vec::new();
        let mut octets = 0;
        for link in &links {
            let Some(account) = link.account().filter(|account| !account.leaving.load(Relaxed)) else {
                continue;
            };
            let own = account.own.load(Relaxed);
            octets += own;
            if own > 0 {
                staying.push((account.spared.load(Relaxed), Reverse(own), link));
            }
        }
        staying.sort_by_key(|&(spared, own, _)| (spared, own));
        for (spared, Reverse(own), link) in staying {
            if octets <= if spared { self.0.limit } else { self.0.limit / 4 * 3 } {
                break;
            }
            let leaves = link.account().is_some_and(|account| !account.leaving.swap(true, Relaxed));
            if leaves {
                tracing::debug!(peer = %link.peer(), octets = own, "aborted: it holds most of a full budget");
                self.0.closed.fetch_add(1, Relaxed);
                link.request(Request::Abort);
            }
            octets -= own;
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {})", self.held(), self.0.limit)
    }
}

/// What one association holds.
pub(crate) struct Account {
    budget: Budget,
    id: u64,
    own: AtomicUsize,
    /// Of these, what the back end holds: see [`Account::hold`].
    unfinished: AtomicUsize,
    pub(crate) spared: AtomicBool,
    /// It was aborted to make room, and what it holds is not free yet.
    leaving: AtomicBool,
}

impl Account {
    /// Opens the account of a link that is being made.
    pub(crate) fn open(budget: &Budget, link: &Weak<Link>) -> Account {
        let id = budget.0.next.fetch_add(1, Relaxed);
        budget.members().insert(id, Weak::clone(link));
        Account {
            budget: budget.clone(),
            id,
            own: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
            spared: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
        }
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The association holds so many octets more. To be called without a lock of the link.
    pub(crate) fn add(&self, octets: usize) {
        self.own.fetch_add(octets, Relaxed);
        let pot = &self.budget.0;
        let held = pot.held.fetch_add(octets, Relaxed) + octets;
        if held >= pot.limit && !self.leaving.load(Relaxed) {
            self.budget.make_room();
        }
    }

    /// The association holds so many octets fewer.
    pub(crate) fn sub(&self, octets: usize) {
        self.own.fetch_sub(octets, Relaxed);
        let pot = &self.budget.0;
        let before = pot.held.fetch_sub(octets, Relaxed);
        if before >= pot.limit && before - octets < pot.limit {
            pot.room.notify_waiters();
        }
    }

    /// The back end itself holds so many octets in all, of messages that have not come whole. As [`Account::add`].
    pub(crate) fn hold(&self, octets: usize) {
        let before = self.unfinished.swap(octets, Relaxed);
        if octets > before {
            self.add(octets - before);
        } else if octets < before {
            self.sub(before - octets);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.sub(self.own.load(Relaxed));
        self.budget.members().remove(&self.id);
    }
}
