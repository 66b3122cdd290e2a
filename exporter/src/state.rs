//! The exporter's identity on disk: its ledger and the epoch of this start.
//!
//! A ledger is made once and kept; the epoch is increased and synced before the first record of
//! a start is numbered, so that no (ledger, epoch, domain, number) is ever given twice
//! (docs/wire.md, "Identity"). Without a state directory every start is a new ledger.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use delivery::{Epoch, Ledger};

const FILE: &str = "ledger";

/// What makes this start's numbers unique.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Incarnation {
    /// Kept over restarts, 128 random bits.
    pub ledger: Ledger,
    /// Greater than at every earlier start of this ledger.
    pub epoch: Epoch,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Reading, writing or syncing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The ledger file is not what this program writes. It is never overwritten: a guessed epoch
    /// could give numbers a second time.
    #[error(
        "{path}: not a ledger file (expected `LEDGER EPOCH`, found {found:?}); move it away to start a new ledger"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The beginning of what it holds.
        found: String,
    },
    /// 2^32 starts.
    #[error("{path}: the epoch is used up; move the file away to start a new ledger")]
    EpochsUsedUp {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Random(String),
}

impl Incarnation {
    /// Returns a new ledger at epoch 1, for an exporter without a state directory.
    ///
    /// Fails when the operating system gives no randomness.
    pub fn ephemeral() -> Result<Self, StateError> {
        let mut octets = [0; 16];
        getrandom::fill(&mut octets).map_err(|error| StateError::Random(error.to_string()))?;
        Ok(Self { ledger: Ledger(octets), epoch: Epoch(1) })
    }

    /// Returns the ledger kept in `directory` with an epoch no start had before, after it is on
    /// disk; makes the directory and the ledger where they are missing.
    ///
    /// Fails on input or output errors and on a file that is not a ledger.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        fs::create_dir_all(directory).map_err(at(directory))?;
        let path = directory.join(FILE);
        let next = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::ephemeral()?,
            Err(error) => return Err(at(&path)(error)),
            Ok(file) => {
                let mut text = String::new();
                file.take(256).read_to_string(&mut text).map_err(at(&path))?;
                let last = parse(&text)
                    .ok_or_else(|| StateError::Malformed { path: path.clone(), found: text.clone() })?;
                let epoch = last.epoch.0.checked_add(1);
                let epoch = epoch.ok_or_else(|| StateError::EpochsUsedUp { path: path.clone() })?;
                Self { ledger: last.ledger, epoch: Epoch(epoch) }
            }
        };
        next.store(directory, &path).map_err(at(&path))?;
        Ok(next)
    }

    /// Writes beside, syncs, renames, syncs the directory: the old epoch or the new one survives.
    fn store(&self, directory: &Path, path: &Path) -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        writeln!(file, "{} {}", self.ledger, self.epoch.0)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(directory)?.sync_all()
    }
}

/// Returns what `LEDGER EPOCH` says; none if it is anything else.
fn parse(text: &str) -> Option<Incarnation> {
    let (ledger, epoch) = text.strip_suffix('\n')?.split_once(' ')?;
    Some(Incarnation { ledger: ledger.parse().ok()?, epoch: Epoch(epoch.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("flowpool-state-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn every_start_has_the_same_ledger_and_a_new_epoch() {
        let directory = directory("epochs");
        let first = Incarnation::open(&directory).unwrap();
        let second = Incarnation::open(&directory).unwrap();
        assert_eq!(first.ledger, second.ledger);
        assert_eq!((first.epoch, second.epoch), (Epoch(1), Epoch(2)));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_damaged_ledger_file_is_told_and_left_alone() {
        let directory = directory("damaged");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(FILE), "00 7\n").unwrap();
        let error = Incarnation::open(&directory).unwrap_err();
        assert!(error.to_string().contains("not a ledger file"), "{error}");
        assert_eq!(fs::read_to_string(directory.join(FILE)).unwrap(), "00 7\n");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn without_a_directory_every_start_is_a_new_ledger() {
        assert_ne!(Incarnation::ephemeral().unwrap().ledger, Incarnation::ephemeral().unwrap().ledger);
    }
}
