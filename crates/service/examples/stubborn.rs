//! A daemon that ignores the request to end, and has a subcommand of its own.

use serde::Deserialize;
use service::config::Http;
use service::{Context, Daemon, Exit, Failure, Shell};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Config {
    word: String,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the configured word and fail with an I/O error
    Say {
        /// How often
        #[arg(default_value_t = 1)]
        times: usize,
    },
}

struct Stubborn;

impl Daemon for Stubborn {
    const NAME: &'static str = "flowpool-stubborn";
    const SHORT: &'static str = "stubborn";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "Ignores SIGTERM";
    const SAMPLE: &'static str = "word = \"no\"\n";
    const METRICS_PREFIX: &'static str = "stubborn";
    type Config = Config;
    type Command = Command;

    fn http(_config: &Config) -> Option<Http> {
        None
    }

    async fn run(_config: Config, _context: Context) -> Result<(), Failure> {
        std::future::pending().await
    }

    fn command(command: Command, shell: &Shell) -> Result<(), Failure> {
        let Command::Say { times } = command;
        let config = shell.config::<Self>()?;
        println!("{}", config.word.repeat(times));
        Err(Failure::new(Exit::Io, "nothing was written"))
    }
}

fn main() -> std::process::ExitCode {
    service::main::<Stubborn>()
}
