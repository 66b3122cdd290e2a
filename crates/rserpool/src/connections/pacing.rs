//! How fast the peers of a server are read: not while they have much to read themselves, and not faster than they may
//! ask. What they send meanwhile waits, in the end with them; nothing is lost and nobody is sent away.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use transport::{Sender, State};

/// How much at once a peer may ask for.
const BURST: Duration = Duration::from_secs(5);

/// A connection with more octets than this to send is not read ...
const MUCH: usize = 64 << 10;
/// ... until they are so many at most.
const LITTLE: usize = 32 << 10;

/// What part of its connection's time a message takes.
type Cost = dyn Fn(&[u8]) -> Duration + Send + Sync;

/// How fast ASAP peers are read: see [`Connections::paced`](super::Connections::paced).
#[derive(Clone)]
pub struct Pacing {
    cost: Arc<Cost>,
    held_back: Arc<AtomicU64>,
}

impl Pacing {
    /// `cost` says what part of a connection's time a message takes: one that costs 10 ms can come a hundred times in a
    /// second, and five times as often at once. Zero: as often as one likes.
    pub fn new(cost: impl Fn(&[u8]) -> Duration + Send + Sync + 'static) -> Pacing {
        Pacing { cost: Arc::new(cost), held_back: Arc::default() }
    }

    /// Returns how often a message had to wait since its peer had asked for too much.
    pub fn held_back(&self) -> u64 {
        self.held_back.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pacing({} held back)", self.held_back())
    }
}

/// What one connection may still ask for.
#[derive(Debug)]
pub(super) struct Pace {
    pacing: Pacing,
    /// When it may have asked for everything again.
    rested: Instant,
    /// It has asked for more than it may at once, and is not to be read before.
    until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(pacing: Pacing) -> Pace {
        Pace { pacing, rested: Instant::now(), until: None }
    }

    /// A message is passed on.
    pub(super) fn spend(&mut self, message: &[u8]) {
        let cost = (self.pacing.cost)(message);
        if cost.is_zero() {
            return;
        }
        let now = Instant::now();
        self.rested = self.rested.max(now) + cost;
        self.until = self.rested.checked_sub(BURST).filter(|until| *until > now);
    }

    /// Returns `None` if the next message may be passed on at once, or else what to wait for; on a connection that is
    /// over that comes at once.
    pub(super) fn pause(&mut self, peer: &Sender) -> Option<impl Future<Output = ()> + Send + use<>> {
        let much = peer.send_queue() > MUCH;
        self.until = self.until.filter(|until| *until > Instant::now());
        if !much && self.until.is_none() || peer.status().state == State::Closed {
            return None;
        }
        let (until, peer, pacing) = (self.until, peer.clone(), self.pacing.clone());
        Some(async move {
            if much {
                peer.drained(LITTLE).await;
            }
            let Some(until) = until.filter(|&until| until > Instant::now()) else { return };
            pacing.held_back.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = peer.ended() => {}
            }
        })
    }
}
