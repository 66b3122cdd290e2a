//! Compression of finished files.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::parts::{self, COMPRESSED, OPEN};
use super::sidecar::sync_directory;

/// Octets of the file in one frame; frames stand one behind the other (RFC 8878 section 3).
const FRAME: usize = 4 << 20;

/// Puts a compressed file, `.zst` behind its name, in the place of a finished one, and returns its octets. The one goes when the
/// other is synced, so that there is always a whole one.
pub(super) fn zstd(path: &Path) -> io::Result<u64> {
    let with = |ends: &[&str]| {
        let mut name = path.as_os_str().to_owned();
        ends.iter().for_each(|end| name.push(end));
        PathBuf::from(name)
    };
    let (compressed, part) = (with(&[COMPRESSED]), with(&[COMPRESSED, OPEN]));
    if !compressed.exists() {
        if let Err(error) = write(path, &part) {
            // It may have been the disk; the file itself stays.
            let _ = fs::remove_file(&part);
            return Err(error);
        }
        parts::finish(&part)?;
    }
    fs::remove_file(path)?;
    sync_directory(path)?;
    Ok(compressed.metadata()?.len())
}

/// Errors of the files come from here alone: the encoder works in memory.
fn write(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut frame = Vec::with_capacity(FRAME);
    loop {
        frame.clear();
        io::Read::by_ref(&mut from).take(FRAME as u64).read_to_end(&mut frame)?;
        if frame.is_empty() {
            return to.sync_all();
        }
        to.write_all(&compress_to_vec(frame.as_slice(), CompressionLevel::Fastest))?;
    }
}
