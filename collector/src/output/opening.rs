//! Opening a file of lines: a durable one is cut to what its sidecar says, another one behind its last whole line.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use delivery::Holdings;
use tracing::{info, warn};

use super::sidecar::{self, SidecarError};

/// Why an output cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The file.
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: io::Error },
    /// Its sidecar.
    #[error("{}: {error}", .path.display())]
    Sidecar { path: PathBuf, error: SidecarError },
    /// Only a regular file can be synced and cut.
    #[error("{}: only a regular file can be durable", .path.display())]
    NotRegular { path: PathBuf },
}

impl OpenError {
    /// Returns the error of the disk if it may pass by itself or by making room: full, over quota, failing. Everything else is for
    /// the operator to mend before a start.
    pub(super) fn passing(&self) -> Option<&io::Error> {
        /// EIO, for which there is no `ErrorKind`.
        const IO: i32 = 5;
        let error = match self {
            Self::File { error, .. } | Self::Sidecar { error: SidecarError::Io(error), .. } => error,
            Self::Sidecar { error: SidecarError::Content(_), .. } | Self::NotRegular { .. } => return None,
        };
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
        (full.contains(&error.kind()) || error.raw_os_error() == Some(IO)).then_some(error)
    }
}

/// A file that is open and cut.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// Its length.
    pub(super) length: u64,
    /// The records in it, as far as its sidecar knows.
    pub(super) holdings: Holdings,
}

/// Opens the file at `path`, makes it if there is none, and cuts it.
pub(super) fn open(path: &Path, durable: bool) -> Result<Opened, OpenError> {
    let failed = |error| OpenError::File { path: path.to_owned(), error };
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
    let mut length = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let mut holdings = Holdings::new();
    let failed_sidecar = |error| OpenError::Sidecar { path: sidecar::path_of(path), error };
    let known = if durable { sidecar::read(path).map_err(failed_sidecar)? } else { None };
    match known {
        Some(sidecar) => {
            if length < sidecar.offset {
                // Somebody rotated or emptied it. What it held is acknowledged and stays known.
                warn!(path = %path.display(), synced = sidecar.offset, found = length, "file is shorter than it was");
            }
            info!(
                path = %path.display(), cut = length.saturating_sub(sidecar.offset), records = sidecar.holdings.count(),
                "file cut to what was synced"
            );
            length = length.min(sidecar.offset);
            holdings = sidecar.holdings;
        }
        None => length = end_of_last_line(&mut file, length).map_err(failed)?,
    }
    file.set_len(length).map_err(failed)?;
    file.seek(SeekFrom::Start(length)).map_err(failed)?;
    if durable {
        file.sync_all().map_err(failed)?;
        sidecar::sync_directory(path).map_err(failed)?;
        // From here on the sidecar tells what to cut, even before the first sync point.
        sidecar::write(path, length, &holdings).map_err(|error| failed_sidecar(error.into()))?;
    }
    Ok(Opened { file, length, holdings })
}

/// Returns where the last whole line of `file` ends.
fn end_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        io::Read::by_ref(file).take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|&octet| octet == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(raw: i32) -> OpenError {
        OpenError::File { path: PathBuf::from("f"), error: io::Error::from_raw_os_error(raw) }
    }

    #[test]
    fn a_full_or_failing_disk_passes_and_a_wrong_path_does_not() {
        // EIO, EFBIG, ENOSPC, EDQUOT.
        for raw in [5, 27, 28, 122] {
            assert!(error(raw).passing().is_some(), "{raw}");
        }
        // ENOENT, EACCES, EISDIR, EROFS.
        for raw in [2, 13, 21, 30] {
            assert!(error(raw).passing().is_none(), "{raw}");
        }
    }
}
