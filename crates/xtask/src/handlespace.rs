//! `cargo xtask bench-handlespace`: our handlespace beside that of rsplib, in one run.
//!
//! Each measurement is a process of its own, ours and theirs in turn, so that both have the same machine. Figures are
//! per CPU second: other work on the machine makes both slower, and hardly changes the ratio.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::steps::{Steps, Unpassed, capture, installed, run};

const LIBRARY: &str = "librsphsmgt.so.3";
const PACKAGE: &str = "Debian's librsplib3 (apt-get install librsplib3)";
const SIZES: [&str; 3] = ["1000", "10000", "100000"];
const OPERATIONS: [&str; 5] = ["register", "re-register", "resolve-1", "resolve-10", "memory"];
/// What both can do, by policy type on the wire.
const POLICIES: [(&str, &str); 9] = [
    ("00000001", "round-robin"),
    ("00000002", "weighted-round-robin"),
    ("00000003", "random"),
    ("00000004", "weighted-random"),
    ("00000005", "priority"),
    ("40000001", "least-used"),
    ("40000002", "least-used-degradation"),
    ("40000003", "priority-least-used"),
    ("40000004", "randomized-least-used"),
];

/// Figures by operation.
type Figures = BTreeMap<String, f64>;

pub(crate) fn run_benches(root: &Path) -> ExitCode {
    let mut steps = Steps::new(root);
    steps.step("handlespace beside rsplib's", |root| compare(root).map(|table| println!("{table}")));
    steps.finish()
}

fn compare(root: &Path) -> Result<String, Unpassed> {
    let library = library().ok_or_else(|| Unpassed::Skipped(format!("{PACKAGE} is not installed")))?;
    if !installed("cc") {
        return Err(Unpassed::Skipped("no C compiler (apt-get install gcc)".into()));
    }
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let theirs = root.join(&target).join("rsplib-figures").to_string_lossy().into_owned();
    let source = "crates/rserpool-proto/benches/rsplib/figures.c";
    run(root, "cc", &["-O2", "-Wall", "-o", &theirs, source, &library])?;
    let ours = build(root)?;

    let mut table = String::from(
        "ours / rsplib, per CPU second in thousands; memory in octets per element\n\
         policy                   elements          register       re-register         resolve 1        resolve 10            memory\n",
    );
    for (policy, name) in POLICIES {
        for size in SIZES {
            let figures_of = |program: &str| figures(&capture(root, program, &[policy, size])?);
            let line = line(name, size, &figures_of(&ours)?, &figures_of(&theirs)?);
            eprintln!("{line}");
            table.push_str(&line);
            table.push('\n');
        }
    }
    Ok(table)
}

/// Builds our bench and returns its executable.
fn build(root: &Path) -> Result<String, Unpassed> {
    let arguments =
        ["bench", "--no-run", "--message-format=json", "-p", "rserpool-proto", "--bench", "figures"];
    let messages = capture(root, "cargo", &arguments)?;
    let executable = messages.lines().filter_map(|line| line.split_once("\"executable\":\"")).next_back();
    let path = executable.and_then(|(_, rest)| rest.split_once('"')).map(|(path, _)| path.to_owned());
    path.ok_or_else(|| Unpassed::Failed("cargo does not tell where the bench is".into()))
}

/// The library's file, as the linker knows it.
fn library() -> Option<String> {
    let output = Command::new("ldconfig")
        .arg("-p")
        .output()
        .or_else(|_| Command::new("/sbin/ldconfig").arg("-p").output());
    let text = String::from_utf8_lossy(&output.ok()?.stdout).into_owned();
    let line = text.lines().find(|line| line.trim_start().starts_with(LIBRARY))?;
    line.rsplit(' ').next().map(str::to_owned)
}

/// Reads lines `policy elements operation figure`.
fn figures(text: &str) -> Result<Figures, Unpassed> {
    let figure = |line: &str| -> Option<(String, f64)> {
        let mut words = line.split(' ').skip(2);
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    };
    let read: Option<Figures> = text.lines().map(figure).collect();
    read.ok_or_else(|| Unpassed::Failed(format!("not figures: {text}")))
}

/// One line of the table: both figures and our advantage; memory is better when there is less of it.
fn line(policy: &str, size: &str, ours: &Figures, theirs: &Figures) -> String {
    let mut line = format!("{policy:<25}{size:>8}");
    for operation in OPERATIONS {
        let (ours, theirs) = (ours.get(operation).copied(), theirs.get(operation).copied());
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            line.push_str("                 -");
            continue;
        };
        let cell = if operation == "memory" {
            format!("{ours:.0}/{theirs:.0} {:.1}x", theirs / ours)
        } else {
            format!("{:.0}/{:.0} {:.1}x", ours / 1e3, theirs / 1e3, ours / theirs)
        };
        line.push_str(&format!(" {cell:>17}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_put_beside_each_other_with_their_ratio() {
        let ours = figures("00000001 1000 register 3000000\n00000001 1000 memory 100\n").unwrap();
        let theirs = figures("00000001 1000 register 1000000\n00000001 1000 memory 500\n").unwrap();
        let line = line("round-robin", "1000", &ours, &theirs);
        assert!(line.starts_with("round-robin                  1000"), "{line}");
        assert!(line.contains(" 3000/1000 3.0x "), "{line}");
        assert!(line.ends_with(" 100/500 5.0x"), "{line}");
    }

    #[test]
    fn what_is_not_a_figure_is_told() {
        assert!(matches!(figures("error"), Err(Unpassed::Failed(_))));
    }
}
