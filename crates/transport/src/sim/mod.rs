//! A simulated association within the process, for tests of what drives associations.
//!
//! It runs on tokio's clock, so under `tokio::time::pause` hours pass in milliseconds, and takes its
//! losses from a seed, so a run repeats. Messages arrive in order of sending, `delay` later; messages
//! that need not arrive are lost with the probability asked for. [`Control`] cuts the path and freezes,
//! restarts or kills a side.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use transport::{Event, LossReason, MsgOut, Ppid, sim};
//!
//! let (a, mut b, control) = sim::controlled(1, sim::Options::default());
//! a.send(MsgOut::new(Ppid::ASAP, "hello")).await.unwrap();
//! assert!(matches!(b.recv().await, Event::Message(_)));
//! control.freeze(sim::Side::A);
//! assert!(matches!(b.recv().await, Event::Lost(LossReason::Silent(_))));
//! # }
//! ```

mod path;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::link::{Link, Wake};
use crate::{Association, PeerAddress, Profile, QueueLimits};

/// How the simulated path behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// One way. Default 1 ms.
    pub delay: Duration,
    /// Share of the messages with limited reliability that are lost, 0 to 1. Default 0.
    pub loss: f64,
    /// When a side counts as lost: `silence` and `unreachable`.
    pub profile: Profile,
    /// Bounds of each side's queues.
    pub queues: QueueLimits,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            delay: Duration::from_millis(1),
            loss: 0.0,
            profile: Profile::default(),
            queues: QueueLimits::default(),
        }
    }
}

/// One of the two ends: the first or the second of [`pair`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    const fn index(self) -> usize {
        match self {
            Side::A => 0,
            Side::B => 1,
        }
    }
}

/// What [`Control`] asked for and the path has not seen yet.
#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    cut: bool,
    frozen: [bool; 2],
    killed: [bool; 2],
    restart: [bool; 2],
}

#[derive(Default)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Notify,
}

impl Shared {
    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    /// The orders; those to be carried out once are forgotten.
    fn take(&self) -> Orders {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = *orders;
        orders.restart = [false; 2];
        taken
    }
}

impl Wake for Arc<Shared> {
    fn wake(&self) {
        self.changed.notify_one();
    }
}

/// Does to a simulated pair what networks and operators do.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    /// Nothing passes any more, in both directions. Both sides are lost after `silence`, unless healed.
    pub fn cut(&self) {
        self.shared.order(|orders| orders.cut = true);
    }

    /// Ends a cut.
    pub fn heal(&self) {
        self.shared.order(|orders| orders.cut = false);
    }

    /// The transport of this side stops, as by SIGSTOP: the other loses it after `silence`.
    pub fn freeze(&self, side: Side) {
        self.shared.order(|orders| orders.frozen[side.index()] = true);
    }

    /// Ends a freeze. If the other side gave up meanwhile, this one learns that it was aborted.
    pub fn thaw(&self, side: Side) {
        self.shared.order(|orders| orders.frozen[side.index()] = false);
    }

    /// The transport of this side is gone, as by SIGKILL: the other loses it after `unreachable`.
    pub fn kill(&self, side: Side) {
        self.shared.order(|orders| orders.killed[side.index()] = true);
    }

    /// This side lost its state and set up the association anew: the other sees `Restarted` and `Up`,
    /// and everything in flight is lost.
    pub fn restart(&self, side: Side) {
        self.shared.order(|orders| orders.restart[side.index()] = true);
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sim::Control")
    }
}

/// Two ends of an association. Needs a tokio runtime with time.
pub fn pair(seed: u64, options: Options) -> (Association, Association) {
    let (a, b, _) = controlled(seed, options);
    (a, b)
}

/// Two ends of an association, and what disturbs them.
pub fn controlled(seed: u64, options: Options) -> (Association, Association, Control) {
    let shared = Arc::new(Shared::default());
    let address = PeerAddress::Sim(seed);
    let link = || Link::new(address, address, options.queues, false, Box::new(Arc::clone(&shared)), None);
    let links = [link(), link()];
    let [a, b] = [0, 1].map(|side: usize| Association::new(Arc::clone(&links[side])));
    let control = Control { shared: Arc::clone(&shared) };
    tokio::spawn(path::Path::new(links, shared, seed, options).run());
    (a, b, control)
}
