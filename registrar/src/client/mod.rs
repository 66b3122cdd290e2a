//! The subcommands that ask a running registrar: over ASAP ([`resolve`]), over its HTTP API (what it has, and what
//! changes), and over its control socket ([`drain`]).
//!
//! Exit codes: 0 done, 1 the registrar says no, 69 it was not reached.

mod drain;
mod elements;
mod http;
mod peers;
mod pools;
mod resolve;
mod watch;

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::Value;
use service::{Exit, Failure, OrExit as _};

/// The registrar's own subcommands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the pools a registrar has
    Pools(pools::Arguments),
    /// List the elements of a pool with their states; those that have left for 5 minutes with the reason
    Elements(elements::Arguments),
    /// Print what changes in the pools, as it happens
    Watch(watch::Arguments),
    /// List the registrars this one replicates with
    Peers(peers::Arguments),
    /// Take a pool element out of selection, or put it back
    Drain(drain::Arguments),
    /// Ask a registrar for the elements of a pool, as a pool user does, and print them
    Resolve(resolve::Arguments),
}

impl Command {
    /// Runs it.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match self {
            Command::Pools(arguments) => pools::run(arguments),
            Command::Elements(arguments) => elements::run(arguments),
            Command::Watch(arguments) => watch::run(arguments),
            Command::Peers(arguments) => peers::run(arguments),
            Command::Drain(arguments) => drain::run(arguments),
            Command::Resolve(arguments) => resolve::run(arguments),
        }
    }
}

/// How a command prints.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Form {
    /// Aligned columns
    Table,
    /// JSON
    Json,
}

/// How a command prints what it has.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Output {
    /// Form of the output
    #[arg(long = "output", value_name = "FORM", default_value = "table")]
    form: Form,
}

impl Output {
    /// Prints `value`, as it is or as a table.
    fn print(self, value: &Value, table: impl FnOnce() -> String) -> Result<(), Failure> {
        print(&match self.form {
            Form::Json => format!("{value:#}\n"),
            Form::Table => table(),
        })
    }
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.or_exit(Exit::Io),
    }
}

/// Aligns columns.
fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(header.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut table = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "1".to_owned()], ["long name".to_owned(), String::new()]];
        assert_eq!(table(["POOL", "UP"], rows.into_iter()), "POOL       UP\na          1\nlong name\n");
    }
}
