//! When a file is full, and what becomes of the finished ones.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use super::parts::Names;
use crate::metrics::OutputMetrics;

/// When a file is full, and which finished ones stay.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Limits {
    /// A file ends where a multiple of this has passed since 1970 (UTC), if it has a record.
    pub(crate) every: Option<Duration>,
    /// Octets at which it ends; the last batch may go beyond.
    pub(crate) octets: Option<u64>,
    /// Finished files that stay.
    pub(crate) keep: Option<usize>,
    /// Octets of finished files that stay.
    pub(crate) max_octets: Option<u64>,
}

/// Files that take turns.
#[derive(Debug)]
pub(super) struct Rotation {
    pub(super) names: Names,
    limits: Limits,
    /// Number of the period in which the file was begun.
    period: u128,
    /// Wakes the thread that keeps what is finished.
    finished: Sender<()>,
}

impl Rotation {
    /// Starts to keep the finished files of the output at `path`. Fails where a thread cannot be started.
    pub(super) fn start(path: &Path, limits: Limits, metrics: &OutputMetrics) -> io::Result<Self> {
        let names = Names::of(path).ok_or_else(|| io::Error::other("the path has no file name in UTF-8"))?;
        let (finished, wakes) = channel();
        let keeper = Keeper { names: names.clone(), limits, files_removed: metrics.files_removed.clone() };
        std::thread::Builder::new().name("output-keeper".to_owned()).spawn(move || keeper.run(&wakes))?;
        Ok(Self { names, limits, period: 0, finished })
    }

    #[cfg(test)]
    pub(super) fn keeper(&self) -> Keeper {
        Keeper { names: self.names.clone(), limits: self.limits, files_removed: metrics::Counter::noop() }
    }

    /// Makes as if the file had been begun long ago.
    #[cfg(test)]
    pub(super) fn backdate(&mut self) {
        self.period = 0;
    }

    /// A file was begun, and the one before it may be finished.
    pub(super) fn begun(&mut self) {
        self.period = self.limits.every.map_or(0, |every| since_1970().as_nanos() / every.as_nanos().max(1));
        // Without the thread, files stay.
        let _ = self.finished.send(());
    }

    /// Returns whether a file of this length is full.
    pub(super) fn is_over(&self, length: u64) -> bool {
        self.limits.octets.is_some_and(|octets| length >= octets)
            || self
                .limits
                .every
                .is_some_and(|every| since_1970().as_nanos() / every.as_nanos().max(1) != self.period)
    }

    /// Returns the time until a file ends that is not full.
    pub(super) fn until_end(&self) -> Option<Duration> {
        let every = self.limits.every?.as_nanos().max(1);
        let left = every - since_1970().as_nanos() % every;
        Some(Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX)))
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Removes finished files that are too many. Has a thread of its own, because a file system may take its time.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    names: Names,
    pub(super) limits: Limits,
    files_removed: metrics::Counter,
}

impl Keeper {
    fn run(&self, wakes: &Receiver<()>) {
        while wakes.recv().is_ok() {
            while wakes.try_recv().is_ok() {}
            if let Err(error) = self.tidy() {
                warn!(%error, "finished files cannot be removed");
            }
        }
    }

    /// Removes the oldest files until the others are within the limits.
    pub(super) fn tidy(&self) -> io::Result<()> {
        let files = self.names.finished()?;
        let (mut count, mut octets) = (files.len(), files.iter().map(|file| file.octets).sum::<u64>());
        for file in files {
            let within = self.limits.keep.is_none_or(|keep| count <= keep)
                && self.limits.max_octets.is_none_or(|most| octets <= most);
            if within {
                break;
            }
            match fs::remove_file(&file.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
            info!(path = %file.path.display(), octets = file.octets, "finished file removed");
            self.files_removed.increment(1);
            count -= 1;
            octets -= file.octets;
        }
        Ok(())
    }
}
