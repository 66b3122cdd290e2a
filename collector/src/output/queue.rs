//! A queue of batches bounded in octets: many association tasks in, one writer thread out.
//!
//! A full queue makes the association task wait, which stops its reading: the association's window closes and
//! the exporter keeps the rest. The queue never grows beyond its bound (one batch may be bigger than the whole queue: it is let in alone).

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError};

use super::batch::Share;
use crate::metrics::{DropReason, OutputMetrics};

/// The largest queue, in octets.
const MAX_CAPACITY: u32 = 1 << 30;

/// The sending half, one per association task.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    batches: Sender<Share>,
    room: Arc<Semaphore>,
    capacity: u32,
    metrics: OutputMetrics,
}

/// The receiving half, owned by the writer thread.
#[derive(Debug)]
pub(super) struct Backlog {
    batches: Receiver<Share>,
    room: Arc<Semaphore>,
    capacity: u32,
    metrics: OutputMetrics,
}

/// What the writer thread gets next.
#[derive(Debug)]
pub(super) enum Next {
    Share(Share),
    TimedOut,
    /// Every association task has ended and everything was taken.
    Closed,
}

/// Makes a queue of `capacity` octets.
pub(super) fn bounded(capacity: u64, metrics: &OutputMetrics) -> (Queue, Backlog) {
    let (sender, receiver) = mpsc::channel();
    let capacity = u32::try_from(capacity).unwrap_or(u32::MAX).clamp(1, MAX_CAPACITY);
    let room = Arc::new(Semaphore::new(capacity as usize));
    let queue = Queue { batches: sender, room: Arc::clone(&room), capacity, metrics: metrics.clone() };
    (queue, Backlog { batches: receiver, room, capacity, metrics: metrics.clone() })
}

/// The writer thread has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the output has stopped")]
pub(crate) struct Closed;

impl Queue {
    /// Returns how many octets wait, and how many may.
    pub(super) fn fill(&self) -> (u64, u64) {
        let capacity = u64::from(self.capacity);
        (capacity.saturating_sub(self.room.available_permits() as u64), capacity)
    }

    /// Waits until there is room for `share`, which [`Self::try_push`] has given back, and queues it. Cancel safe: a cancelled
    /// call has queued nothing, and the records count as in flight.
    pub(super) async fn push(&self, share: Share) -> Result<(), Closed> {
        let room = self.room.acquire_many(charge(&share, self.capacity)).await.map_err(|_| Closed)?;
        self.batches.send(share).map_err(|_| Closed)?;
        // Given back by the writer thread.
        room.forget();
        Ok(())
    }

    /// Queues `share` if there is room at once, else gives it back. From here on its records are in flight.
    pub(super) fn try_push(&self, share: Share) -> Result<Option<Share>, Closed> {
        self.metrics.receive(share.books.flows);
        let room = match self.room.try_acquire_many(charge(&share, self.capacity)) {
            Ok(room) => room,
            Err(TryAcquireError::NoPermits) => return Ok(Some(share)),
            Err(TryAcquireError::Closed) => return Err(Closed),
        };
        self.batches.send(share).map_err(|_| Closed)?;
        room.forget();
        Ok(None)
    }

    /// Gives up what there was no room for.
    pub(super) fn drop_share(&self, share: &Share) {
        self.metrics.discard(DropReason::Full, share.books.flows);
        self.metrics.release(share.books.flows);
    }
}

impl Backlog {
    /// Takes the next share; its room is free again at once only after [`Backlog::release`].
    pub(super) fn next(&self, timeout: Duration) -> Next {
        match self.batches.recv_timeout(timeout) {
            Ok(share) => Next::Share(share),
            Err(RecvTimeoutError::Timeout) => Next::TimedOut,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    /// Frees the room of a share that was written or given up.
    pub(super) fn release(&self, share: &Share) {
        self.metrics.release(share.books.flows);
        self.room.add_permits(charge(share, self.capacity) as usize);
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.room.close();
    }
}

/// Octets a share counts for: its form and its books, never more than the whole queue.
fn charge(share: &Share, capacity: u32) -> u32 {
    u32::try_from(share.octets()).unwrap_or(u32::MAX).clamp(1, capacity)
}
