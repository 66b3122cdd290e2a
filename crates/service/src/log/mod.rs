//! Logs: `tracing` to standard error.

mod plain;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal as _, Write, stderr};
use std::marker::PhantomData;
use std::str::FromStr;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::format::{self, FmtSpan};

use plain::Plain;

/// The environment variable that sets the level where `--log-level` does not.
pub(crate) const LEVEL_VARIABLE: &str = "FLOWPOOL_LOG";

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Colours on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// Lines without colours
    Plain,
    /// One JSON object per line
    Json,
}

/// Which lines are logged: a level, or directives of `tracing_subscriber::EnvFilter`.
#[derive(Clone, Debug)]
pub(crate) struct Level(String);

impl FromStr for Level {
    type Err = ParseError;

    fn from_str(directives: &str) -> Result<Self, ParseError> {
        EnvFilter::try_new(directives)?;
        Ok(Self(directives.to_owned()))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Installs the subscriber of this process. `level` is the flag's; the environment and `info` stand behind it.
/// The journal stamps lines itself, so they carry no time there.
pub(crate) fn install(level: Option<&Level>, format: Format) -> anyhow::Result<()> {
    let from_env = std::env::var(LEVEL_VARIABLE).ok().filter(|level| !level.is_empty());
    let directives = level.map(|level| level.0.clone()).or(from_env).unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(&directives)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_writer(|| Lines)
        .with_ansi(
            format == Format::Auto && stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        );
    let installed = match format {
        Format::Json => lines.json().flatten_event(true).try_init(),
        Format::Auto if std::env::var_os("JOURNAL_STREAM").is_some() => {
            lines.event_format(Plain::new(format::Format::default().without_time(), false)).try_init()
        }
        Format::Auto | Format::Plain => {
            lines.event_format(Plain::new(format::Format::default(), true)).try_init()
        }
    };
    installed.map_err(|error| anyhow::anyhow!(error))
}

/// Lines are held up to so many octets.
const MAX_HELD: usize = 64 << 10;

thread_local! {
    /// Lines of this thread that are held.
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
    /// Empty; the room they had the last time.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Holds the log lines of this thread, so that those of one turn are one write: until it is dropped, or until there
/// are 64 KiB of them. Does nothing where another one holds them already.
#[derive(Debug)]
pub struct HeldLog {
    first: bool,
    /// It belongs to its thread.
    _thread: PhantomData<*const ()>,
}

/// Begins to hold the log lines of this thread. Never wait for anything before it is dropped.
#[must_use]
pub fn hold_log() -> HeldLog {
    let first = HELD.with_borrow_mut(|held| {
        let first = held.is_none();
        held.get_or_insert_with(|| ROOM.take());
        first
    });
    HeldLog { first, _thread: PhantomData }
}

impl Drop for HeldLog {
    fn drop(&mut self) {
        if self.first
            && let Some(mut lines) = HELD.with_borrow_mut(Option::take)
        {
            if !lines.is_empty() {
                // As without holding: there is nowhere to tell that nothing can be told.
                let _ = stderr().write_all(&lines);
            }
            lines.clear();
            ROOM.set(lines);
        }
    }
}

/// Standard error, or what is held for it.
struct Lines;

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.write_all(octets).map(|()| octets.len())
    }

    fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        HELD.with_borrow_mut(|held| {
            let Some(lines) = held else { return stderr().write_all(octets) };
            lines.extend_from_slice(octets);
            if lines.len() < MAX_HELD { Ok(()) } else { stderr().write_all(&std::mem::take(lines)) }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Option<String> {
        HELD.with_borrow(|held| held.as_deref().map(|lines| String::from_utf8_lossy(lines).into_owned()))
    }

    #[test]
    fn lines_are_held_until_the_first_holder_is_dropped() {
        let first = hold_log();
        writeln!(Lines, "one").unwrap();
        let second = hold_log();
        writeln!(Lines, "two").unwrap();
        drop(second);
        assert_eq!(held().as_deref(), Some("one\ntwo\n"));
        drop(first);
        assert_eq!(held(), None);
    }

    #[test]
    fn no_more_than_some_lines_are_held() {
        let _held = hold_log();
        let line = format!("{}\n", "-".repeat(999));
        for _ in 0..65 {
            Lines.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(held().unwrap().len(), 65_000);
        Lines.write_all(line.as_bytes()).unwrap();
        assert_eq!(held().as_deref(), Some(""), "all of them were written");
    }
}
