//! Named checks: what passes or fails in the output, and a row of a table for `cargo xtask interop`.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// The file that collects rows, one a line: the table's name, then `column=value`, separated by tabs.
const FILE: &str = "INTEROP_TABLES";

/// One check. Dropped before it passed, it has failed.
pub(crate) struct Check {
    name: &'static str,
    begin: Instant,
    passed: bool,
}

impl Check {
    pub(crate) fn begin(name: &'static str) -> Self {
        Self { name, begin: Instant::now(), passed: false }
    }

    /// Says what was seen.
    pub(crate) fn passed(mut self, seen: &str) {
        self.passed = true;
        self.tell("pass", seen);
    }

    fn tell(&self, result: &str, seen: &str) {
        println!("CHECK {result}: {} ({:.1} s): {seen}", self.name, self.begin.elapsed().as_secs_f64());
        let cells =
            [("check", self.name.to_owned()), ("result", result.to_owned()), ("seen", seen.to_owned())];
        row("Checks with rsplib", &cells);
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        if !self.passed {
            self.tell("FAIL", "see the output of the test");
        }
    }
}

/// Adds a row to a table. All rows of a table have the same columns.
pub(crate) fn row(table: &str, cells: &[(&str, String)]) {
    let cells: Vec<_> = cells.iter().map(|(column, value)| format!("{column}={value}")).collect();
    if let Some(path) = std::env::var_os(FILE) {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{table}\t{}", cells.join("\t")).unwrap();
    }
}

/// Nothing here takes so long, not even under emulation.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Polls `condition` until it is something; panics with `what` and what `explain` tells otherwise.
pub(crate) fn wait_for<T>(
    what: &str,
    explain: impl Fn() -> String,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begin.elapsed() < PATIENCE, "no {what} within {PATIENCE:?}\n{}", explain());
        std::thread::sleep(Duration::from_millis(100));
    }
}
