//! Logs: `tracing` to standard error.

mod limited;
mod plain;

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IsTerminal as _, Write, stderr};
use std::os::unix::fs::MetadataExt as _;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Mutex;

use tracing::Level as Severity;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::format::{self, FmtSpan};
use tracing_subscriber::fmt::{FormatEvent, FormatFields, MakeWriter, SubscriberBuilder};

use limited::Limited;
pub(crate) use limited::tell_suppressed;
use plain::{Plain, Prefix};

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
/// The journal stamps lines itself, so they carry no time there, but their priority (sd-daemon(3)).
pub(crate) fn install(level: Option<&Level>, format: Format) -> anyhow::Result<()> {
    let from_env = std::env::var(LEVEL_VARIABLE).ok().filter(|level| !level.is_empty());
    let directives = level.map(|level| level.0.clone()).or(from_env).unwrap_or_else(|| "info".to_owned());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&directives)?)
        .with_span_events(FmtSpan::NONE)
        .with_writer(|| Out)
        .with_ansi(
            format == Format::Auto && stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        );
    let general = format::Format::default();
    match format {
        Format::Json => start(lines.json().flatten_event(true), directives),
        Format::Auto if is_journal() => {
            start(lines.event_format(Plain::new(general.without_time(), Prefix::Priority)), directives)
        }
        Format::Auto | Format::Plain => {
            start(lines.event_format(Plain::new(general, Prefix::Time)), directives)
        }
    }
}

/// Whether standard error is the journal's, which `JOURNAL_STREAM` names by device and inode (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(own) = std::fs::metadata("/proc/self/fd/2") else { return false };
    named == format!("{}:{}", own.dev(), own.ino())
}

fn start<N, E, W>(lines: SubscriberBuilder<N, E, EnvFilter, W>, directives: String) -> anyhow::Result<()>
where
    N: for<'a> FormatFields<'a> + Send + Sync + 'static,
    E: FormatEvent<Registry, N> + Send + Sync + 'static,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = lines.map_event_format(Limited).with_filter_reloading();
    let handle = lines.reload_handle();
    let set = move |filter: EnvFilter| handle.reload(filter).is_ok();
    lines.try_init().map_err(|error| anyhow::anyhow!(error))?;
    let mut verbosity = Verbosity { directives, debug: false, set: Box::new(set) };
    verbosity.apply();
    *VERBOSITY.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(verbosity);
    Ok(())
}

static VERBOSITY: Mutex<Option<Verbosity>> = Mutex::new(None);

/// Which lines are written, and how to change that.
struct Verbosity {
    directives: String,
    debug: bool,
    set: Box<dyn Fn(EnvFilter) -> bool + Send>,
}

impl Verbosity {
    fn apply(&mut self) {
        let directives = if self.debug { "debug" } else { &self.directives };
        let Ok(filter) = EnvFilter::try_new(directives) else { return };
        let most = filter.max_level_hint().and_then(LevelFilter::into_level);
        limited::write_all(most.is_none_or(|most| most >= Severity::DEBUG));
        (self.set)(filter);
    }
}

/// Turns DEBUG on, or what the command line says again. Returns whether it is on.
pub(crate) fn toggle_debug() -> bool {
    let mut verbosity = VERBOSITY.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    verbosity.as_mut().is_some_and(|verbosity| {
        verbosity.debug = !verbosity.debug;
        verbosity.apply();
        verbosity.debug
    })
}

/// Lines are held up to so many octets.
const MAX_HELD: usize = 64 << 10;

thread_local! {
    /// Lines that are held; where they come from is being polled on this thread.
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
    /// Empty; the room they had the last time.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs `future` and writes the log lines it made when it has ended, in one write, or where there are 64 KiB of them.
/// Lines of other tasks that come while it waits are written at once.
pub async fn hold_log<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut lines = Lines(ROOM.take());
    poll_fn(|context| {
        let _holding = Holding::begin(&mut lines);
        future.as_mut().poll(context)
    })
    .await
}

/// The lines are held while this lives.
struct Holding<'a> {
    lines: &'a mut Lines,
    outer: Option<Vec<u8>>,
}

impl<'a> Holding<'a> {
    fn begin(lines: &'a mut Lines) -> Holding<'a> {
        let outer = HELD.replace(Some(std::mem::take(&mut lines.0)));
        Holding { lines, outer }
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.lines.0 = HELD.replace(self.outer.take()).unwrap_or_default();
    }
}

/// What is held, written when dropped.
#[derive(Debug)]
struct Lines(Vec<u8>);

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            // As without holding: there is nowhere to tell that nothing can be told.
            let _ = stderr().write_all(&self.0);
        }
        self.0.clear();
        ROOM.set(std::mem::take(&mut self.0));
    }
}

/// Standard error, or what is held for it. Never fails: a full disk or a reader that is gone must not end a daemon, and
/// whoever is told of it has nowhere to tell it but standard error.
struct Out;

impl Write for Out {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.write_all(octets).map(|()| octets.len())
    }

    fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        HELD.with_borrow_mut(|held| {
            let Some(lines) = held else { return drop(stderr().write_all(octets)) };
            lines.extend_from_slice(octets);
            if lines.len() >= MAX_HELD {
                drop(stderr().write_all(&std::mem::take(lines)));
            }
        });
        Ok(())
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

    #[tokio::test]
    async fn lines_are_held_over_waits_and_those_of_others_are_not() {
        let hold = hold_log(async {
            writeln!(Out, "one").unwrap();
            tokio::task::yield_now().await;
            writeln!(Out, "two").unwrap();
            assert_eq!(held().as_deref(), Some("one\ntwo\n"));
            hold_log(async { writeln!(Out, "within").unwrap() }).await;
            assert_eq!(held().as_deref(), Some("one\ntwo\n"), "written by itself");
        });
        let other = async {
            assert_eq!(held(), None, "the other one waits");
        };
        tokio::join!(hold, other);
        assert_eq!(held(), None);
    }

    #[tokio::test]
    async fn after_a_panic_nothing_is_held() {
        let panics = tokio::spawn(hold_log(async {
            writeln!(Out, "the line before the panic").unwrap();
            panic!("on purpose");
        }));
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(held(), None);
    }

    #[tokio::test]
    async fn no_more_than_some_lines_are_held() {
        let line = format!("{}\n", "-".repeat(999));
        hold_log(async {
            for _ in 0..65 {
                Out.write_all(line.as_bytes()).unwrap();
            }
            assert_eq!(held().unwrap().len(), 65_000);
            Out.write_all(line.as_bytes()).unwrap();
            assert_eq!(held().as_deref(), Some(""), "all of them were written");
        })
        .await;
    }
}
