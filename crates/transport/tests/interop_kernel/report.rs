//! Rows of tables, for whoever reads the output, and for `cargo xtask interop`, which collects and prints them.

use std::fs::OpenOptions;
use std::io::Write;

/// The file that collects rows, one a line: the table's name, then `column=value`, separated by tabs.
const FILE: &str = "INTEROP_TABLES";

/// Adds a row to a table. All rows of a table have the same columns.
pub(crate) fn row(table: &str, cells: &[(&str, String)]) {
    let cells: Vec<_> = cells.iter().map(|(column, value)| format!("{column}={value}")).collect();
    println!("{table}: {}", cells.join(", "));
    if let Some(path) = std::env::var_os(FILE) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{table}\t{}", cells.join("\t")).unwrap();
    }
}
