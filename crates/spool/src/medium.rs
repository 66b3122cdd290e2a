//! Where segments are written: the disk, or in tests one that fails.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Makes files that last.
pub trait Medium {
    /// A file of it.
    type File: Writing;

    /// Makes a new file; fails if it exists.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Makes what was created and removed in the folder last.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is written.
pub trait Writing {
    /// Writes all of `octets` at `offset`.
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written last.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file.
    fn cut(&self, length: u64) -> io::Result<()>;
}

/// The disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Medium for Disk {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl Writing for File {
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(octets, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}
