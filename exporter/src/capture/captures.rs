//! Which files to read: names, patterns, standard input.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{CaptureError, Pattern, PcapFile};

/// The name of standard input.
const STANDARD_INPUT: &str = "-";

/// Capture files in the order in which they are read.
#[derive(Clone, Debug)]
pub struct Captures {
    paths: Vec<PathBuf>,
    octets: Arc<AtomicU64>,
}

/// A reader that counts for all files.
pub(super) struct Counted {
    reader: Box<dyn Read + Send>,
    octets: Arc<AtomicU64>,
}

impl Captures {
    /// Takes one file as it is named.
    pub fn one(path: impl Into<PathBuf>) -> Self {
        Self { paths: vec![path.into()], octets: Arc::default() }
    }

    /// Takes files in this order: paths, patterns in the last part of a path (files in the order of their names), and `-` for
    /// standard input, which can be read once.
    ///
    /// Fails where a pattern has no file, or its folder cannot be read.
    pub fn find<'a>(names: impl IntoIterator<Item = &'a str>) -> io::Result<Self> {
        let mut paths = Vec::new();
        for name in names {
            let path = Path::new(name);
            let last = path.file_name().and_then(|last| last.to_str());
            match last.map(Pattern::new).filter(Pattern::is_open) {
                // A file whose name has such characters is itself.
                Some(pattern) if !path.exists() => paths.extend(matching(path, &pattern)?),
                _ => paths.push(path.to_owned()),
            }
        }
        Ok(Self { paths, octets: Arc::default() })
    }

    /// Returns how many files there are.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns how many octets all files have; none where that is not known, of pipes.
    pub fn size(&self) -> Option<u64> {
        let length =
            |path: &PathBuf| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
        self.paths.iter().map(length).sum()
    }

    /// Returns the count of octets read, which goes on while files are read.
    pub fn octets(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.octets)
    }

    pub(super) fn name(&self, file: usize) -> impl std::fmt::Display {
        self.paths.get(file).map(|path| path.display().to_string()).unwrap_or_default()
    }

    pub(super) fn open(&self, file: usize) -> Result<PcapFile<Counted>, CaptureError> {
        let path = self.paths.get(file).map(PathBuf::as_path).unwrap_or_else(|| Path::new(""));
        let reader: Box<dyn Read + Send> = if path.as_os_str() == STANDARD_INPUT {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).map_err(|source| CaptureError::Io { offset: 0, source })?)
        };
        PcapFile::new(Counted { reader, octets: self.octets() })
    }
}

fn matching(path: &Path, pattern: &Pattern) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| pattern.matches(name)) && entry.path().is_file() {
            paths.push(
                folder.map_or_else(|| entry.file_name().into(), |folder| folder.join(entry.file_name())),
            );
        }
    }
    if paths.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no file is named like {}", path.display()),
        ));
    }
    paths.sort();
    Ok(paths)
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.octets.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
