//! A queue of batches bounded in octets: many association tasks in, one writer thread out.
//!
//! A full queue makes the association task wait, which stops its reading: the association's window closes and
//! the exporter keeps the rest. The queue never grows beyond its bound (one batch may be bigger than the whole queue: it is let in alone).

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use metrics::{Counter, Gauge};
use tokio::sync::{Semaphore, TryAcquireError};

use super::Batch;

/// The largest queue, in octets.
const MAX_CAPACITY: u32 = 1 << 30;

/// The sending half, one per association task.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    batches: Sender<Arc<Batch>>,
    room: Arc<Semaphore>,
    capacity: u32,
    depth: Gauge,
    /// Records there was no room for.
    dropped: Counter,
}

/// The receiving half, owned by the writer thread.
#[derive(Debug)]
pub(super) struct Backlog {
    batches: Receiver<Arc<Batch>>,
    room: Arc<Semaphore>,
    capacity: u32,
    depth: Gauge,
}

/// What the writer thread gets next.
#[derive(Debug)]
pub(super) enum Next {
    Batch(Arc<Batch>),
    TimedOut,
    /// Every association task has ended and everything was taken.
    Closed,
}

/// Makes a queue of `capacity` octets. `depth` shows the records waiting in it, `dropped` counts those that
/// [`Queue::try_push`] had no room for.
pub(super) fn bounded(capacity: u64, depth: Gauge, dropped: Counter) -> (Queue, Backlog) {
    let (sender, receiver) = mpsc::channel();
    let capacity = u32::try_from(capacity).unwrap_or(u32::MAX).clamp(1, MAX_CAPACITY);
    let room = Arc::new(Semaphore::new(capacity as usize));
    let queue = Queue { batches: sender, room: Arc::clone(&room), capacity, depth: depth.clone(), dropped };
    (queue, Backlog { batches: receiver, room, capacity, depth })
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

    /// Queues `batch`, waiting until there is room. Cancel safe: a cancelled call has queued nothing.
    pub(crate) async fn push(&self, batch: Arc<Batch>) -> Result<(), Closed> {
        let room = self.room.acquire_many(charge(&batch, self.capacity)).await.map_err(|_| Closed)?;
        self.depth.increment(records(&batch));
        self.batches.send(batch).map_err(|_| Closed)?;
        // Given back by the writer thread.
        room.forget();
        Ok(())
    }

    /// Queues `batch` if there is room at once, else counts its records as dropped. Returns whether there was room.
    pub(crate) fn try_push(&self, batch: Arc<Batch>) -> Result<bool, Closed> {
        let room = match self.room.try_acquire_many(charge(&batch, self.capacity)) {
            Ok(room) => room,
            Err(TryAcquireError::NoPermits) => {
                self.dropped.increment(batch.records as u64);
                return Ok(false);
            }
            Err(TryAcquireError::Closed) => return Err(Closed),
        };
        self.depth.increment(records(&batch));
        self.batches.send(batch).map_err(|_| Closed)?;
        room.forget();
        Ok(true)
    }
}

impl Backlog {
    /// Takes the next batch; its room is free again at once only after [`Backlog::release`].
    pub(super) fn next(&self, timeout: Duration) -> Next {
        match self.batches.recv_timeout(timeout) {
            Ok(batch) => Next::Batch(batch),
            Err(RecvTimeoutError::Timeout) => Next::TimedOut,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    /// Frees the room of a batch that was written.
    pub(super) fn release(&self, batch: &Batch) {
        self.depth.decrement(records(batch));
        self.room.add_permits(charge(batch, self.capacity) as usize);
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.room.close();
    }
}

/// Octets a batch counts for: its text and its books, never more than the whole queue.
fn charge(batch: &Batch, capacity: u32) -> u32 {
    u32::try_from(batch.octets()).unwrap_or(u32::MAX).clamp(1, capacity)
}

fn records(batch: &Batch) -> f64 {
    f64::from(u32::try_from(batch.records).unwrap_or(u32::MAX))
}
