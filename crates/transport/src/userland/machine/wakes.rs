//! How a handle, from any thread, tells the machine that it wants something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::link::Wake;

/// Associations whose handle wants something.
pub(super) struct Wakes {
    dirty: Mutex<Vec<u64>>,
    bell: Box<dyn Fn() + Send + Sync>,
}

impl Wakes {
    pub(super) fn new(bell: impl Fn() + Send + Sync + 'static) -> Wakes {
        Wakes { dirty: Mutex::default(), bell: Box::new(bell) }
    }

    pub(super) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.dirty.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, id: u64) {
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        let first = dirty.is_empty();
        dirty.push(id);
        drop(dirty);
        if first {
            (self.bell)();
        }
    }
}

/// Marks an association dirty, once until the machine looks.
pub(super) struct PeerWake {
    wakes: Arc<Wakes>,
    id: u64,
    dirty: Arc<AtomicBool>,
}

impl PeerWake {
    pub(super) fn new(wakes: Arc<Wakes>, id: u64) -> PeerWake {
        PeerWake { wakes, id, dirty: Arc::default() }
    }

    /// The mark; the machine clears it.
    pub(super) fn dirty(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.dirty)
    }
}

impl Wake for PeerWake {
    fn wake(&self) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.wakes.add(self.id);
        }
    }
}
