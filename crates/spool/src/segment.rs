//! Files of a spool: what is known of one, the one that is written, and what an earlier process has left.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::medium::{Medium, Writing};
use crate::{Damage, Found, SpoolError, message};

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// Octets of the file.
    pub(crate) octets: u64,
    /// Position of its first message.
    pub(crate) first: u64,
    pub(crate) messages: u64,
    pub(crate) flow_records: u64,
}

impl Segment {
    pub(crate) const fn new(number: u64, octets: u64, first: u64) -> Self {
        Self { number, octets, first, messages: 0, flow_records: 0 }
    }

    /// The position behind its last message.
    pub(crate) const fn end(&self) -> u64 {
        self.first + self.messages
    }

    /// Removes the file. One that stays is found again at the next start; its records are repeats then.
    pub(crate) fn remove(&self, folder: &Path) {
        let path = path(folder, self.number);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "a spool segment cannot be removed");
        }
    }
}

/// The file that is written.
#[derive(Debug)]
pub(crate) struct Active<F> {
    file: F,
    pub(crate) path: PathBuf,
    /// Octets that are synced.
    pub(crate) octets: u64,
}

impl<F: Writing> Active<F> {
    /// Makes a file that begins with `head`, and makes it last.
    pub(crate) fn begin<M: Medium<File = F>>(
        medium: &M,
        folder: &Path,
        number: u64,
        head: &[u8],
    ) -> Result<Self, SpoolError> {
        let path = path(folder, number);
        let made = medium.create(&path).and_then(|file| {
            let mut active = Self { file, path: path.clone(), octets: 0 };
            active.write(head)?;
            medium.sync_folder(folder)?;
            Ok(active)
        });
        made.map_err(|error| {
            // Perhaps it was never made.
            let _ = fs::remove_file(&path);
            SpoolError::Io { path, error }
        })
    }

    /// Appends and syncs. After a failure nobody knows what is on disk (a failed fdatasync forgets what it did not
    /// write), so that this file must not be written again.
    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let written = self.file.write_at(octets, self.octets).and_then(|()| self.file.sync());
        if let Err(error) = written {
            // What is cut off comes again in the next segment; where this fails too, it is there twice.
            let _ = self.file.cut(self.octets);
            return Err(error);
        }
        self.octets += octets.len() as u64;
        Ok(())
    }
}

/// What [`recover`] has found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) next_number: u64,
    pub(crate) found: Found,
}

/// Reads all segments of the folder; those without any flow record are removed.
pub(crate) fn recover(folder: &Path) -> Result<Recovered, SpoolError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| SpoolError::Io { path, error }
    };
    fs::create_dir_all(folder).map_err(io(folder))?;
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(io(folder))? {
        let entry = entry.map_err(io(folder))?;
        numbers.extend(entry.file_name().to_str().and_then(number));
    }
    numbers.sort_unstable();
    let next_number = numbers.last().map_or(1, |last| last.saturating_add(1));
    let mut recovered = Recovered { segments: VecDeque::new(), next_number, found: Found::default() };
    for number in numbers {
        let path = path(folder, number);
        let octets = fs::read(&path).map_err(io(&path))?;
        let mut segment = Segment::new(number, octets.len() as u64, recovered.found.messages);
        examine(&octets, &path, &mut segment, &mut recovered.found.damage);
        if segment.messages == 0 {
            segment.remove(folder);
            continue;
        }
        recovered.found.messages += segment.messages;
        recovered.found.flow_records += segment.flow_records;
        recovered.segments.push_back(segment);
    }
    Ok(recovered)
}

/// Counts a segment's messages, and notes what lies between them.
fn examine(octets: &[u8], path: &Path, segment: &mut Segment, damage: &mut Vec<Damage>) {
    let mut at = 0;
    while at < octets.len() {
        let next = message::find(&octets[at..]);
        let skipped = next.map_or(octets.len() - at, |(skipped, _)| skipped);
        if skipped > 0 {
            let (offset, octets) = (at as u64, skipped as u64);
            damage.push(Damage { file: path.to_owned(), offset, octets, torn: next.is_none() });
        }
        at += skipped;
        if let Some((_, message)) = next {
            at += message.octets.len();
            segment.messages += u64::from(!message.is_head());
            segment.flow_records += u64::from(message.flow_records);
        }
    }
}

/// The name of a segment's file.
pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.ipfix"))
}

/// The number in such a name.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".ipfix").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}
