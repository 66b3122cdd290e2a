//! Tables of what tests measured: read from the rows they wrote, printed, and kept in docs/interop.md.

use std::fs;
use std::path::Path;

use crate::steps::{Outcome, Unpassed};

/// Where the tables stand in the documentation.
const FILE: &str = "docs/interop.md";

/// The lines around the tables of a suite.
fn marks(suite: &str) -> (String, String) {
    let begin = format!("<!-- tables of {suite}: written by `cargo xtask interop --write {suite}` -->");
    (begin, format!("<!-- end of tables of {suite} -->"))
}

/// All rows of one name.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Table {
    name: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Reads lines `TABLE<tab>COLUMN=VALUE<tab>…`; the first row of a table names its columns.
pub(super) fn parse(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        let mut words = line.split('\t');
        let Some(name) = words.next().filter(|name| !name.is_empty()) else { continue };
        let cells = words.filter_map(|cell| cell.split_once('='));
        let (columns, values) = cells.map(|(column, value)| (column.to_owned(), value.to_owned())).unzip();
        match tables.iter_mut().find(|table| table.name == name) {
            Some(table) => table.rows.push(values),
            None => tables.push(Table { name: name.to_owned(), columns, rows: vec![values] }),
        }
    }
    tables
}

impl Table {
    /// Markdown whose columns are aligned, so that it reads well as text too.
    fn markdown(&self) -> String {
        let lines = || [&self.columns].into_iter().chain(&self.rows);
        let width = |column: usize| {
            lines()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded: Vec<_> =
                cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
            format!("| {} |\n", padded.join(" | "))
        };
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("### {}\n\n{}{}{rows}", self.name, line(&self.columns), line(&rule))
    }
}

/// All tables, one after the other.
pub(super) fn markdown(tables: &[Table]) -> String {
    tables.iter().map(Table::markdown).collect::<Vec<_>>().join("\n")
}

/// Puts the tables of a suite into the documentation, in place of those there.
pub(super) fn write(root: &Path, suite: &str, tables: &[Table]) -> Outcome {
    let failed = |error: std::io::Error| Unpassed::Failed(format!("{FILE}: {error}"));
    let text = fs::read_to_string(root.join(FILE)).map_err(failed)?;
    let Some(text) = with_tables(&text, suite, &markdown(tables)) else {
        let (begin, end) = marks(suite);
        return Err(Unpassed::Failed(format!("{FILE} lacks the lines {begin:?} and {end:?}")));
    };
    fs::write(root.join(FILE), text).map_err(failed)
}

fn with_tables(text: &str, suite: &str, tables: &str) -> Option<String> {
    let (begin, end) = marks(suite);
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{tables}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_aligned_tables_in_the_order_they_came() {
        let tables = parse("Loss\tfrom=a\tlost=1\nTimes\tmax=2 s\nLoss\tfrom=kernel\tlost=12\n");
        let expected = "### Loss\n\n\
                        | from   | lost |\n| ------ | ---- |\n| a      | 1    |\n| kernel | 12   |\n\n\
                        ### Times\n\n| max |\n| --- |\n| 2 s |\n";
        assert_eq!(markdown(&tables), expected);
    }

    #[test]
    fn tables_replace_those_between_the_marks() {
        let ((begin, end), (other, _)) = (marks("a"), marks("b"));
        let text = format!("{other}\n# x\n{begin}\nold\n{end}\nend\n");
        let expected = format!("{other}\n# x\n{begin}\n\nnew\n\n{end}\nend\n");
        assert_eq!(with_tables(&text, "a", "new\n"), Some(expected));
        assert_eq!(with_tables("# x\n", "a", "new\n"), None);
    }
}
