//! `ipfix-collector tap`: records of a running collector as they come, from its HTTP API.

use std::io::{self, Write};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use service::client::{Client, Target, percent_encode};
use service::{Exit, Failure, Shell};

use super::Filter;
use crate::Collector;

/// How long the collector may wait for a record.
const WAIT: Duration = Duration::from_secs(5);

/// The options of `tap`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Only records that match: conditions `ELEMENT OPERATOR VALUE`, joined by `and`
    ///
    /// Elements are called as in IANA's registry. Operators are = != < <= > >=; behind = and != there may be several values,
    /// separated by commas. Values are numbers, addresses and prefixes (10.0.0.0/8), MAC addresses, true and false, and
    /// texts (between quotation marks where they have blanks or commas).
    #[arg(long, value_name = "EXPR", default_value = "", hide_default_value = true)]
    filter: String,
    /// End after so many records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// One answer of `/api/v1/records`.
#[derive(Deserialize)]
struct Answer<'a> {
    next: u64,
    missed: u64,
    dropped: u64,
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

impl Arguments {
    /// Prints records until there were enough or nobody reads. What was not shown is told on standard error.
    pub(crate) fn run(&self, shell: &Shell) -> Result<(), Failure> {
        // Told before anybody is asked, and by a collector of another version too.
        Filter::parse(&self.filter)
            .map_err(|error| Failure::new(Exit::Usage, format!("--filter: {error}")))?;
        let client = self.target.client::<Collector>(shell)?;
        let filter = percent_encode(&self.filter);
        let mut shown = Shown { left: self.count, ..Shown::default() };
        let mut from = None;
        loop {
            let from_text = from.map_or_else(String::new, |from| format!("&from={from}"));
            let path = format!("/api/v1/records?filter={filter}{from_text}&wait={}", WAIT.as_secs());
            let body = client.get(&path, WAIT)?;
            let answer: Answer<'_> = serde_json::from_str(&body).map_err(|_| no_collector(&client))?;
            from = Some(answer.next);
            if !shown
                .print(&mut io::stdout().lock(), &answer)
                .map_err(|error| Failure::new(Exit::Io, error))?
            {
                return Ok(());
            }
        }
    }
}

fn no_collector(client: &Client) -> Failure {
    Failure::new(Exit::Failed, format!("{} is no collector", client.address()))
}

/// What was printed so far.
#[derive(Debug, Default)]
struct Shown {
    left: Option<u64>,
    /// What the collector had dropped at the last answer; none before the first.
    dropped: Option<u64>,
}

impl Shown {
    /// Prints an answer; returns whether more is wanted.
    fn print(&mut self, out: &mut impl Write, answer: &Answer<'_>) -> io::Result<bool> {
        let before = self.dropped.replace(answer.dropped).unwrap_or(answer.dropped);
        // An answer of a filter that began anew counts from nothing.
        let not_shown = answer.missed + answer.dropped.checked_sub(before).unwrap_or(answer.dropped);
        if not_shown > 0 {
            eprintln!("{not_shown} more records matched and are not shown: too many at once");
        }
        for record in &answer.records {
            if self.left == Some(0) {
                return Ok(false);
            }
            match writeln!(out, "{record}") {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                written => written?,
            }
            self.left = self.left.map(|left| left - 1);
        }
        match out.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            flushed => flushed?,
        }
        Ok(self.left != Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_records_are_printed_as_are_wanted() {
        let body = r#"{"next":9,"missed":2,"dropped":5,"records":[{"a":1},{"b":2},{"c":3}]}"#;
        let answer: Answer<'_> = serde_json::from_str(body).unwrap();
        let (mut all, mut shown) = (Vec::new(), Shown::default());
        assert!(shown.print(&mut all, &answer).unwrap());
        assert_eq!(all, b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
        let (mut some, mut shown) = (Vec::new(), Shown { left: Some(2), dropped: None });
        assert!(!shown.print(&mut some, &answer).unwrap());
        assert_eq!(some, b"{\"a\":1}\n{\"b\":2}\n");
        assert_eq!(shown.dropped, Some(5));
    }
}
