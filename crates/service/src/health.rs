//! What `/livez` and `/readyz` answer: named conditions and heartbeats, set by the daemon.
//!
//! *Ready* means that work may be sent here: the daemon has named its conditions, all of them hold, and no
//! shutdown was asked for. *Live* means that restarting the process would not help: every [`Pulse`] beat recently.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Http;
use crate::{Exit, Failure, Shutdown, scrape};

/// A pulse older than this means that the event loop hangs.
pub const PULSE_LIMIT: Duration = Duration::from_secs(5);

/// The health of one daemon. Clones share one state.
#[derive(Clone, Debug)]
pub struct Health {
    shutdown: Shutdown,
    conditions: Arc<watch::Sender<Vec<State>>>,
    pulses: Arc<Mutex<Vec<(&'static str, Instant)>>>,
}

#[derive(Debug)]
struct State {
    name: &'static str,
    met: bool,
    detail: String,
}

impl Health {
    /// A daemon without conditions: live, and not ready.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, conditions: Arc::new(watch::Sender::new(Vec::new())), pulses: Arc::default() }
    }

    /// Names the conditions of readiness, none of them met yet. Name all in one call, before the first `await`,
    /// so that the daemon is never seen as ready with half of them known.
    pub fn conditions<const N: usize>(&self, names: [&'static str; N]) -> [Condition; N] {
        let mut first = 0;
        self.conditions.send_modify(|states| {
            first = states.len();
            states.extend(names.map(|name| State { name, met: false, detail: "not yet".to_owned() }));
        });
        std::array::from_fn(|n| Condition { conditions: Arc::clone(&self.conditions), index: first + n })
    }

    /// Names a loop that must [`Pulse::beat`] at least every second, or else `/livez` fails after [`PULSE_LIMIT`].
    pub fn pulse(&self, name: &'static str) -> Pulse {
        let mut pulses = lock(&self.pulses);
        pulses.push((name, Instant::now()));
        Pulse { pulses: Arc::clone(&self.pulses), index: pulses.len() - 1 }
    }

    /// Returns whether every condition is met and no shutdown was asked for.
    pub fn is_ready(&self) -> bool {
        let states = self.conditions.borrow();
        !states.is_empty() && states.iter().all(|state| state.met) && !self.shutdown.is_requested()
    }

    /// Returns whether every pulse beat within [`PULSE_LIMIT`], or the end was asked for: the service manager limits that.
    pub fn is_live(&self) -> bool {
        self.shutdown.is_requested()
            || lock(&self.pulses).iter().all(|(_, last)| last.elapsed() < PULSE_LIMIT)
    }

    /// Returns what keeps the daemon from being ready, as an operator reads it: the first condition that is not met.
    pub fn unmet(&self) -> Option<String> {
        let states = self.conditions.borrow();
        let unmet = states.iter().find(|state| !state.met);
        unmet.map(|state| format!("{}: {}", state.name, state.detail))
    }

    /// Waits until the daemon is ready. Cancel safe.
    pub(crate) async fn ready(&self) {
        let mut changes = self.conditions.subscribe();
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = changes.wait_for(|states| !states.is_empty() && states.iter().all(|state| state.met)).await;
    }

    /// Waits for changes of readiness and passes a line about each to `tell`: `ready`, or what is not met.
    pub(crate) async fn tell_changes(&self, mut tell: impl FnMut(&str)) {
        let mut changes = self.conditions.subscribe();
        loop {
            changes.mark_unchanged();
            tell(&self.unmet().unwrap_or_else(|| "ready".to_owned()));
            // The sender lives in `self`, so that waiting cannot fail.
            let _ = changes.changed().await;
        }
    }

    /// One line per condition: `[+]name ok` or `[-]name detail`, and the verdict.
    pub(crate) fn ready_report(&self) -> String {
        let mut report = String::new();
        let states = self.conditions.borrow();
        if states.is_empty() {
            report.push_str("[-]started not yet\n");
        }
        for State { name, met, detail } in states.iter() {
            let sign = if *met { '+' } else { '-' };
            let _ = writeln!(report, "[{sign}]{name} {detail}");
        }
        if self.shutdown.is_requested() {
            report.push_str("[-]shutdown requested\n");
        }
        drop(states);
        report.push_str(if self.is_ready() { "ready\n" } else { "not ready\n" });
        report
    }

    /// One line per pulse and the verdict.
    pub(crate) fn live_report(&self) -> String {
        let mut report = String::new();
        for (name, last) in lock(&self.pulses).iter() {
            let age = last.elapsed();
            let sign = if age < PULSE_LIMIT { '+' } else { '-' };
            let _ = writeln!(report, "[{sign}]{name} beat {:.1} s ago", age.as_secs_f64());
        }
        report.push_str(if self.is_live() { "live\n" } else { "not live\n" });
        report
    }
}

/// The subcommand `health`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Ask whether it lives, not whether it is ready
    #[arg(long)]
    live: bool,
}

impl Arguments {
    /// Prints what the daemon at `configured` says. Fails where it is not ready, or does not answer.
    pub(crate) fn run(&self, configured: Option<Http>) -> Result<(), Failure> {
        let Some(Http { listen }) = configured else {
            return Err(Failure::new(Exit::Failed, "the configuration has no [http] listen"));
        };
        let path = if self.live { "/livez?verbose" } else { "/readyz?verbose" };
        let (status, report) = scrape::get(listen, path)
            .map_err(|error| Failure::new(Exit::Failed, format!("{listen} does not answer: {error}")))?;
        crate::shell::print(&report)?;
        if status == 200 {
            Ok(())
        } else {
            Err(Failure::new(Exit::Failed, format!("{listen}{path}: {status}")))
        }
    }
}

/// One named condition of readiness.
#[derive(Debug)]
pub struct Condition {
    conditions: Arc<watch::Sender<Vec<State>>>,
    index: usize,
}

impl Condition {
    /// The condition holds.
    pub fn met(&self) {
        self.set(true, "ok");
    }

    /// The condition does not hold; `detail` tells an operator why, in a few words.
    pub fn unmet(&self, detail: &str) {
        self.set(false, detail);
    }

    fn set(&self, met: bool, detail: &str) {
        self.conditions.send_if_modified(|states| {
            let state = &mut states[self.index];
            let changed = state.met != met || state.detail != detail;
            if changed {
                state.met = met;
                detail.clone_into(&mut state.detail);
            }
            changed
        });
    }
}

/// The heartbeat of one loop.
#[derive(Debug)]
pub struct Pulse {
    pulses: Arc<Mutex<Vec<(&'static str, Instant)>>>,
    index: usize,
}

impl Pulse {
    /// The loop still turns.
    pub fn beat(&self) {
        lock(&self.pulses)[self.index].1 = Instant::now();
    }
}

/// A panic while the lock was held leaves plain data behind, so poisoning means nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
