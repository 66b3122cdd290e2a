//! The shell of a flowpool daemon: command line, configuration file, logs, metrics, HTTP, signals, service manager.
//!
//! A daemon implements [`Daemon`], and its `main` is one line. It gets the subcommands `run`, `check`, `config`, `doctor`,
//! `health`, `stats`, `completions` and `manual`, the options `--config FILE`, `--log-level LEVEL` and `--log-format FORMAT`, exit codes
//! ([`Exit`]), `/metrics`, `/livez` and `/readyz`, and `READY=1` to systemd when it becomes ready.
//!
#![doc = concat!("```no_run\n", include_str!("../examples/clock.rs"), "```")]
//!
//! A subcommand of its own is a variant of `Daemon::Command` (`Replay { file: PathBuf }`); `Daemon::command` gets it
//! together with a [`Shell`], which reads the configuration ([`Shell::config`]) and runs the daemon with a changed
//! one ([`Shell::run`]), or makes its own runtime.

pub mod client;
pub mod config;
pub mod page;
pub mod scrape;
pub mod top;

mod api;
mod cli;
mod doctor;
mod exit;
mod health;
mod http;
mod log;
mod metrics;
mod notify;
mod process;
mod reload;
mod shell;
mod shutdown;
mod stats;
mod utc;

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use serde::de::DeserializeOwned;

pub use api::{Api, ApiRequest, percent_decode};
pub use cli::{NoCommand, command};
pub use doctor::Findings;
pub use exit::{Exit, Failure, OrExit};
pub use health::{Condition, Health, PULSE_LIMIT, Pulse};
pub use http::HttpServer;
pub use log::hold_log;
pub use metrics::{DEFAULT_BUCKETS, Described, Metrics};
pub use reload::on_hangup;
pub use shell::{Shell, main, main_from};
pub use shutdown::Shutdown;
pub use utc::time_text;

/// One daemon, as the shell sees it.
pub trait Daemon: Sized + 'static {
    /// Name of the binary: `rserpool-registrar`.
    const NAME: &'static str;
    /// Name of its configuration file without `.toml`: `registrar`.
    const SHORT: &'static str;
    /// `env!("CARGO_PKG_VERSION")` of its package.
    const VERSION: &'static str;
    /// One line for `--help`.
    const ABOUT: &'static str;
    /// The annotated sample in `deploy/config`, by `include_str!`.
    const SAMPLE: &'static str;
    /// Keys and tables of the sample that are examples, not defaults: `pool.key-file`, `output`.
    const WITHOUT_DEFAULT: &'static [&'static str] = &[];
    /// Prefix of its metrics without the last underscore: `rserpool`.
    const METRICS_PREFIX: &'static str;
    /// Upper bounds of single histograms, by full name; others get [`DEFAULT_BUCKETS`].
    const BUCKETS: &'static [(&'static str, &'static [f64])] = &[];

    /// The configuration file.
    type Config: DeserializeOwned;
    /// Its own subcommands, or [`NoCommand`].
    type Command: clap::Subcommand;

    /// Where to serve HTTP; `None` serves nothing.
    fn http(config: &Self::Config) -> Option<config::Http>;

    /// Refuses values that are good each by itself and wrong together: all of them.
    fn validate(_config: &Self::Config, _faults: &mut config::Faults) {}

    /// Threads of the runtime; `None` is one per processor, and with one everything is on the calling thread.
    fn worker_threads(_config: &Self::Config) -> Option<NonZeroUsize> {
        None
    }

    /// Runs until the work is done or [`Shutdown::requested`] returns, cleans up, and returns.
    fn run(config: Self::Config, context: Context) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Looks at what the daemon needs of its host, for the subcommand `doctor`; the configuration, the HTTP port and the clock
    /// were looked at before. Takes some seconds at most.
    fn doctor(_config: Self::Config, _findings: &mut Findings) -> impl Future<Output = ()> {
        async {}
    }

    /// Runs a subcommand of its own. No runtime is running then.
    fn command(command: Self::Command, shell: &Shell) -> Result<(), Failure>;
}

/// What a running daemon gets from its shell.
#[derive(Clone, Debug)]
pub struct Context {
    /// Tells when to end.
    pub shutdown: Shutdown,
    /// What `/readyz` and `/livez` answer.
    pub health: Health,
    /// Where `counter!` and its kin record.
    pub metrics: Metrics,
    /// The bound address of the HTTP server.
    pub http: Option<SocketAddr>,
    /// Requests for the daemon itself.
    pub api: Api,
}

impl Context {
    /// A context without HTTP server and signals, for tests that run a daemon within their own process.
    pub fn detached() -> Self {
        let shutdown = Shutdown::new();
        let (health, metrics) = (Health::new(shutdown.clone()), Metrics::new(&[]));
        Self { health, shutdown, metrics, http: None, api: Api::default() }
    }
}
