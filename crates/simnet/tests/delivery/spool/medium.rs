//! The disk under the spool: real files, writes that can fail, and nothing that waits for a real sync.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use spool::{Disk, Medium, Writing};

/// A folder in memory where there is one, which goes with its owner.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let (process, number) = (std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed));
        Self(parent.join(format!("flowpool-delivery-{process}-{number}")))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns how many files there are, and their octets.
    pub(super) fn usage(&self) -> (usize, u64) {
        let Ok(entries) = fs::read_dir(&self.0) else { return (0, 0) };
        let lengths: Vec<_> = entries.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        (lengths.len(), lengths.iter().sum())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What does not work.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Broken {
    #[default]
    Nothing,
    /// There is no space: half of what is to be written is.
    Writes,
    /// Everything is written, and syncs fail.
    Syncs,
    /// The same, and what was written cannot be cut off again.
    SyncsAndCuts,
}

/// The disk, as broken as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Flaky(Rc<State>);

#[derive(Debug, Default)]
struct State {
    broken: Cell<Broken>,
    failures: Cell<u64>,
    uncut: Cell<bool>,
    /// The process was killed while it wrote: so many octets more reach the file.
    torn_after: Cell<Option<u64>>,
}

/// A file, and whether writing it or syncing it has failed.
pub(super) struct FlakyFile(File, Flaky, Cell<bool>);

impl Flaky {
    pub(super) fn set(&self, broken: Broken) {
        self.0.broken.set(broken);
    }

    /// Lets only so many octets more reach the disk, or all of them again; whoever writes is not told.
    pub(super) fn tear(&self, after: Option<u64>) {
        self.0.torn_after.set(after);
    }

    /// Returns how often something failed.
    pub(super) fn failures(&self) -> u64 {
        self.0.failures.get()
    }

    /// Tells whether files have ends that nobody counts.
    pub(super) fn has_uncut(&self) -> bool {
        self.0.uncut.get()
    }

    fn fail_if(&self, fails: bool, kind: io::ErrorKind) -> io::Result<()> {
        if fails {
            self.0.failures.set(self.0.failures.get() + 1);
            return Err(kind.into());
        }
        Ok(())
    }
}

impl Medium for Flaky {
    type File = FlakyFile;

    fn create(&self, path: &Path) -> io::Result<FlakyFile> {
        Ok(FlakyFile(Disk.create(path)?, self.clone(), Cell::new(false)))
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl Writing for FlakyFile {
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        assert!(!self.2.get(), "what a failed sync has left on disk is not known");
        let state = &self.1.0;
        if let Some(left) = state.torn_after.get() {
            let written = octets.len().min(usize::try_from(left).unwrap());
            state.torn_after.set(Some(left - written as u64));
            return self.0.write_all_at(&octets[..written], offset);
        }
        let fails = state.broken.get() == Broken::Writes;
        let written = if fails { octets.len() / 2 } else { octets.len() };
        self.2.set(fails);
        self.0.write_all_at(&octets[..written], offset)?;
        self.1.fail_if(fails, io::ErrorKind::StorageFull)
    }

    fn sync(&self) -> io::Result<()> {
        let state = &self.1.0;
        let fails = matches!(state.broken.get(), Broken::Syncs | Broken::SyncsAndCuts);
        let fails = fails && state.torn_after.get().is_none();
        self.2.set(self.2.get() || fails);
        self.1.fail_if(fails, io::ErrorKind::Other)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        let fails = self.1.0.broken.get() == Broken::SyncsAndCuts;
        self.1.0.uncut.set(self.1.0.uncut.get() || fails);
        self.1.fail_if(fails, io::ErrorKind::Other)?;
        self.0.set_len(length)
    }
}
