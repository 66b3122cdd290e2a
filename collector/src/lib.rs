//! The IPFIX collector: a pool element that decodes, stores and acknowledges flow records.
//!
//! A message's way: `driver` accepts the association → `session` reads the message → `session/decoder` makes lines of
//! its records (`json`) → `output/queue` → `output/jsonl` writes, syncs and replaces the sidecar → `session/acks` tells the
//! exporter in a cookie.

mod config;
mod driver;
mod json;
mod metrics;
mod output;
mod session;

pub use config::Config;
use service::config::{Http, Invalid};
use service::{Context, Daemon, Failure, NoCommand, Shell};

/// The daemon `ipfix-collector`; [`service::main`] runs it.
#[derive(Debug)]
pub struct Collector;

impl Daemon for Collector {
    const NAME: &'static str = "ipfix-collector";
    const SHORT: &'static str = "collector";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "Collects IPFIX flow records as an element of a pool";
    const SAMPLE: &'static str = include_str!("../../deploy/config/collector.toml");
    const METRICS_PREFIX: &'static str = "ipfix_collector";
    const BUCKETS: &'static [(&'static str, &'static [f64])] = metrics::BUCKETS;

    type Config = Config;
    type Command = NoCommand;

    fn http(config: &Config) -> Option<Http> {
        Some(config.http)
    }

    fn validate(config: &Config) -> Result<(), Invalid> {
        config.validate()
    }

    async fn run(config: Config, context: Context) -> Result<(), Failure> {
        driver::run(config, context).await
    }

    fn command(command: NoCommand, _shell: &Shell) -> Result<(), Failure> {
        match command {}
    }
}
