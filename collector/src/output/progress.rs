//! How far the durable outputs are with the batches of a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// How far the durable outputs are with the batches of one session.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The last ticket synced, by durable output.
    synced: Box<[AtomicU64]>,
    /// The last letter that is in the dead-letter file, or given up.
    letter: AtomicU64,
    news: Notify,
}

impl Progress {
    /// Nothing is durable yet.
    pub(crate) fn new(durable_outputs: usize) -> Arc<Self> {
        let synced = (0..durable_outputs).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { synced, letter: AtomicU64::new(0), news: Notify::new() })
    }

    /// Returns the last ticket that is synced in every durable output; `None` when there is no durable output.
    pub(crate) fn synced(&self) -> Option<u64> {
        self.synced.iter().map(|ticket| ticket.load(Ordering::Acquire)).min()
    }

    /// Returns the number of the last letter that is in the dead-letter file, or given up.
    pub(crate) fn letter(&self) -> u64 {
        self.letter.load(Ordering::Acquire)
    }

    /// Waits until an output has told something new. Cancel safe.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// The output with this slot has synced everything up to `ticket`.
    pub(super) fn tell(&self, slot: usize, ticket: u64) {
        if let Some(synced) = self.synced.get(slot) {
            synced.store(ticket, Ordering::Release);
            self.news.notify_one();
        }
    }

    pub(super) fn tell_letter(&self, number: u64) {
        self.letter.store(number, Ordering::Release);
        self.news.notify_one();
    }
}

/// Names a session by its [`Progress`], which is told what is synced.
#[derive(Clone, Debug)]
pub(super) struct Session(pub(super) Arc<Progress>);

impl Session {
    fn address(&self) -> *const Progress {
        Arc::as_ptr(&self.0)
    }
}

impl Ord for Session {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.address().cmp(&other.address())
    }
}

impl PartialOrd for Session {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Session {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_durable_once_every_durable_output_has_synced_it() {
        let progress = Progress::new(2);
        progress.tell(0, 3);
        assert_eq!(progress.synced(), Some(0));
        progress.tell(1, 2);
        assert_eq!(progress.synced(), Some(2));
        assert_eq!(Progress::new(0).synced(), None, "nothing is ever durable without a durable output");
    }
}
