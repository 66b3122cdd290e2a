//! The subcommand `pools`.

use serde_json::Value;
use service::Failure;

use super::http::{Http, list, text};
use super::{Output, table};

/// The command line of `pools`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rserpool-registrar pools --http 127.0.0.1:9380")]
pub struct Arguments {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let answer = arguments.http.get("pools")?;
    let header = ["POOL", "POLICY", "TRANSPORT", "UP", "SUSPECT", "DRAINING"];
    arguments.output.print(&answer, || table(header, list(&answer, "pools").iter().map(row)))
}

fn row(pool: &Value) -> [String; 6] {
    ["pool", "policy", "transport", "up", "suspect", "draining"].map(|key| text(pool, key))
}
