//! What goes wrong with a spool.

use std::io;
use std::path::PathBuf;

/// Why a spool did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// There is no room: release, drop, or wait.
    #[error("the spool holds {held} of {capacity} octets")]
    Full {
        /// Octets held.
        held: u64,
        /// The limit.
        capacity: u64,
    },
    /// The sets do not fit an IPFIX message with its checksum.
    #[error("sets of {octets} octets, at most {} fit a message", crate::MAX_SETS)]
    TooLong {
        /// Their octets.
        octets: usize,
    },
    /// A file or the folder cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}
