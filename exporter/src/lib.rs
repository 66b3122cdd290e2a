//! The IPFIX exporter: meters packets into flows and streams them to a collector pool.
//!
//! A packet's way: [`capture`] reads it, [`packet`] parses its headers, [`metering`] makes flow records of
//! packets, [`export`] encodes them; all that is the thread in [`observe`]. [`failover`] decides what is sent
//! to which collector and what is sent again; [`driver`] has the sockets and the clock. [`direct`] stands in for both
//! where one collector gets everything over UDP; [`relay`] for packets and meter, where routers send flows.

pub mod capture;
pub mod config;
pub mod direct;
mod doctor;
pub mod driver;
pub mod export;
pub mod failover;
pub mod metering;
pub mod metrics;
pub mod observe;
pub mod packet;
pub mod relay;
pub mod replay;
pub mod spooling;
pub mod state;
mod status;
mod top;

use std::ffi::OsString;
use std::process::ExitCode;

use service::{Context, Exit, Failure, OrExit as _, Shell};

use config::Destination;

/// What the exporter does besides running as a daemon.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Read captures as fast as possible and export their flows, to the configured pool or into an IPFIX file
    #[command(
        after_help = "Example:\n  ipfix-exporter replay monday.pcap tuesday.pcap --output week.ipfix\n  \
                            ipfix-exporter replay --config exporter.toml '/var/pcap/*.pcapng'"
    )]
    Replay(replay::Replay),
    /// Show what a running exporter does, again and again: collectors, rates, classes, failovers
    #[command(after_help = "Example:\n  ipfix-exporter top --url 127.0.0.1:9382 --once")]
    Top(service::top::Arguments),
}

/// The exporter as its shell sees it.
#[derive(Debug)]
pub struct Daemon;

impl service::Daemon for Daemon {
    const NAME: &'static str = "ipfix-exporter";
    const SHORT: &'static str = "exporter";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "Meters packets into flows and streams them to a collector pool";
    const SAMPLE: &'static str = include_str!("../../deploy/config/exporter.toml");
    const WITHOUT_DEFAULT: &'static [&'static str] =
        &["source", "relay", "pool.key-file", "state.directory", "class"];
    const METRICS_PREFIX: &'static str = "ipfix_exporter";
    const BUCKETS: &'static [(&'static str, &'static [f64])] =
        &[(metrics::FAILOVER_DURATION, metrics::FAILOVER_BUCKETS)];

    type Config = config::Config;
    type Command = Command;

    fn http(config: &Self::Config) -> Option<service::config::Http> {
        Some(config.http)
    }

    fn validate(config: &Self::Config, faults: &mut service::config::Faults) {
        config::validate(config, faults);
    }

    async fn run(config: Self::Config, context: Context) -> Result<(), Failure> {
        match config.destination().or_exit(Exit::Configuration)? {
            Destination::Pool(pool) => driver::run(&config, pool, context).await,
            Destination::Udp(udp) => direct::run(&config, udp, context).await,
        }
    }

    async fn doctor(config: Self::Config, findings: &mut service::Findings) {
        doctor::examine(&config, findings).await;
    }

    fn command(command: Command, shell: &Shell) -> Result<(), Failure> {
        match command {
            Command::Replay(replay) => replay.run(shell),
            Command::Top(arguments) => top::run(&arguments, shell),
        }
    }
}

/// Runs the command line `arguments`, the first of which is the name of the program.
pub fn main_from(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    service::main_from::<Daemon>(arguments)
}
