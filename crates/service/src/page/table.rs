//! Tables, row by row, of which only as much is shown as there is room for.

use super::html::{LONGEST_CODE, escape, escape_beginning, escaped};
use super::text;

/// How something is. The page shows each with a colour and a shape, beside the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// On its way to another state: connecting, draining.
    Changing,
    /// Works, and somebody should look at it.
    Warning,
    /// Does not work.
    Bad,
    /// Not in use.
    Idle,
}

impl Mark {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Changing => "changing",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Idle => "idle",
        }
    }

    pub(super) fn html(self, words: &str) -> String {
        format!("<span class=\"mark {}\">{}</span>", self.class(), escaped(words))
    }
}

/// A column's heading, and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    heading: &'static str,
    is_number: bool,
}

impl Column {
    /// A column of texts.
    pub const fn text(heading: &'static str) -> Self {
        Self { heading, is_number: false }
    }

    /// A column of numbers, which are set at the right.
    pub const fn number(heading: &'static str) -> Self {
        Self { heading, is_number: true }
    }

    pub(crate) const fn heading(&self) -> &'static str {
        self.heading
    }

    pub(crate) const fn is_number(&self) -> bool {
        self.is_number
    }
}

/// What stands in one place of a table, or behind the name of a fact. Texts may come from anywhere.
#[derive(Clone, Debug)]
pub struct Cell(String);

impl Cell {
    /// Nothing is known.
    pub fn none() -> Self {
        Self("<span class=\"none\">–</span>".to_owned())
    }

    /// A state, in words.
    pub fn mark(mark: Mark, words: &str) -> Self {
        Self(mark.html(words))
    }

    /// A text of which every character counts: an identifier, a record. It may be longer than others.
    pub fn code(text: &str) -> Self {
        let mut html = String::from("<code>");
        escape_beginning(&mut html, text, LONGEST_CODE);
        html.push_str("</code>");
        Self(html)
    }

    /// A part of a whole from 0 to 1, as a bar and in words.
    pub fn meter(ratio: f64, words: &str) -> Self {
        let ratio = if ratio.is_finite() { ratio.clamp(0.0, 1.0) } else { 0.0 };
        let words = escaped(words);
        Self(format!("<meter value=\"{ratio:.3}\" aria-hidden=\"true\"></meter> {words}"))
    }

    /// A link to another path of this daemon.
    pub fn link(path: &str, words: &str) -> Self {
        Self(link(path, words))
    }

    pub(super) fn html(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self(escaped(text))
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self(escaped(&text))
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self(text::count(number))
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self(text::count(number as u64))
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or_else(Self::none, Into::into)
    }
}

/// A table with a caption. The first cell of a row names it.
#[derive(Clone, Debug)]
pub struct Table {
    caption: String,
    columns: Vec<Column>,
    rows: Vec<String>,
    /// How many rows there are in all, if not all were given.
    total: Option<u64>,
    empty: &'static str,
    all_at: Option<&'static str>,
}

impl Table {
    /// Returns a table without rows.
    pub fn new(caption: &str, columns: impl Into<Vec<Column>>) -> Self {
        let (columns, rows) = (columns.into(), Vec::new());
        Self { caption: escaped(caption), columns, rows, total: None, empty: "None.", all_at: None }
    }

    /// Says what stands there instead of rows where there are none.
    #[must_use]
    pub fn when_empty(mut self, words: &'static str) -> Self {
        self.empty = words;
        self
    }

    /// Says at which path of this daemon all rows are to be had.
    #[must_use]
    pub fn all_at(mut self, path: &'static str) -> Self {
        self.all_at = Some(path);
        self
    }

    /// Says how many rows there are, where only the first of them are given.
    #[must_use]
    pub fn of_total(mut self, rows: u64) -> Self {
        self.total = Some(rows);
        self
    }

    /// Adds a row: one cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        let mut row = String::from("<tr>");
        for (at, (cell, column)) in cells.iter().zip(&self.columns).enumerate() {
            let class = if column.is_number { " class=\"n\"" } else { "" };
            let (open, close) = if at == 0 { ("<th scope=\"row\"", "</th>") } else { ("<td", "</td>") };
            row.extend([open, class, ">", cell.html(), close]);
        }
        row.push_str("</tr>\n");
        self.rows.push(row);
    }

    /// Returns how many octets it has at most with all its rows.
    pub(super) fn octets(&self) -> usize {
        let headings = self.columns.iter().map(|column| column.heading.len() + 64).sum::<usize>();
        let rows = self.rows.iter().map(String::len).sum::<usize>();
        FRAME + 2 * self.caption.len() + headings + rows
    }

    /// Appends the table with the rows that fit into so many octets.
    pub(super) fn render(&self, out: &mut String, id: &str, room: usize) {
        let begin = out.len();
        out.extend(["<div class=\"scroll\" id=\"", id, "\" tabindex=\"0\" role=\"region\" aria-label=\""]);
        out.extend([&*self.caption, "\"><table><caption>", &*self.caption, "</caption><thead><tr>"]);
        for column in &self.columns {
            let class = if column.is_number { " class=\"n\"" } else { "" };
            out.extend(["<th scope=\"col\"", class, ">", &escaped(column.heading), "</th>"]);
        }
        out.push_str("</tr></thead><tbody>\n");
        let mut shown = 0;
        for row in &self.rows {
            if out.len() - begin + row.len() + CLOSING > room {
                break;
            }
            out.push_str(row);
            shown += 1;
        }
        out.push_str("</tbody></table></div>\n");
        let total = self.total.unwrap_or(0).max(self.rows.len() as u64);
        if total == 0 {
            out.extend(["<p class=\"empty\">", &escaped(self.empty), "</p>\n"]);
        } else if shown < total {
            let (shown, total) = (text::count(shown), text::count(total));
            out.extend(["<p class=\"more\">Shown are ", &shown, " of ", &total, "."]);
            if let Some(path) = self.all_at {
                out.extend([" All: ", &link(path, path), "."]);
            }
            out.push_str("</p>\n");
        }
    }
}

/// Octets kept for what stands behind the last row that fits.
const CLOSING: usize = 512;
/// Octets of what stands around headings and rows, at most.
const FRAME: usize = 2 * CLOSING;

fn link(path: &str, words: &str) -> String {
    let mut out = String::from("<a href=\"");
    escape(&mut out, path);
    out.push_str("\">");
    out.push_str(&escaped(words));
    out.push_str("</a>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: u64) -> Table {
        let mut table = Table::new("Elements", [Column::text("Element"), Column::number("Load")]);
        for row in 0..rows {
            table.row([format!("<{row}>").into(), row.into()]);
        }
        table
    }

    fn rendered(table: &Table, room: usize) -> String {
        let mut out = String::new();
        table.render(&mut out, "elements-1", room);
        out
    }

    #[test]
    fn a_table_names_its_rows_and_columns() {
        let html = rendered(&table(1), 10_000);
        assert!(html.contains("<caption>Elements</caption>"), "{html}");
        assert!(
            html.contains("<th scope=\"col\">Element</th><th scope=\"col\" class=\"n\">Load</th>"),
            "{html}"
        );
        assert!(html.contains("<tr><th scope=\"row\">&lt;0&gt;</th><td class=\"n\">0</td></tr>"), "{html}");
        assert!(!html.contains("Shown"), "{html}");
    }

    #[test]
    fn a_table_keeps_to_its_room_and_tells_where_the_rest_is() {
        let html = rendered(&table(1_000).all_at("/api/v1/x"), 4_000);
        assert!(html.len() <= 4_000, "{}", html.len());
        let rows = html.matches("<tr>").count() - 1;
        assert!(rows > 10, "{rows}");
        let more = format!("Shown are {rows} of 1,000. All: <a href=\"/api/v1/x\">/api/v1/x</a>.");
        assert!(html.contains(&more), "{html}");
    }

    #[test]
    fn a_table_without_rows_says_so() {
        assert!(rendered(&table(0).when_empty("Nobody is here."), 1_000).contains(">Nobody is here.</p>"));
        assert!(rendered(&table(0).of_total(3), 1_000).contains("Shown are 0 of 3."));
    }

    #[test]
    fn a_state_is_told_in_words_and_by_its_shape() {
        assert_eq!(
            Cell::mark(Mark::Bad, "gone & lost").html(),
            "<span class=\"mark bad\">gone &amp; lost</span>"
        );
        assert_eq!(Cell::from(None::<u64>).html(), Cell::none().html());
    }
}
