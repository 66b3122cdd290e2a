//! Exit codes of every command, and the error that carries one.

use std::fmt;
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
    /// No registrar could be reached (one-shot commands; a daemon retries).
    Unavailable = 69,
    /// Reading or writing a file failed.
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

/// Prints the error and its causes, separated by colons.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
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
        self.map_err(|error| Failure { exit, error: error.into(), reported: false })
    }
}
