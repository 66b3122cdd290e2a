//! Logs: `tracing` to standard error.

use std::fmt;
use std::io::{IsTerminal as _, stderr};
use std::str::FromStr;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::format::FmtSpan;

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
        .with_writer(stderr)
        .with_ansi(
            format == Format::Auto && stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        );
    let installed = match format {
        Format::Json => lines.json().flatten_event(true).try_init(),
        Format::Auto if std::env::var_os("JOURNAL_STREAM").is_some() => lines.without_time().try_init(),
        Format::Auto | Format::Plain => lines.try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!(error))
}
