//! Folders, small messages, and everything that a spool has.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use spool::{Config, Cursor, Medium, New, Position, Spool, SpoolError};

pub(crate) const TEMPLATES: &[u8] = b"templates";

/// A folder that goes with its owner.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("spool-test-{:016x}", fastrand::u64(..)));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// Its files in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Segments of some ten messages.
pub(crate) fn config(folder: &Folder) -> Config {
    Config {
        folder: folder.0.clone(),
        capacity: 100_000,
        segment: 1_000,
        domain: 7,
        templates: TEMPLATES.to_vec(),
    }
}

/// The content of a message, 20 to 40 octets.
pub(crate) fn text(number: u64) -> String {
    format!("message number {number:05} {}", "x".repeat(usize::try_from(number % 20).unwrap()))
}

pub(crate) fn append<M: Medium>(spool: &mut Spool<M>, number: u64) -> Result<Position, SpoolError> {
    let sets = text(number);
    spool.append(New { export_time: 1_000, sets: sets.as_bytes(), flow_records: 1, options_records: 0 })
}

pub(crate) fn read_all<M: Medium>(spool: &Spool<M>) -> Vec<(Position, Vec<u8>)> {
    let mut cursor = Cursor::default();
    let mut all = Vec::new();
    while let Some(message) = spool.read(&mut cursor).unwrap() {
        all.push((message.position, message.sets.to_vec()));
    }
    all
}
