//! The subcommand `peers`.

use serde_json::Value;
use service::Failure;

use super::http::{Http, list, text};
use super::{Output, table};

/// The command line of `peers`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rserpool-registrar peers --http 127.0.0.1:9380")]
pub struct Arguments {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let answer = arguments.http.get("peers")?;
    let header = ["REGISTRAR", "STATE", "ADDRESSES", "ELEMENTS", "CHECKSUM", "HEARD", "LONG ID"];
    arguments.output.print(&answer, || table(header, list(&answer, "peers").iter().map(row)))
}

fn row(peer: &Value) -> [String; 7] {
    let addresses: Vec<&str> = list(peer, "addresses").iter().filter_map(Value::as_str).collect();
    let (told, held) = (text(peer, "checksum-told"), text(peer, "checksum-held"));
    let checksum = if told == held { told } else { format!("{told}, here {held}") };
    let heard = match text(peer, "seconds-since-heard") {
        never if never.is_empty() => "never".to_owned(),
        seconds => format!("{seconds} s ago"),
    };
    let [id, state, elements, long] = ["id", "state", "elements", "long-id"].map(|key| text(peer, key));
    [id, state, addresses.join(","), elements, checksum, heard, long]
}
