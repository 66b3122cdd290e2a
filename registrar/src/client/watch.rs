//! The subcommand `watch`: one line for each change.

use serde_json::Value;
use service::Failure;

use super::http::{Http, list, text};
use super::{Form, print};

/// The command line of `watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rserpool-registrar watch --recent")]
pub struct Arguments {
    #[command(flatten)]
    http: Http,
    /// Begin with the changes the registrar still knows, the last 1000 at most
    #[arg(long)]
    recent: bool,
    /// End after so many changes
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
    /// Form of the output: a line of text, or of JSON, for each change
    #[arg(long, value_name = "FORM", default_value = "table")]
    output: Form,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut after = match arguments.recent {
        true => 0,
        false => last(&arguments.http.get("changes?after=18446744073709551615&wait=0")?),
    };
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        let answer = arguments.http.get(&format!("changes?after={after}&wait=20"))?;
        for change in list(&answer, "changes") {
            print(&match arguments.output {
                Form::Json => format!("{change}\n"),
                Form::Table => line(change),
            })?;
            left -= 1;
            if left == 0 {
                break;
            }
        }
        after = last(&answer);
    }
    Ok(())
}

/// Returns the number of the latest change.
fn last(answer: &Value) -> u64 {
    answer.get("last").and_then(Value::as_u64).unwrap_or(0)
}

/// `2026-03-01T12:00:00Z ipfix 000000a1 removed: unreachable`.
fn line(change: &Value) -> String {
    let [time, pool, pe, event] = ["time", "pool", "pe", "event"].map(|key| text(change, key));
    let what = match text(change, "reason") {
        none if none.is_empty() => event,
        reason => format!("{event}: {reason}"),
    };
    let subject = if pool.is_empty() { text(change, "registrar") } else { format!("{pool} {pe}") };
    format!("{time} {subject} {what}\n")
}
