//! What a file output writes into.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use tracing::debug;

use super::buffer::BLOCK;

/// What an output writes into.
#[derive(Debug)]
pub(super) enum Target {
    Regular(Regular),
    /// A regular file that could not be opened because its disk is full or fails.
    Waiting,
    /// Something that cannot be cut, such as a pipe; opened by the writer thread, because opening may block.
    Special(Option<File>),
    Standard,
}

/// A file that is written at positions, each octet once unless something fails.
#[derive(Debug)]
pub(super) struct Regular {
    file: File,
    /// The same, past the page cache: for whole blocks of which nothing was written in another way; from how many octets on.
    direct: Option<(File, usize)>,
}

impl Regular {
    /// `file` is the one at `path`. With `direct`, so many octets of whole blocks at once, or more, are written past the page
    /// cache, if the file system lets them.
    pub(super) fn new(path: &Path, file: File, direct: Option<usize>) -> Self {
        let direct = direct.and_then(|least| {
            let opened = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path);
            opened.inspect_err(refused).ok().map(|direct| (direct, least))
        });
        Self { file, direct }
    }

    /// Writes some of `octets`, the first of which belongs at `position`; returns how many.
    ///
    /// Whole blocks go past the page cache, what is before and behind them through it, so that no block is written in both ways.
    pub(super) fn write(&mut self, octets: &[u8], position: u64) -> io::Result<usize> {
        let to_block = usize::try_from(position.next_multiple_of(BLOCK as u64) - position).unwrap_or(0);
        let whole = octets.len().saturating_sub(to_block) / BLOCK * BLOCK;
        let Some((direct, _)) = self.direct.as_ref().filter(|(_, least)| whole >= *least) else {
            return self.file.write_at(octets, position);
        };
        if to_block > 0 {
            return self.file.write_at(&octets[..to_block], position);
        }
        if !octets.as_ptr().addr().is_multiple_of(BLOCK) {
            return self.file.write_at(octets, position);
        }
        match direct.write_at(&octets[..whole], position) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let written = self.file.write_at(octets, position)?;
                refused(&error);
                self.direct = None;
                Ok(written)
            }
            written => written,
        }
    }

    /// Leaves only the octets before `position`.
    pub(super) fn cut(&self, position: u64) -> io::Result<()> {
        self.file.set_len(position)
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(super) fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// The file system cannot, or asks for larger blocks.
fn refused(error: &io::Error) {
    debug!(%error, "the file system takes no writes past the page cache");
}

/// Writes all of `octets` to something that cannot be cut, which is opened first if it was not.
pub(super) fn write_special(file: &mut Option<File>, path: &Path, octets: &[u8]) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        None => file.insert(OpenOptions::new().write(true).open(path)?),
    };
    file.write_all(octets)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::buffer::Buffer;
    use super::*;

    /// Returns an empty file that is gone when it is closed, and a writer of it.
    fn regular(direct: Option<usize>) -> (File, Regular) {
        let path = std::env::temp_dir().join(format!("target-{:016x}", getrandom::u64().unwrap()));
        let file = File::create_new(&path).unwrap();
        let regular = Regular::new(&path, file, direct);
        let reader = File::open(&path).unwrap();
        fs::remove_file(path).unwrap();
        (reader, regular)
    }

    /// Writes all octets; returns how many at a time.
    fn write(regular: &mut Regular, octets: &[u8], position: u64) -> Vec<usize> {
        let (mut parts, mut written) = (Vec::new(), 0);
        while written < octets.len() {
            let part = regular.write(&octets[written..], position + written as u64).unwrap();
            assert!(part > 0);
            parts.push(part);
            written += part;
        }
        parts
    }

    fn octets(length: usize, position: u64) -> Buffer {
        let mut buffer = Buffer::with_capacity(length);
        buffer.start_at(position);
        buffer.end().extend((position..).map(|at| (at / 7 % 251) as u8).take(length));
        buffer
    }

    #[test]
    fn whole_blocks_go_past_the_page_cache_and_the_rest_through_it() {
        let (reader, mut regular) = regular(Some(2 * BLOCK));
        if regular.direct.is_none() {
            return eprintln!("skipped: no writes past the page cache in {}", std::env::temp_dir().display());
        }
        let whole = octets(10 * BLOCK, 0);
        for (part, parts) in [
            (0..100, vec![100]),
            // Fills the block, then whole ones, then what is left.
            (100..4 * BLOCK + 1, vec![BLOCK - 100, 3 * BLOCK, 1]),
            (4 * BLOCK + 1..6 * BLOCK + 1, vec![2 * BLOCK]),
            (6 * BLOCK + 1..9 * BLOCK, vec![BLOCK - 1, 2 * BLOCK]),
            (9 * BLOCK..10 * BLOCK, vec![BLOCK]),
        ] {
            let (position, length) = (part.start as u64, part.len());
            assert_eq!(write(&mut regular, octets(length, position).octets(), position), parts);
            let mut read = vec![0; part.end + 1];
            assert_eq!(reader.read_at(&mut read, 0).unwrap(), part.end, "who reads sees all of it");
            assert!(read[..part.end] == whole.octets()[..part.end], "up to {}", part.end);
        }
    }

    #[test]
    fn what_is_refused_goes_through_the_page_cache_from_then_on() {
        let (reader, mut regular) = regular(None);
        // Says EINVAL to what is no number.
        let refusing = OpenOptions::new().write(true).open("/proc/self/oom_score_adj").unwrap();
        regular.direct = Some((refusing, BLOCK));
        let octets = octets(3 * BLOCK, 0);
        assert_eq!(write(&mut regular, octets.octets(), 0), [3 * BLOCK]);
        assert!(regular.direct.is_none());
        let mut read = vec![0; 3 * BLOCK];
        reader.read_exact_at(&mut read, 0).unwrap();
        assert!(read == octets.octets());
    }

    #[test]
    fn octets_at_other_addresses_go_through_the_page_cache() {
        let (reader, mut regular) = regular(Some(BLOCK));
        let octets = octets(4 * BLOCK, 1);
        assert_eq!(write(&mut regular, octets.octets(), 0), [4 * BLOCK]);
        let mut read = vec![0; 4 * BLOCK];
        reader.read_exact_at(&mut read, 0).unwrap();
        assert!(read == octets.octets());
    }
}
