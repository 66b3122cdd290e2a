//! Opening a file: a durable one is cut to what its sidecar says, another one behind its last whole record.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use delivery::Holdings;
use delivery::sidecar::Sidecar;
use tracing::{info, warn};

use super::Format;
use super::parts::{self, Names};
use super::sidecar::{self, SidecarError};

/// Why an output cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The file.
    #[error("{}", .path.display())]
    File {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// Its sidecar.
    #[error("{}: {error}", .path.display())]
    Sidecar { path: PathBuf, error: SidecarError },
    /// Only a regular file can be synced and cut.
    #[error("{}: only a regular file can be durable or take turns with others", .path.display())]
    NotRegular { path: PathBuf },
}

impl OpenError {
    /// Returns the error of the disk if it may pass by itself or by making room: full, over quota, failing. Everything else is for
    /// the operator to mend before a start.
    pub(crate) fn passing(&self) -> Option<&io::Error> {
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
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Its length.
    pub(super) length: u64,
    /// The records in it and in those before it, as far as the sidecar knows.
    pub(super) holdings: Holdings,
}

/// Opens the file at `path`, makes it if there is none, and cuts it.
pub(super) fn open(path: &Path, durable: bool, format: &dyn Format) -> Result<Opened, OpenError> {
    let known = read_sidecar(path, durable)?;
    if let (Some(sidecar), Some(names)) = (&known, Names::of(path))
        && path.file_name().is_none_or(|name| name.to_string_lossy() != sidecar.file)
    {
        // It was rotated until now.
        finish_left(&names, Some(sidecar), format).map_err(failed(path))?;
    }
    let failed = failed(path);
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(&failed)?;
    let mut length = file.seek(SeekFrom::End(0)).map_err(&failed)?;
    let is_its =
        |sidecar: &Sidecar| path.file_name().is_some_and(|name| name.to_string_lossy() == sidecar.file);
    match &known {
        Some(sidecar) if is_its(sidecar) => length = synced_length(path, length, sidecar),
        _ => length = format.whole(&mut file, length).map_err(&failed)?,
    }
    let holdings = known.map(|sidecar| sidecar.holdings).unwrap_or_default();
    file.set_len(length).map_err(&failed)?;
    file.seek(SeekFrom::Start(length)).map_err(&failed)?;
    if durable {
        file.sync_all().map_err(&failed)?;
        sidecar::sync_directory(path).map_err(&failed)?;
        // From here on the sidecar tells what to cut, even before the first sync point.
        write_sidecar(path, path, length, &holdings)?;
    }
    Ok(Opened { path: path.to_owned(), file, length, holdings })
}

/// Finishes the parts that were not closed in order, and begins another, where the output at `base` is rotated.
pub(super) fn open_part(base: &Path, durable: bool, format: &dyn Format) -> Result<Opened, OpenError> {
    let names = Names::of(base).ok_or_else(|| OpenError::NotRegular { path: base.to_owned() })?;
    let known = read_sidecar(base, durable)?;
    finish_left(&names, known.as_ref(), format).map_err(failed(base))?;
    if let Some(sidecar) = known.as_ref().filter(|sidecar| names.is_base(&sidecar.file)) {
        // It was not rotated until now.
        cut(base, sidecar).map_err(failed(base))?;
    }
    let holdings = known.map(|sidecar| sidecar.holdings).unwrap_or_default();
    let (path, file) = parts::create(&names).map_err(failed(base))?;
    if durable {
        write_sidecar(base, &path, 0, &holdings)?;
    }
    Ok(Opened { path, file, length: 0, holdings })
}

/// Cuts and finishes parts that are still open: that of the sidecar behind what is synced, others behind what is whole.
///
/// A part older than the sidecar's is complete: it was left before its name was changed. One that is younger is empty: it was made
/// before the sidecar told of it.
fn finish_left(names: &Names, known: Option<&Sidecar>, format: &dyn Format) -> io::Result<()> {
    for path in names.open_parts()? {
        match known {
            Some(sidecar) if path.file_name().is_some_and(|name| name.to_string_lossy() == sidecar.file) => {
                cut(&path, sidecar)?;
            }
            _ => {
                let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
                let length = file.seek(SeekFrom::End(0))?;
                let whole = format.whole(&mut file, length)?;
                file.set_len(whole)?;
            }
        }
        let file = OpenOptions::new().write(true).open(&path)?;
        file.sync_all()?;
        let is_empty = file.metadata()?.len() == 0;
        if is_empty {
            fs::remove_file(&path)?;
        } else {
            parts::finish(&path)?;
        }
        sidecar::sync_directory(&path)?;
    }
    Ok(())
}

/// Cuts the file that the sidecar is about.
fn cut(path: &Path, sidecar: &Sidecar) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let length = file.metadata()?.len();
    file.set_len(synced_length(path, length, sidecar))?;
    file.sync_all()
}

/// Returns how much of a file of this length is synced, and says so.
fn synced_length(path: &Path, length: u64, sidecar: &Sidecar) -> u64 {
    if length < sidecar.offset {
        // Somebody rotated or emptied it. What it held is acknowledged and stays known.
        warn!(path = %path.display(), synced = sidecar.offset, found = length, "file is shorter than it was");
    }
    info!(
        path = %path.display(), cut = length.saturating_sub(sidecar.offset), records = sidecar.holdings.count(),
        "file cut to what was synced"
    );
    length.min(sidecar.offset)
}

fn read_sidecar(base: &Path, durable: bool) -> Result<Option<Sidecar>, OpenError> {
    let failed = |error| OpenError::Sidecar { path: sidecar::path_of(base), error };
    if durable { sidecar::read(base).map_err(failed) } else { Ok(None) }
}

fn write_sidecar(base: &Path, file: &Path, length: u64, holdings: &Holdings) -> Result<(), OpenError> {
    let written = sidecar::write(base, file, length, holdings);
    written.map_err(|error| OpenError::Sidecar { path: sidecar::path_of(base), error: error.into() })
}

fn failed(path: &Path) -> impl Fn(io::Error) -> OpenError {
    |error| OpenError::File { path: path.to_owned(), error }
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
