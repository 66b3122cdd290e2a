//! How one output is: whether it can write, and how long its disk takes. The writer thread tells, the driver looks.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::FailureMetrics;

/// A write or sync that takes longer makes the output slow.
const SLOW: Duration = Duration::from_secs(1);
/// An output stays slow for so long after it was.
const SLOW_AFTER: Duration = Duration::from_secs(5);

/// What the writer thread is about to do with the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Work {
    Open,
    Write,
    Sync,
    Sidecar,
    Finish,
    Connect,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Sidecar => "write its sidecar",
            Self::Finish => "finish a file",
            Self::Connect => "connect",
        })
    }
}

/// How one output is.
#[derive(Debug)]
pub(crate) struct Health {
    output: String,
    path: PathBuf,
    /// Whether everything waits for it.
    holds_back: bool,
    seen: Mutex<Seen>,
    /// The collector ends: what cannot be written is given up.
    ending: AtomicBool,
    metrics: FailureMetrics,
}

#[derive(Debug, Default)]
struct Seen {
    failing: Option<(Instant, String)>,
    last_failure: Option<Instant>,
    /// When the work at hand began.
    working: Option<Instant>,
    last_slow: Option<Instant>,
}

/// What the driver finds when it looks at an output.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Finding {
    /// For how long it has been failing; `None` while it is not.
    pub(crate) failing: Option<Duration>,
    /// How long ago something failed last.
    pub(crate) since_failure: Option<Duration>,
    /// Whether the disk takes long.
    pub(crate) is_slow: bool,
    /// What fails, for an operator.
    pub(crate) trouble: Option<String>,
}

impl Health {
    pub(super) fn new(output: &str, path: PathBuf, holds_back: bool) -> Self {
        Self {
            output: output.to_owned(),
            path,
            holds_back,
            seen: Mutex::default(),
            ending: AtomicBool::new(false),
            metrics: FailureMetrics::new(output),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work on the disk begins.
    pub(super) fn begin(&self) {
        self.seen().working = Some(Instant::now());
    }

    /// The work has ended, well or not.
    pub(super) fn end(&self) {
        let mut seen = self.seen();
        let began = seen.working.take();
        if began.is_some_and(|began| began.elapsed() > SLOW) {
            seen.last_slow = Some(Instant::now());
        }
    }

    /// The work has failed and will be tried again. Tells the operator the first time.
    pub(super) fn failed(&self, work: Work, error: &io::Error) {
        let (now, mut seen) = (Instant::now(), self.seen());
        seen.last_failure = Some(now);
        let is_first = seen.failing.is_none();
        let since = seen.failing.as_ref().map_or(now, |(since, _)| *since);
        seen.failing = Some((since, format!("cannot {work}: {error}")));
        drop(seen);
        self.metrics.failures.increment(1);
        if is_first && !self.holds_back {
            tracing::warn!(
                output = %self.output, path = %self.path.display(), %work, %error,
                "an output fails, what does not fit its queue is dropped; tried again each second"
            );
        } else if is_first {
            tracing::warn!(
                output = %self.output, path = %self.path.display(), %work, %error,
                "an output fails, nothing more is acknowledged: make room on its disk, or mend it; tried again each second"
            );
        }
    }

    /// The work has succeeded.
    pub(super) fn succeeded(&self) {
        let recovered = self.seen().failing.take();
        if let Some((since, _)) = recovered {
            let seconds = since.elapsed().as_secs();
            tracing::info!(output = %self.output, path = %self.path.display(), seconds, "an output can write again");
        }
    }

    /// The collector ends: the writer gives up what it cannot write.
    pub(super) fn give_up(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Returns whether what cannot be written is given up.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Returns what fails, for an operator, whether anybody waits for the output or not.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.seen().failing.as_ref().map(|(_, what)| what.clone())
    }

    /// Looks at the output, and publishes its metrics. Finds nothing at an output that holds nobody back.
    pub(crate) fn look(&self) -> Finding {
        let seen = self.seen();
        let failing = seen.failing.as_ref().map(|(since, _)| since.elapsed());
        self.metrics.failing.set(if failing.is_some() { 1.0 } else { 0.0 });
        self.metrics.seconds.set(failing.unwrap_or_default().as_secs_f64());
        if !self.holds_back {
            return Finding::default();
        }
        let is_slow = seen.working.is_some_and(|began| began.elapsed() > SLOW)
            || seen.last_slow.is_some_and(|slow| slow.elapsed() < SLOW_AFTER);
        Finding {
            failing,
            since_failure: seen.last_failure.map(|failure| failure.elapsed()),
            is_slow,
            trouble: seen.failing.as_ref().map(|(_, what)| format!("output {}: {what}", self.output)),
        }
    }
}

impl Finding {
    /// Returns what to say of two outputs together: the worse of each.
    pub(crate) fn and(self, other: Self) -> Self {
        let latest = [self.since_failure, other.since_failure].into_iter().flatten().min();
        let trouble =
            [self.trouble, other.trouble].into_iter().flatten().reduce(|one, other| one + "; " + &other);
        Self {
            failing: self.failing.max(other.failing),
            since_failure: latest,
            is_slow: self.is_slow || other.is_slow,
            trouble,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_until_something_succeeds_and_remembered_after_it() {
        let health = Health::new("flows", PathBuf::from("flows.jsonl"), true);
        assert_eq!(health.look(), Finding::default());
        health.failed(Work::Write, &io::Error::from_raw_os_error(28));
        health.failed(Work::Sync, &io::Error::from_raw_os_error(28));
        let finding = health.look();
        assert!(finding.failing.is_some());
        assert_eq!(
            finding.trouble.as_deref(),
            Some("output flows: cannot sync: No space left on device (os error 28)")
        );
        health.succeeded();
        let finding = health.look();
        assert_eq!((finding.failing, finding.trouble), (None, None));
        assert!(finding.since_failure.is_some());
    }

    #[test]
    fn of_several_outputs_the_worst_is_told() {
        let bad = |seconds, name: &str| Finding {
            failing: Some(Duration::from_secs(seconds)),
            since_failure: Some(Duration::from_secs(1)),
            is_slow: false,
            trouble: Some(name.to_owned()),
        };
        let both = bad(3, "a").and(Finding::default()).and(bad(7, "b"));
        assert_eq!(both.failing, Some(Duration::from_secs(7)));
        assert_eq!(both.trouble.as_deref(), Some("a; b"));
    }
}
