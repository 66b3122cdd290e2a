//! The exporter's identity on disk: its ledger and the epoch of this start; beside it, the collector it was on last.
//!
//! A ledger is made once and kept; the epoch is increased and synced before the first record of
//! a start is numbered, so that no (ledger, epoch, domain, number) is ever given twice
//! (docs/wire.md, "Identity"). Without a state directory every start is a new ledger.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use delivery::{ExporterState, Ledger};
use rserpool::PeId;

const FILE: &str = "ledger";
/// Names the pool and the collector of the last association.
const COLLECTOR: &str = "collector";
/// Longest file read; what this program writes is a fifth of it, but for the pool's handle.
const MAX_FILE: u64 = 256;

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
    #[error("{path}: not a ledger file ({error}, found {found:?}); move it away to start a new ledger")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: delivery::exporter_state::ExporterStateError,
        /// The beginning of what it holds.
        found: String,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Random(String),
}

/// Returns a new ledger at epoch 1, for an exporter without a state directory.
///
/// Fails when the operating system gives no randomness.
pub fn ephemeral() -> Result<ExporterState, StateError> {
    Ok(ExporterState::next(None, random_ledger()?))
}

/// Returns the ledger kept in `directory` with an epoch no start had before, after it is on
/// disk; makes the directory and the ledger where they are missing.
///
/// Fails on input or output errors and on a file that is not a ledger.
pub fn open(directory: &Path) -> Result<ExporterState, StateError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| StateError::Io { path, source }
    };
    fs::create_dir_all(directory).map_err(at(directory))?;
    let path = directory.join(FILE);
    let last = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(at(&path)(error)),
        Ok(file) => Some(read(&path, file)?),
    };
    let next = ExporterState::next(last, random_ledger()?);
    store(&next, directory, &path).map_err(at(&path))?;
    Ok(next)
}

/// Returns the collector this exporter was on last in `pool`. What cannot be read is none: it is a preference.
pub fn last_collector(directory: &Path, pool: &str) -> Option<PeId> {
    let file = File::open(directory.join(COLLECTOR)).ok()?;
    let mut text = String::new();
    file.take(MAX_FILE + pool.len() as u64).read_to_string(&mut text).ok()?;
    let identifier =
        text.strip_prefix("pool ")?.strip_prefix(pool)?.strip_prefix("\npe ")?.strip_suffix('\n')?;
    u32::from_str_radix(identifier, 16).ok().map(PeId)
}

/// Remembers the collector this exporter is on, for the next start.
///
/// Fails where the directory cannot be written to.
pub fn remember_collector(directory: &Path, pool: &str, pe: PeId) -> io::Result<()> {
    // Replaced as a whole; whether it survives a crash of the host matters little.
    let (path, beside) = (directory.join(COLLECTOR), directory.join("collector.new"));
    fs::write(&beside, format!("pool {pool}\npe {pe}\n"))?;
    fs::rename(beside, path)
}

fn random_ledger() -> Result<Ledger, StateError> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).map_err(|error| StateError::Random(error.to_string()))?;
    Ok(Ledger(octets))
}

fn read(path: &Path, file: File) -> Result<ExporterState, StateError> {
    let mut octets = Vec::new();
    let path = path.to_owned();
    match file.take(MAX_FILE).read_to_end(&mut octets) {
        Err(source) => Err(StateError::Io { path, source }),
        Ok(_) => {
            let found = String::from_utf8_lossy(&octets).into_owned();
            found.parse().map_err(|error| StateError::Malformed { path, error, found })
        }
    }
}

/// Writes beside, syncs, renames, syncs the directory: the old epoch or the new one survives.
fn store(state: &ExporterState, directory: &Path, path: &Path) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(state.encode().as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use delivery::Epoch;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("flowpool-state-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn every_start_has_the_same_ledger_and_a_new_epoch() {
        let directory = directory("epochs");
        let first = open(&directory).unwrap();
        let second = open(&directory).unwrap();
        assert_eq!(first.ledger, second.ledger);
        assert_eq!((first.epoch, second.epoch), (Epoch(1), Epoch(2)));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_damaged_ledger_file_is_told_and_left_alone() {
        let directory = directory("damaged");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(FILE), "ledger 00\nepoch 7\n").unwrap();
        let error = open(&directory).unwrap_err();
        assert!(error.to_string().contains("not a ledger file"), "{error}");
        assert_eq!(fs::read_to_string(directory.join(FILE)).unwrap(), "ledger 00\nepoch 7\n");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_last_collector_is_remembered_for_its_pool() {
        let directory = directory("collector");
        fs::create_dir_all(&directory).unwrap();
        assert_eq!(last_collector(&directory, "ipfix"), None);
        remember_collector(&directory, "ipfix", PeId(0xa1)).unwrap();
        remember_collector(&directory, "ipfix", PeId(0xb2)).unwrap();
        assert_eq!(last_collector(&directory, "ipfix"), Some(PeId(0xb2)));
        assert_eq!((last_collector(&directory, "ipf"), last_collector(&directory, "other")), (None, None));
        fs::write(directory.join(COLLECTOR), "pool ipfix\npe x\n").unwrap();
        assert_eq!(last_collector(&directory, "ipfix"), None);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn without_a_directory_every_start_is_a_new_ledger() {
        assert_ne!(ephemeral().unwrap().ledger, ephemeral().unwrap().ledger);
    }
}
