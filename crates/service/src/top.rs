//! The subcommand `top` of a daemon: what it does, again and again, on a terminal, in a pipe or as JSON.
//!
//! On a terminal each picture takes the place of the one before, on the screen that programs have for themselves, so that the
//! lines above the command are there again when it ends. Elsewhere pictures follow each other as plain text.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::Duration;

use terminal_size::{Height, Width, terminal_size};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::{Client, Target};
use crate::page::{Column, is_hidden};
use crate::{Daemon, Exit, Failure, Shell};

/// The time between two pictures.
const INTERVAL: Duration = Duration::from_secs(2);

/// Enters the terminal's other screen and hides the cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The options of `top`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Print one picture and end
    #[arg(long)]
    once: bool,
    /// How to print; JSON is one document a line
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// The form of a picture.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Output {
    /// Tables
    #[default]
    Text,
    /// One line of JSON
    Json,
}

impl Arguments {
    /// Shows what `picture` returns until the process is interrupted, or once. It is called on a thread of its own, and may wait
    /// for the daemon.
    ///
    /// Fails where the first picture fails. Later a daemon that does not answer is told, and asked again.
    pub fn run<D: Daemon>(
        &self,
        shell: &Shell,
        picture: impl Fn(&Client, Output) -> Result<String, Failure> + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        let client = self.target.client::<D>(shell)?;
        let output = self.output;
        if self.once {
            return write(&mut io::stdout().lock(), &picture(&client, output)?).map(|_| ());
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let shown = runtime.block_on(show(Arc::new(move || picture(&client, output)), output));
        // A picture that is still waited for is of no use.
        runtime.shutdown_background();
        shown
    }
}

type Picture = Arc<dyn Fn() -> Result<String, Failure> + Send + Sync>;

async fn show(picture: Picture, output: Output) -> Result<(), Failure> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut ended = signal(SignalKind::terminate())?;
    let mut screen = Screen::new(io::stdout(), output == Output::Text && io::stdout().is_terminal());
    let mut is_first = true;
    loop {
        let taken = Arc::clone(&picture);
        let mut taking = tokio::task::spawn_blocking(move || taken());
        let taken = tokio::select! {
            taken = &mut taking => taken?,
            _ = interrupted.recv() => return Ok(()),
            _ = ended.recv() => return Ok(()),
        };
        let text = match taken {
            Err(failure) if is_first => return Err(failure),
            Err(failure) if output == Output::Json => {
                eprintln!("{failure}");
                String::new()
            }
            Err(failure) => format!("{failure}\n"),
            Ok(text) => text,
        };
        is_first = false;
        if !screen.show(&text)? {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = interrupted.recv() => return Ok(()),
            _ = ended.recv() => return Ok(()),
        }
    }
}

/// Where pictures are shown. Dropping it leaves the terminal as it was.
struct Screen<W: Write> {
    out: W,
    is_terminal: bool,
    is_first: bool,
}

impl<W: Write> Screen<W> {
    fn new(out: W, is_terminal: bool) -> Self {
        Self { out, is_terminal, is_first: true }
    }

    /// Returns whether anybody still reads.
    fn show(&mut self, text: &str) -> Result<bool, Failure> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        if !self.is_terminal {
            let separator = if is_first || text.len() <= 1 || text.starts_with('{') { "" } else { "\n" };
            return write(&mut self.out, &format!("{separator}{text}"));
        }
        let (columns, rows) =
            terminal_size().map_or((80, 24), |(Width(columns), Height(rows))| (columns, rows));
        let enter = if is_first { ENTER } else { "" };
        write(&mut self.out, &format!("{enter}{}", frame(text, columns.into(), rows.into())))
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        if self.is_terminal && !self.is_first {
            let _ = write(&mut self.out, LEAVE);
        }
    }
}

/// A picture in place of the last one: lines that are cut at the terminal's edge, and nothing behind them.
fn frame(text: &str, columns: usize, rows: usize) -> String {
    let mut out = String::from("\x1b[H");
    for (at, line) in text.lines().take(rows.max(1)).enumerate() {
        if at > 0 {
            out.push_str("\r\n");
        }
        out.extend(line.chars().take(columns));
        out.push_str("\x1b[K");
    }
    out.push_str("\x1b[J");
    out
}

/// Returns whether anybody still reads; a reader such as `head` that has seen enough is no error.
fn write(out: &mut impl Write, text: &str) -> Result<bool, Failure> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Exit::Io, error)),
        Ok(()) => Ok(true),
    }
}

/// A table as text: columns as wide as what is in them. Texts may come from anywhere.
#[derive(Clone, Debug)]
pub struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// Returns a table without rows.
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row: a text for each column.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len(), "a text for each column");
        self.rows.push(cells.map(|cell| visible(&cell)).into());
    }

    /// Returns the table: headings, then rows, each a line.
    pub fn text(&self) -> String {
        let headings: Vec<String> = self.columns.iter().map(|column| column.heading().to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&headings).chain(&self.rows).collect();
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            let mut out = String::new();
            for ((cell, column), &width) in line.iter().zip(&self.columns).zip(&widths) {
                let cell = if column.is_number() {
                    format!("{cell:>width$}  ")
                } else {
                    format!("{cell:<width$}  ")
                };
                out.push_str(&cell);
            }
            text.push_str(out.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A text that does nothing to a terminal but appear.
fn visible(text: &str) -> String {
    text.chars().map(|character| if is_hidden(character) { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_as_wide_as_what_is_in_it() {
        let mut grid = Grid::new([Column::text("Exporter"), Column::number("Records")]);
        grid.row(["a".to_owned(), "1,000,000".to_owned()]);
        grid.row(["192.0.2.1:4739\x1b[2J".to_owned(), "7".to_owned()]);
        let expected = "Exporter              Records\n\
                        a                   1,000,000\n\
                        192.0.2.1:4739\u{fffd}[2J          7\n";
        assert_eq!(grid.text(), expected);
    }

    #[test]
    fn a_terminal_is_left_as_it_was() {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, true);
        assert!(screen.show("one\n").unwrap() && screen.show("two\n").unwrap());
        drop(screen);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(ENTER) && text.ends_with(LEAVE), "{text:?}");
        assert_eq!(text.matches(ENTER).count(), 1);
        // A screen that nothing was shown on was never entered.
        let mut out = Vec::new();
        drop(Screen::new(&mut out, true));
        assert_eq!(out, b"");
    }

    #[test]
    fn what_is_no_terminal_gets_plain_text() {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, false);
        assert!(screen.show("one\n").unwrap() && screen.show("two\n").unwrap());
        drop(screen);
        assert_eq!(String::from_utf8(out).unwrap(), "one\n\ntwo\n");
    }

    #[test]
    fn a_picture_is_cut_at_the_edges_of_the_terminal() {
        let text = frame("abcdef\nx\nleft out\n", 4, 2);
        assert_eq!(text, "\x1b[Habcd\x1b[K\r\nx\x1b[K\x1b[J");
    }
}
