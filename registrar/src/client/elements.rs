//! The subcommand `elements`.

use rserpool_proto::PoolHandle;
use serde_json::{Value, json};
use service::{Exit, Failure, OrExit as _};

use super::http::{Http, list, text};
use super::{Output, table};
use crate::text::{path_segment, value_text};

/// The command line of `elements`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rserpool-registrar elements ipfix --output json")]
pub struct Arguments {
    /// Handle of the pool
    #[arg(value_name = "POOL")]
    pool: String,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let pool = PoolHandle::new(&arguments.pool).or_exit(Exit::Usage)?;
    let answer = all_pages(&arguments.http, &pool)?;
    let header = ["PE", "STATE", "LOAD", "HEARD", "HOME", "TRANSPORT", "POLICY", "NOTE"];
    let rows = list(&answer, "elements").iter().chain(list(&answer, "gone")).map(row);
    arguments.output.print(&answer, || table(header, rows))
}

/// Reads page after page; an element that comes or goes meanwhile is in the answer or not.
fn all_pages(http: &Http, pool: &PoolHandle) -> Result<Value, Failure> {
    let path = format!("pools/{}/elements", path_segment(pool.as_octets()));
    let mut answer = http.get(&path)?;
    let mut elements = list(&answer, "elements").to_vec();
    let mut next = text(&answer, "next");
    while !next.is_empty() {
        let page = http.get(&format!("{path}?after={next}"))?;
        elements.extend_from_slice(list(&page, "elements"));
        next = text(&page, "next");
    }
    answer["elements"] = json!(elements);
    answer["next"] = Value::Null;
    Ok(answer)
}

fn row(element: &Value) -> [String; 8] {
    let [pe, state, home, policy] = ["pe", "state", "home", "policy"].map(|key| text(element, key));
    let note = match element.get("reason").and_then(Value::as_str) {
        Some(reason) => format!("{reason} {} s ago", text(element, "seconds-ago")),
        None => text(element, "peer"),
    };
    let load = element.get("load").and_then(Value::as_f64);
    let load = load.map_or_else(String::new, |load| format!("{:.1}%", load * 100.0));
    let heard = match text(element, "seconds-since-keep-alive") {
        never if never.is_empty() => never,
        seconds => format!("{seconds} s ago"),
    };
    let transport = element.get("transport").map(value_text).unwrap_or_default();
    [pe, state, load, heard, home, transport, policy, note]
}
