//! The subcommand `elements`.

use rserpool_proto::PoolHandle;
use serde_json::{Value, json};
use service::{Exit, Failure, OrExit as _};

use super::http::{Http, encode, list, text};
use super::{Output, table};

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
    let header = ["PE", "STATE", "HOME", "TRANSPORT", "POLICY", "NOTE"];
    let rows = list(&answer, "elements").iter().chain(list(&answer, "gone")).map(row);
    arguments.output.print(&answer, || table(header, rows))
}

/// Reads page after page; an element that comes or goes meanwhile is in the answer or not.
fn all_pages(http: &Http, pool: &PoolHandle) -> Result<Value, Failure> {
    let path = format!("pools/{}/elements", encode(pool.as_octets()));
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

fn row(element: &Value) -> [String; 6] {
    let [pe, state, home, policy] = ["pe", "state", "home", "policy"].map(|key| text(element, key));
    let note = match element.get("reason").and_then(Value::as_str) {
        Some(reason) => format!("{reason} {} s ago", text(element, "seconds-ago")),
        None => text(element, "peer"),
    };
    [pe, state, home, transport(element), policy, note]
}

/// `sctp 192.0.2.1,192.0.2.2 port 4739`.
fn transport(element: &Value) -> String {
    let transport = element.get("transport").unwrap_or(&Value::Null);
    let addresses: Vec<&str> = list(transport, "addresses").iter().filter_map(Value::as_str).collect();
    format!("{} {} port {}", text(transport, "protocol"), addresses.join(","), text(transport, "port"))
}
