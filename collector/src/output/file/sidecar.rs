//! The sidecar of a durable output, `PATH.durable`: up to which octet its open file is synced, and which records stand before
//! that, in this file and in those finished before it.
//!
//! It is replaced as a whole (written under another name, synced, renamed, directory synced), so that what it says always
//! holds, whenever the process or the machine stops. Its form is [`delivery::sidecar`]'s.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use delivery::Holdings;
use delivery::sidecar::Sidecar;

/// Why a sidecar cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SidecarError {
    /// Reading it failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a sidecar, or not a whole one.
    #[error(transparent)]
    Content(#[from] delivery::sidecar::SidecarError),
}

/// Returns where the sidecar of `file` is.
pub(super) fn path_of(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".durable");
    file.with_file_name(name)
}

/// Reads the sidecar of `file`; `None` when there is none.
pub(super) fn read(file: &Path) -> Result<Option<Sidecar>, SidecarError> {
    match fs::read(path_of(file)) {
        Ok(octets) => Ok(Some(Sidecar::decode(&octets)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the sidecar of the output at `base`, whose open file is `file`; when this returns, it is on disk. The file itself
/// must be synced before.
pub(super) fn write(base: &Path, file: &Path, offset: u64, held: &Holdings) -> io::Result<()> {
    let path = path_of(base);
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sidecar = Sidecar { file: name, offset, holdings: held.clone() };
    let temporary = path.with_extension("durable.new");
    let mut new = File::create(&temporary)?;
    new.write_all(&sidecar.encode())?;
    new.sync_all()?;
    fs::rename(&temporary, &path)?;
    sync_directory(&path)
}

/// Makes names in the directory of `path` durable.
pub(in crate::output) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
