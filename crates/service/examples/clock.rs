//! A complete daemon that ticks.

use std::time::Duration;

use serde::Deserialize;
use service::config::{Faults, Http, Period};
use service::{Context, Daemon, Failure, NoCommand, Shell};

/// Every key is optional: the container's `default` takes missing ones from `Default`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Config {
    interval: Period,
    http: Http,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Period::seconds(15), http: Http::loopback(9380) }
    }
}

struct Clock;

impl Daemon for Clock {
    const NAME: &'static str = "flowpool-clock";
    const SHORT: &'static str = "clock";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "Ticks until it is told to stop";
    const SAMPLE: &'static str = "# How often it ticks. Default: 15s, at least 1s.\ninterval = \"15s\"\n"; // include_str!
    const METRICS_PREFIX: &'static str = "clock";
    type Config = Config;
    type Command = NoCommand; // or an enum deriving clap::Subcommand

    fn http(config: &Config) -> Option<Http> {
        Some(config.http)
    }

    fn validate(config: &Config, faults: &mut Faults) {
        if config.interval.0 < Duration::from_secs(1) {
            faults.add("interval", "must be at least 1s");
        }
    }

    async fn run(config: Config, context: Context) -> Result<(), Failure> {
        let [ticking] = context.health.conditions(["ticking"]); // all of them, before the first await
        let ticks = metrics::counter!("clock_ticks_total"); // handles are made once
        let mut timer = tokio::time::interval(config.interval.0);
        loop {
            tokio::select! {
                _ = timer.tick() => {
                    ticks.increment(1);
                    ticking.met(); // or ticking.unmet("waiting for a registrar")
                }
                () = context.shutdown.requested() => break, // SIGTERM or SIGINT
            }
        }
        // Orderly end here; the process exits when `run` returns. `?` on any error exits 1,
        // `.or_exit(Exit::Io)?` exits 74.
        Ok(())
    }

    fn command(command: NoCommand, _shell: &Shell) -> Result<(), Failure> {
        match command {}
    }
}

fn main() -> std::process::ExitCode {
    service::main::<Clock>()
}
