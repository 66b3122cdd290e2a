//! Files that take turns: their names, and how one follows the other.
//!
//! The output `flows.jsonl` writes `flows-20261122T043000.000Z.jsonl.part`, named by the time at which it was begun, in UTC.
//! When it is finished it is synced and loses `.part`: a name without it is a whole file that does not change any more. Names
//! increase even where the clock goes back.
//!
//! With a durable output, a file follows another in this order, so that a stop between any two steps loses and repeats
//! nothing: the old file and its sidecar are synced → the new file is made, empty → the sidecar tells of it, and that all
//! before it is complete → the old one gets its name → records are written.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::sidecar;

/// What a file that is still written ends with.
const OPEN: &str = ".part";
/// What a compressed file ends with.
pub(super) const COMPRESSED: &str = ".zst";

/// How the files of one output are called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    directory: PathBuf,
    base: String,
    stem: String,
    /// With its dot, or empty.
    extension: String,
}

/// A finished file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Finished {
    pub(super) path: PathBuf,
    pub(super) octets: u64,
    pub(super) is_compressed: bool,
}

impl Names {
    /// Returns the names for the output at `path`; `None` if that has no name.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let base = path.file_name()?.to_str()?.to_owned();
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let stem = path.file_stem()?.to_str()?.to_owned();
        let extension = base[stem.len()..].to_owned();
        Some(Self { directory: directory.unwrap_or(Path::new(".")).to_owned(), base, stem, extension })
    }

    /// Returns whether the name is that of the output itself.
    pub(super) fn is_base(&self, name: &str) -> bool {
        name == self.base
    }

    /// Returns the time in a file's name, and what follows the name a finished file would have.
    fn parse<'a>(&self, name: &'a str) -> Option<(&'a str, &'a str)> {
        let rest = name.strip_prefix(self.stem.as_str())?.strip_prefix('-')?;
        let (time, rest) = rest.split_at_checked(TIME_SHAPE.len())?;
        let is_time = time.bytes().zip(TIME_SHAPE.bytes()).all(|(octet, shape)| match shape {
            b'0' => octet.is_ascii_digit(),
            literal => octet == literal,
        });
        Some((time, rest.strip_prefix(self.extension.as_str())?)).filter(|_| is_time)
    }

    /// Returns the paths of the files whose names end so, the oldest first.
    fn list(&self, is_it: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            if name.to_str().and_then(|name| self.parse(name)).is_some_and(|(_, rest)| is_it(rest)) {
                found.push(self.directory.join(name));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Returns the files that are not finished, the oldest first.
    pub(super) fn open_parts(&self) -> io::Result<Vec<PathBuf>> {
        self.list(|rest| rest == OPEN)
    }

    /// Returns the finished files, the oldest first.
    pub(super) fn finished(&self) -> io::Result<Vec<Finished>> {
        let mut found = Vec::new();
        for path in self.list(|rest| rest.is_empty() || rest == COMPRESSED)? {
            let is_compressed = path.to_string_lossy().ends_with(COMPRESSED);
            match path.metadata() {
                Ok(metadata) => found.push(Finished { path, octets: metadata.len(), is_compressed }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Returns the name of a file begun now: later than every name there is.
    fn next(&self) -> io::Result<PathBuf> {
        let all = self.list(|_| true)?;
        let latest =
            all.iter().filter_map(|path| path.file_name()?.to_str().and_then(|name| self.parse(name)));
        let latest = latest.map(|(time, _)| time.to_owned()).max().unwrap_or_default();
        let mut at = SystemTime::now();
        if time_text(at) <= latest {
            at = time_of(&latest).unwrap_or(at) + Duration::from_millis(1);
        }
        let name = format!("{}-{}{}{OPEN}", self.stem, time_text(at), self.extension);
        Ok(self.directory.join(name))
    }
}

/// Makes the file that is written next, empty and its name on disk.
pub(super) fn create(names: &Names) -> io::Result<(PathBuf, File)> {
    let path = names.next()?;
    let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path)?;
    sidecar::sync_directory(&path)?;
    Ok((path, file))
}

/// Gives a file that is synced its name, and makes that durable. Does nothing where it has it already.
pub(super) fn finish(path: &Path) -> io::Result<()> {
    let text = path.to_string_lossy();
    let Some(finished) = text.strip_suffix(OPEN) else { return Ok(()) };
    match fs::rename(path, finished) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new(finished).exists() => {}
        renamed => renamed?,
    }
    sidecar::sync_directory(path)
}

/// The form of a time in a name.
const TIME_SHAPE: &str = "00000000T000000.000Z";

/// Returns `20261122T043000.000Z`.
fn time_text(at: SystemTime) -> String {
    service::time_text(at).replace(['-', ':'], "")
}

/// Reads what [`time_text`] returns.
fn time_of(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    // Years that begin in March, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = (365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day)
        .checked_sub(719_469)?;
    let seconds = days * 86_400 + number(9..11)? * 3_600 + number(11..13)? * 60 + number(13..15)?;
    Some(UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + number(16..19)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_a_name_is_read_back() {
        for millis in [0, 951_782_400_007, 1_798_761_599_999, 4_107_542_400_000] {
            let at = UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(time_of(&time_text(at)), Some(at), "{}", time_text(at));
        }
        assert_eq!(time_text(UNIX_EPOCH), "19700101T000000.000Z");
    }

    #[test]
    fn only_files_of_the_output_are_its() {
        let names = Names::of(Path::new("/x/flows.jsonl")).unwrap();
        let rest = |name| names.parse(name).map(|(_, rest)| rest);
        assert_eq!(rest("flows-20261122T043000.000Z.jsonl"), Some(""));
        assert_eq!(rest("flows-20261122T043000.000Z.jsonl.part"), Some(".part"));
        assert_eq!(rest("flows-20261122T043000.000Z.jsonl.zst"), Some(".zst"));
        for other in ["flows.jsonl", "flows-2026.jsonl", "flows-20261122T04300x.000Z.jsonl", "flowsé-"] {
            assert_eq!(rest(other), None, "{other}");
        }
        assert_eq!(rest("more-20261122T043000.000Z.jsonl"), None);
        assert_eq!(rest("flows-20261122T043000.000Z.csv"), None);
    }
}
