//! Exit codes of every command, and the error that carries one.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::config::ConfigError;

/// Why a process ends; the numbers are those of sysexits where one fits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// The work is done, or a signal asked for the end and it was orderly.
    Done = 0,
    /// It failed, for a reason no other code names.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No registrar, or no running daemon, could be reached (one-shot commands; a daemon retries).
    Unavailable = 69,
    /// Reading or writing a file failed, or an address cannot be had.
    Io = 74,
    /// The operating system refused a permission.
    Permission = 77,
    /// The configuration file is missing, malformed or contradictory.
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error on its way to `main`, with the exit code it ends the process with.
///
/// Every error converts into it by `?`, with [`Exit::Failed`]; [`OrExit::or_exit`] names another code.
/// Like `anyhow::Error`, it is no `std::error::Error` itself.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
    /// The log has it already.
    reported: bool,
}

impl Failure {
    /// An end with `exit`, explained by `message`.
    pub fn new(exit: Exit, message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self { exit, error: anyhow::Error::msg(message), reported: false }
    }

    /// What the operating system refused while `doing` something: [`Exit::Permission`] or [`Exit::Io`].
    pub fn io(doing: impl fmt::Display + Send + Sync + 'static, error: io::Error) -> Self {
        Self::of(Exit::Io, anyhow::Error::from(error).context(doing))
    }

    /// A permission that was refused has its own exit code, whatever it was needed for.
    fn of(exit: Exit, error: anyhow::Error) -> Self {
        let denied = exit == Exit::Io && refusal(&error) == Some(io::ErrorKind::PermissionDenied);
        Self { exit: if denied { Exit::Permission } else { exit }, error, reported: false }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn reported(self) -> Self {
        Self { reported: true, ..self }
    }

    /// Prints the error unless the log has it. A configuration error is a report that brings its own "error:".
    pub(crate) fn print(&self) {
        if self.reported {
            return;
        }
        let prefix = if self.error.is::<ConfigError>() { "" } else { "error: " };
        eprintln!("{prefix}{self}");
    }
}

/// Prints the error and its causes, separated by colons, and how to mend what the operating system refused.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)?;
        match (self.exit, refusal(&self.error).and_then(advice)) {
            (Exit::Io | Exit::Permission, Some(advice)) => write!(f, " ({advice})"),
            _ => Ok(()),
        }
    }
}

/// What the operating system refused.
fn refusal(error: &anyhow::Error) -> Option<io::ErrorKind> {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

fn advice(refusal: io::ErrorKind) -> Option<&'static str> {
    match refusal {
        io::ErrorKind::AddrInUse => Some("ss -lpn shows who has it"),
        io::ErrorKind::AddrNotAvailable => Some("ip address shows those of this host"),
        io::ErrorKind::PermissionDenied => Some("let the user in who runs this daemon: chown, chmod"),
        io::ErrorKind::ReadOnlyFilesystem => Some("mount it writable, or name another place"),
        io::ErrorKind::StorageFull => Some("df shows which disk is full"),
        _ => None,
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: Exit::Failed, error: error.into(), reported: false }
    }
}

/// Gives an error an exit code other than [`Exit::Failed`].
pub trait OrExit<T> {
    /// Ends the process with `exit` if this is an error.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::of(exit, error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: io::ErrorKind, exit: Exit) -> Failure {
        let refused: Result<(), _> = Err(io::Error::from(kind));
        refused.or_exit(exit).unwrap_err()
    }

    #[test]
    fn a_refused_permission_has_its_own_exit_code_where_input_or_output_failed() {
        assert_eq!(failure(io::ErrorKind::PermissionDenied, Exit::Io).exit(), Exit::Permission);
        assert_eq!(failure(io::ErrorKind::PermissionDenied, Exit::Configuration).exit(), Exit::Configuration);
        assert_eq!(failure(io::ErrorKind::StorageFull, Exit::Io).exit(), Exit::Io);
    }

    #[test]
    fn what_the_operating_system_refused_is_told_with_what_was_done_and_how_to_mend_it() {
        let failure = Failure::io("[http] listen", io::ErrorKind::AddrInUse.into());
        assert_eq!(failure.to_string(), "[http] listen: address in use (ss -lpn shows who has it)");
        assert_eq!(failure.exit(), Exit::Io);
        let other = Failure::new(Exit::Failed, "it broke");
        assert_eq!(other.to_string(), "it broke");
    }
}
