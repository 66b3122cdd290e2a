//! The RSerPool registrar: keeps the handlespace and resolves pool handles (RFC 5352).
//!
//! One machine ([`rserpool_proto::registrar::Registrar`]) in one task decides; associations, listeners, metrics, the
//! operator's view and the clock stand around it ([`run`]). The operator reads over HTTP, commands over a Unix socket,
//! and finds every registration, removal and takeover in the audit log.

mod audit;
mod client;
mod config;
mod control;
mod doctor;
mod driver;
mod metrics;
mod remotes;
mod text;
mod view;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use service::config::{Faults, Http};
use service::{Context, Daemon, Failure, Findings, Shell};

pub use client::Command;
pub use config::{
    Access, Addresses, Announce, Config, Control, Enrp, Id, Limits, Listen, Peer, Registration,
};
pub use driver::{run, run_with};

/// The annotated configuration.
pub const SAMPLE: &str = include_str!("../../deploy/config/registrar.toml");

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    service::main::<RegistrarDaemon>()
}

/// Runs a command line; its first word is the name the program was called by.
pub fn main_from(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    service::main_from::<RegistrarDaemon>(arguments)
}

/// The registrar as the shell of the daemons sees it.
#[derive(Debug)]
pub struct RegistrarDaemon;

impl Daemon for RegistrarDaemon {
    const NAME: &'static str = "rserpool-registrar";
    const SHORT: &'static str = "registrar";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str =
        "Keeps track of the servers of each pool and tells clients who they are (RSerPool)";
    const SAMPLE: &'static str = SAMPLE;
    const METRICS_PREFIX: &'static str = "rserpool";
    const BUCKETS: &'static [(&'static str, &'static [f64])] =
        &[(metrics::RESOLUTION_DURATION, metrics::RESOLUTION_BUCKETS)];

    type Config = Config;
    type Command = Command;

    fn http(config: &Config) -> Option<Http> {
        Some(config.http)
    }

    /// All decisions are one task's: a second thread would only be woken, for each message anew.
    fn worker_threads(_: &Config) -> Option<NonZeroUsize> {
        NonZeroUsize::new(1)
    }

    fn validate(config: &Config, faults: &mut Faults) {
        config::validate(config, faults);
    }

    async fn run(config: Config, context: Context) -> Result<(), Failure> {
        run(config, context).await
    }

    async fn doctor(config: Config, findings: &mut Findings) {
        doctor::examine(&config, findings).await;
    }

    fn command(command: Command, _shell: &Shell) -> Result<(), Failure> {
        command.run()
    }
}
