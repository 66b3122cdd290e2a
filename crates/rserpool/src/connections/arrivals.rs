//! Which connections have something to tell.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rserpool_proto::ConnectionId;
use tokio::sync::Notify;
use transport::{Association, ConnectError};

/// Where connections say that there is something to read, and attempts to connect how they ended; read in one place.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    told: Mutex<Told>,
    any: Notify,
}

#[derive(Debug, Default)]
struct Told {
    /// Each once, in the order in which they spoke up.
    connections: VecDeque<ConnectionId>,
    attempts: VecDeque<Attempt>,
}

/// How an attempt to connect ended.
pub(super) type Attempt = (ConnectionId, Result<Association, ConnectError>);

/// What a connection has to tell its reader, beside what it has received.
#[derive(Debug)]
pub(super) struct Arrival {
    connection: ConnectionId,
    /// It is among those that have something to tell.
    told: AtomicBool,
    /// It is not to be read for now.
    paused: AtomicBool,
    arrivals: Arc<Arrivals>,
}

impl Arrivals {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connection(self: &Arc<Self>, connection: ConnectionId) -> Arc<Arrival> {
        let (told, paused) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Arrival { connection, told, paused, arrivals: Arc::clone(self) })
    }

    pub(super) fn attempted(&self, attempt: Attempt) {
        self.told().attempts.push_back(attempt);
        self.any.notify_one();
    }

    /// Moves the connections that have something to tell into the empty `turns`; returns the attempts that ended.
    pub(super) fn take(&self, turns: &mut VecDeque<ConnectionId>) -> VecDeque<Attempt> {
        debug_assert!(turns.is_empty(), "each has its turn");
        let mut told = self.told();
        std::mem::swap(&mut told.connections, turns);
        std::mem::take(&mut told.attempts)
    }

    /// Waits until something was told that was not taken. It may have been taken all the same. Cancel safe.
    pub(super) async fn any(&self) {
        self.any.notified().await;
    }
}

impl Arrival {
    /// The connection has something to tell.
    pub(super) fn tell(&self) {
        if self.told.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut told = self.arrivals.told();
        told.connections.push_back(self.connection);
        let first = told.connections.len() == 1;
        drop(told);
        if first {
            self.arrivals.any.notify_one();
        }
    }

    /// Its turn has come. Returns whether it is to be read; what comes from here on gives it another turn.
    pub(super) fn begin(&self) -> bool {
        self.told.swap(false, Ordering::AcqRel);
        !self.paused.load(Ordering::Acquire)
    }

    /// It is not read until `end`.
    pub(super) fn pause(self: &Arc<Self>, end: impl Future<Output = ()> + Send + 'static) {
        self.paused.store(true, Ordering::Release);
        let arrival = Arc::clone(self);
        tokio::spawn(async move {
            end.await;
            arrival.paused.store(false, Ordering::Release);
            arrival.tell();
        });
    }
}
