//! The sidecar of a durable file: up to which octet the file is synced, and which records stand before it.
//!
//! It is replaced as a whole (written under another name, synced, renamed, directory synced), so that what it says always
//! holds, whenever the process or the machine stops. It is text:
//!
//! ```text
//! flowpool-sidecar 1
//! file flows.jsonl
//! offset 40960
//! held 00112233445566778899aabbccddeeff 3 1 0 512
//! end 1
//! ```
//!
//! `held` lines are ledger, epoch, observation domain, first number and end of a range; `end` counts them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use delivery::{Epoch, Holdings, Ledger, Series};

const FIRST_LINE: &str = "flowpool-sidecar 1";

/// What a sidecar says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Sidecar {
    /// Octets of the file that are synced.
    pub(super) offset: u64,
    /// The records that stand in them.
    pub(super) held: Holdings,
}

/// Why a sidecar cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SidecarError {
    /// Reading or writing it failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a sidecar, or not a whole one.
    #[error("line {line}: expected {expected}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
}

/// Returns where the sidecar of `file` is.
pub(super) fn path_of(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".durable");
    file.with_file_name(name)
}

/// Reads the sidecar of `file`; `None` when there is none.
pub(super) fn read(file: &Path) -> Result<Option<Sidecar>, SidecarError> {
    match fs::read_to_string(path_of(file)) {
        Ok(text) => parse(&text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the sidecar of `file`; when this returns, it is on disk. The file itself must be synced before.
pub(super) fn write(file: &Path, offset: u64, held: &Holdings) -> io::Result<()> {
    let path = path_of(file);
    let temporary = path.with_extension("durable.new");
    let mut new = File::create(&temporary)?;
    new.write_all(text(file, offset, held).as_bytes())?;
    new.sync_all()?;
    fs::rename(&temporary, &path)?;
    sync_directory(&path)
}

/// Makes names in the directory of `path` durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn text(file: &Path, offset: u64, held: &Holdings) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut out = format!("{FIRST_LINE}\nfile {}\noffset {offset}\n", name.escape_default());
    let mut lines = 0_u64;
    for (Series { ledger, epoch, domain }, ranges) in held.iter() {
        for range in ranges {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "held {ledger} {epoch} {domain} {} {}", range.start, range.end);
            lines += 1;
        }
    }
    let _ = writeln!(out, "end {lines}");
    out
}

fn parse(text: &str) -> Result<Sidecar, SidecarError> {
    let mut lines = text.lines().zip(1..);
    let mut next = |expected| {
        let missing = SidecarError::Syntax { line: text.lines().count() + 1, expected };
        lines.next().ok_or(missing).map(|(content, line)| (content, SidecarError::Syntax { line, expected }))
    };
    let (content, wrong) = next(FIRST_LINE)?;
    if content != FIRST_LINE {
        return Err(wrong);
    }
    let (content, wrong) = next("file NAME")?;
    content.strip_prefix("file ").ok_or(wrong)?;
    let (content, wrong) = next("offset NUMBER")?;
    let offset = content.strip_prefix("offset ").and_then(|number| number.parse().ok()).ok_or(wrong)?;
    let mut sidecar = Sidecar { offset, held: Holdings::new() };
    for count in 0_u64.. {
        let (content, wrong) = next("held LEDGER EPOCH DOMAIN FIRST END, or end COUNT")?;
        if let Some(told) = content.strip_prefix("end ") {
            return if told.parse() == Ok(count) { Ok(sidecar) } else { Err(wrong) };
        }
        let (series, range) = held(content).ok_or(wrong)?;
        sidecar.held.insert_range(series, range);
    }
    unreachable!("a file has fewer than 2^64 lines")
}

fn held(line: &str) -> Option<(Series, std::ops::Range<u64>)> {
    let mut words = line.strip_prefix("held ")?.split(' ');
    let ledger: Ledger = words.next()?.parse().ok()?;
    let epoch = Epoch(words.next()?.parse().ok()?);
    let domain = words.next()?.parse().ok()?;
    let range = words.next()?.parse().ok()?..words.next()?.parse().ok()?;
    let complete = words.next().is_none() && !range.is_empty();
    complete.then_some((Series { ledger, epoch, domain }, range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holdings() -> Holdings {
        let mut held = Holdings::new();
        let series = Series { ledger: Ledger([0xa1; 16]), epoch: Epoch(3), domain: 1 };
        held.insert_range(series, 0..512);
        held.insert_range(series, 600..601);
        held.insert_range(Series { domain: 2, ..series }, 7..9);
        held
    }

    #[test]
    fn a_sidecar_reads_back_as_written() {
        let text = text(Path::new("dir/flows.jsonl"), 40_960, &holdings());
        assert!(text.starts_with("flowpool-sidecar 1\nfile flows.jsonl\noffset 40960\nheld a1a1"), "{text}");
        assert_eq!(parse(&text).unwrap(), Sidecar { offset: 40_960, held: holdings() });
    }

    #[test]
    fn a_sidecar_cut_anywhere_is_refused() {
        let text = text(Path::new("flows.jsonl"), 40_960, &holdings());
        for length in 0..text.len() - 1 {
            assert!(parse(&text[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn an_error_names_its_line() {
        let error = parse("flowpool-sidecar 1\nfile x\noffset 5\nheld nonsense\nend 1\n").unwrap_err();
        assert_eq!(error.to_string(), "line 4: expected held LEDGER EPOCH DOMAIN FIRST END, or end COUNT");
    }
}
