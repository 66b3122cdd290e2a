//! The IPFIX collector: a pool element that decodes, stores and acknowledges flow records.
//!
//! A message's way: `driver` accepts the association → `session` reads the message → `session/decoder` renders its records in
//! the forms that outputs need (`output/form`, `json`) → `output/queue` → `output/file` writes, syncs and replaces the sidecar →
//! `session/acks` tells the exporter in a cookie. `udp` reads datagrams instead, of NetFlow too (`netflow`), and hands on without waiting.
//! `registration` keeps the collector in its pools; `cards` are what it tells its exporters of the others there; `stats` shows the books.
//! `status` shows the rest: the page, the API behind it; `tap` looks at records as they pass; `top` is the page on a terminal.

mod cards;
mod config;
mod decode;
mod dedupe;
mod doctor;
mod driver;
mod json;
mod metadata;
mod metrics;
mod output;
mod policy;
mod registration;
mod session;
mod standing;
mod stats;
mod status;
mod tap;
mod top;
mod udp;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

pub use config::Config;
pub use decode::Format as DecodeFormat;
use service::config::{Faults, Http};
use service::{Context, Daemon, Exit, Failure, Findings, OrExit as _, Shell};
pub use tap::command::Arguments as TapArguments;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    service::main::<Collector>()
}

/// Runs a command line; its first word is the name the program was called by.
pub fn main_from(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    service::main_from::<Collector>(arguments)
}

/// The daemon `ipfix-collector`; [`service::main`] runs it.
#[derive(Debug)]
pub struct Collector;

impl Daemon for Collector {
    const NAME: &'static str = "ipfix-collector";
    const SHORT: &'static str = "collector";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "Collects IPFIX flow records as an element of a pool";
    const SAMPLE: &'static str = include_str!("../../deploy/config/collector.toml");
    const WITHOUT_DEFAULT: &'static [&'static str] = &["pool.policy", "output"];
    const METRICS_PREFIX: &'static str = "ipfix_collector";
    const BUCKETS: &'static [(&'static str, &'static [f64])] = metrics::BUCKETS;

    type Config = Config;
    type Command = Command;

    fn http(config: &Config) -> Option<Http> {
        Some(config.http)
    }

    fn validate(config: &Config, faults: &mut Faults) {
        config.validate(faults);
    }

    async fn run(config: Config, context: Context) -> Result<(), Failure> {
        driver::run(config, context).await
    }

    async fn doctor(config: Config, findings: &mut Findings) {
        doctor::examine(&config, findings).await;
    }

    fn command(command: Command, shell: &Shell) -> Result<(), Failure> {
        let done = match command {
            Command::Top(top) => return top.run::<Collector>(shell, top::picture),
            Command::Tap(tap) => return tap.run(shell),
            Command::Decode { file, format, split_biflows } => {
                decode::run(&file, decode::Options { format, split_biflows })
            }
            Command::Dedupe { files } => dedupe::run(&files),
        };
        match done {
            // A reader such as `head` that has seen enough is no error.
            Err(error) if is_broken_pipe(&error) => Ok(()),
            done => done.or_exit(Exit::Io),
        }
    }
}

/// What the collector's binary can do besides collecting.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the records of a file of IPFIX or NetFlow messages, or of a packet capture
    ///
    /// A capture is a pcap or pcapng file; IPFIX is found in it over UDP, TCP and SCTP, NetFlow 5, 7 and 9 over UDP, whatever the ports.
    /// NetFlow is printed as the collector would write it. What could not be read is told on standard error.
    #[command(
        after_help = "Examples:\n  ipfix-collector decode flows.ipfix | head\n  ipfix-collector decode --format text capture.pcap\n  zstdcat flows.ipfix.zst | ipfix-collector decode -"
    )]
    Decode {
        /// The file; `-` is standard input
        file: PathBuf,
        /// How to print records
        #[arg(long, value_enum, default_value_t)]
        format: DecodeFormat,
        /// Print a biflow (RFC 5103) as two uniflows, the second with `"direction":"reverse"`; JSON only
        #[arg(long)]
        split_biflows: bool,
    },
    /// Show sessions, outputs and talkers of a running collector, again and again
    ///
    /// On a terminal until Ctrl-C; elsewhere as plain text. Talkers are told on the collector's own host only.
    #[command(
        after_help = "Examples:\n  ipfix-collector top\n  ipfix-collector top --url http://127.0.0.1:9381 --once\n  ipfix-collector top --once --output json | jq '.sessions.sessions[].peer'"
    )]
    Top(service::top::Arguments),
    /// Print records of a running collector as they come, as lines of JSON
    ///
    /// On the collector's own host only: flows are personal data. At most 2,000 records a second are shown; how many more
    /// matched is told on standard error. The collector waits for nobody.
    #[command(
        after_help = "Examples:\n  ipfix-collector tap --count 10\n  ipfix-collector tap --filter 'destinationTransportPort = 53,853 and protocolIdentifier = 17'\n  ipfix-collector tap --filter 'sourceIPv4Address = 10.0.0.0/8 and octetDeltaCount >= 1000000' | jq .exporter"
    )]
    Tap(TapArguments),
    /// Print the lines of several collectors' files, each record once by its identity
    ///
    /// Lines without identity are printed as they are. The files are read once, line by line, so that they may be pipes; memory grows with
    /// the gaps between numbers, not with the records. Counts are printed on standard error.
    #[command(
        after_help = "Example:\n  ipfix-collector dedupe /srv/a/flows.jsonl /srv/b/flows.jsonl > flows.jsonl"
    )]
    Dedupe {
        /// The files, in the order to be printed; `-` is standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
