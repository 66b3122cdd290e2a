//! Looking at records as they pass: samples for the talkers, and whatever matches somebody's filter.
//!
//! Every session has an [`Examiner`]. While nobody looks it costs a handful of instructions a message and nothing a record. For the
//! talkers it takes samples all the time, few enough that they cost nothing that could be measured: one message in so many
//! that all sessions together take about [`SAMPLES`] messages a second, of each a record in [`STRIDE`] octets. How many there are
//! is known a second late: in a burst samples become rarer as they are taken, and each stands for as many as it was of. Records
//! that match a filter become JSON, as many a second as [`PER_SECOND`]; the others are counted and not rendered.
//!
//! No session waits for whoever looks: what the bounded channel has no room for is dropped and counted.

mod filter;
mod look;
mod talkers;
mod watches;

pub(crate) mod command;

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

pub(crate) use self::filter::Filter;
pub(crate) use self::look::{Both, Look};
pub(crate) use self::talkers::{Flow, MINUTES, Service, Sum, Talkers, Top};
pub(crate) use self::watches::{Question, Watches};
use crate::json::Lines;

/// Messages sampled a second, of all sessions.
pub(crate) const SAMPLES: u32 = 64;
/// Of so many octets of a sampled message one record is taken, about.
const STRIDE: usize = 4 << 10;
/// Records rendered a second for each filter.
pub(crate) const PER_SECOND: u32 = 2_000;
/// What sessions found and nobody has taken yet.
const QUEUE: usize = 256;
/// Octets of plans for rendering.
const PLAN_OCTETS: usize = 64 << 10;

/// What the sessions found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Samples; each stands for so many records.
    Flows { flows: Vec<Flow>, stands_for: u64 },
    /// Records that match a filter, each a line of JSON.
    Lines { watch: Arc<Watch>, lines: Vec<u8> },
}

/// Tells all sessions who looks. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Tap(Arc<Control>);

#[derive(Debug)]
struct Control {
    /// One message in so many is sampled; 0: none.
    one_in: AtomicU32,
    /// Samples taken in this second.
    taken: AtomicU32,
    /// Changes with `watches`.
    generation: AtomicU32,
    /// Locked by a session when they have changed, and by whoever changes them.
    watches: Mutex<Arc<[Arc<Watch>]>>,
    found: mpsc::Sender<Found>,
}

/// Somebody who wants to see records.
#[derive(Debug)]
pub(crate) struct Watch {
    filter: Filter,
    /// Records that may still be rendered in this second.
    room: AtomicI64,
    matched: AtomicU64,
    dropped: AtomicU64,
}

impl Watch {
    fn new(filter: Filter) -> Self {
        let (room, matched, dropped) =
            (AtomicI64::new(PER_SECOND.into()), AtomicU64::new(0), AtomicU64::new(0));
        Self { filter, room, matched, dropped }
    }

    /// Returns whether a record that matched may be rendered.
    fn admit(&self) -> bool {
        let admitted = self.room.load(Ordering::Relaxed) > 0 && self.room.fetch_sub(1, Ordering::Relaxed) > 0;
        if !admitted {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    fn drop_lines(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }
}

impl Tap {
    /// Returns a tap that nobody looks at, and where what is found will come.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Found>) {
        let (found, taken) = mpsc::channel(QUEUE);
        let control = Control {
            one_in: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            watches: Mutex::new(Arc::new([])),
            found,
        };
        (Self(Arc::new(control)), taken)
    }

    /// Returns the examiner of a session's records. `id` is any number that no other session has; lines begin with the
    /// exporter's address if it is given.
    pub(crate) fn examiner(&self, id: u64, exporter: Option<IpAddr>) -> Examiner {
        Examiner {
            control: Arc::clone(&self.0),
            random: id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            until_sample: 0,
            stands_for: 0,
            generation: 0,
            watches: Arc::new([]),
            lines: None,
            prefix: exporter.map(|exporter| format!("{{\"exporter\":\"{exporter}\"")).unwrap_or_default(),
        }
    }

    /// A second begins: one message in so many is sampled, at least one.
    pub(crate) fn sample(&self, one_in: u32) {
        self.0.taken.store(0, Ordering::Relaxed);
        self.0.one_in.store(one_in.max(1), Ordering::Relaxed);
    }

    fn set_watches(&self, watches: Arc<[Arc<Watch>]>) {
        *self.0.watches.lock().unwrap_or_else(PoisonError::into_inner) = watches;
        self.0.generation.fetch_add(1, Ordering::Release);
    }
}

impl Control {
    /// A sample is taken, of one in so many. Returns in how many messages there will be one from here on.
    fn take_sample(&self, one_in: u32) -> u32 {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        if !taken.is_multiple_of(SAMPLES / 2) {
            return one_in;
        }
        let rarer = one_in.saturating_mul(2);
        self.one_in.store(rarer, Ordering::Relaxed);
        rarer
    }
}

/// Looks at the records of one session.
#[derive(Debug)]
pub(crate) struct Examiner {
    control: Arc<Control>,
    /// The last random number, never 0.
    random: u64,
    until_sample: u32,
    /// How many messages the last sample stands for; 0 before the first message.
    stands_for: u32,
    generation: u32,
    watches: Arc<[Arc<Watch>]>,
    lines: Option<Box<Lines>>,
    prefix: String,
}

impl Examiner {
    /// Returns who looks at the message to come, of so many octets; mostly nobody.
    #[inline]
    pub(crate) fn look(&mut self, octets: usize) -> Option<Look<'_>> {
        if self.control.generation.load(Ordering::Relaxed) != self.generation {
            self.follow();
        }
        let is_sampled = self.is_sampled();
        (is_sampled || !self.watches.is_empty()).then(|| Look::new(self, is_sampled, octets))
    }

    #[inline]
    fn is_sampled(&mut self) -> bool {
        let one_in = self.control.one_in.load(Ordering::Relaxed);
        // The longest gap there may be at this rate: the one that was drawn may be of a rarer one.
        self.until_sample = self.until_sample.min(one_in.saturating_mul(2)).saturating_sub(1);
        if self.until_sample > 0 {
            return false;
        }
        self.sample(one_in)
    }

    /// Draws the gap to the next sample. Returns whether this message is one.
    #[cold]
    fn sample(&mut self, one_in: u32) -> bool {
        if one_in == 0 {
            return false;
        }
        let is_first = std::mem::replace(&mut self.stands_for, one_in) == 0;
        // Sessions that begin together do not take their samples together.
        let rate = if is_first { one_in } else { self.control.take_sample(one_in) };
        self.until_sample = self.gap(rate);
        !is_first
    }

    /// Returns a number from 1 to twice `mean`, less one: what comes at regular intervals is not sampled always or never.
    fn gap(&mut self, mean: u32) -> u32 {
        // Marsaglia's xorshift, with 64 bits.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let span = u64::from(mean.max(1)) * 2 - 1;
        u32::try_from(self.random % span).unwrap_or(u32::MAX - 1).saturating_add(1)
    }

    #[cold]
    fn follow(&mut self) {
        self.generation = self.control.generation.load(Ordering::Acquire);
        self.watches = Arc::clone(&self.control.watches.lock().unwrap_or_else(PoisonError::into_inner));
        if self.watches.is_empty() {
            self.lines = None;
        }
    }
}

#[cfg(test)]
mod tests;
