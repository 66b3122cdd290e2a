//! Commands in README.md: the marked ones run as they stand there, all others must name things that exist.
//!
//! `<!-- ci:NAME -->` before a fenced block of shell commands marks what CI runs, in README.md and in pages of docs/.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::ci::DAEMONS;
use crate::steps::{Outcome, Unpassed, capture, run};

/// The marks, by page. Every block of commands has one of them, or tells why CI does not run it (`deploy::book`).
pub(crate) const MARKED: [(&str, &str); 14] = [
    ("README.md", "demo"),
    ("README.md", "test"),
    ("README.md", "pair"),
    // Run by the test `kernel_tunnels` of the package `demo`, in the virtual machine.
    ("docs/encryption.md", "wireguard-key"),
    ("docs/encryption.md", "wireguard-start"),
    ("docs/encryption.md", "ipsec-certificates"),
    ("docs/encryption.md", "ipsec-start"),
    ("docs/encryption.md", "firewall"),
    ("docs/encryption.md", "wire"),
    ("docs/operating.md", "pool"),
    ("docs/router-host.md", "router"),
    // Run by the test `tls_page` of the package `demo`.
    ("docs/tls.md", "certificates"),
    ("docs/tls.md", "resolve"),
    ("docs/tutorial.md", "tutorial"),
];

/// A hung command must not hang CI: the whole of it may take 20 minutes.
const TIME_LIMIT: &str = "1200";

/// Runs the block after `<!-- ci:MARK -->` of README.md.
pub(crate) fn run_marked(root: &Path, mark: &str) -> Outcome {
    run_marked_of(root, "README.md", mark)
}

/// The same of another page.
pub(crate) fn run_marked_of(root: &Path, page: &str, mark: &str) -> Outcome {
    if !MARKED.contains(&(page, mark)) {
        return Err(Unpassed::Failed(format!("{mark} of {page} is not among the marks that are known")));
    }
    let text = read(root, page)?;
    let Some(block) = marked_block(&text, mark) else {
        return Err(Unpassed::Failed(format!("{page} has no fenced block after <!-- ci:{mark} -->")));
    };
    run(root, "timeout", &["--kill-after=10", TIME_LIMIT, "bash", "-euo", "pipefail", "-c", &block])
}

/// Checks each shell block: its syntax, and the packages, binaries and subcommands it names.
pub(crate) fn check_commands(root: &Path) -> Outcome {
    let readme = read(root, "README.md")?;
    let metadata = capture(root, "cargo", &["metadata", "--no-deps", "--format-version", "1"])?;
    let mut wrong = Vec::new();
    let blocks = shell_blocks(&readme);
    for block in &blocks {
        if !Command::new("bash").args(["-n", "-c", block]).status().is_ok_and(|status| status.success()) {
            wrong.push(format!("not shell: {block:?}"));
        }
        for line in block.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let unknown = named_targets(&words)
                .filter(|target| !metadata.contains(&format!("\"name\":\"{target}\"")))
                .map(|target| format!("no package or binary `{target}`: {line}"));
            wrong.extend(unknown);
            if let Some((daemon, subcommand)) = subcommand(&words)
                && help(root, daemon, subcommand).is_err()
            {
                wrong.push(format!("{daemon} has no subcommand `{subcommand}`: {line}"));
            }
        }
    }
    println!("{} blocks of commands", blocks.len());
    if wrong.is_empty() { Ok(()) } else { Err(Unpassed::Failed(wrong.join("; "))) }
}

fn help(root: &Path, daemon: &str, subcommand: &str) -> Result<String, Unpassed> {
    capture(root, "cargo", &["run", "--quiet", "--release", "--bin", daemon, "--", subcommand, "--help"])
}

fn read(root: &Path, page: &str) -> Result<String, Unpassed> {
    fs::read_to_string(root.join(page)).map_err(|error| Unpassed::Failed(format!("{page}: {error}")))
}

/// The first fenced block after the mark; only empty lines may stand between.
fn marked_block(text: &str, mark: &str) -> Option<String> {
    let mark = format!("<!-- ci:{mark} -->");
    let mut lines = text.lines().skip_while(|line| line.trim() != mark).skip(1);
    let fence = lines.find(|line| !line.trim().is_empty())?;
    fence
        .starts_with("```")
        .then(|| lines.take_while(|line| !line.starts_with("```")).collect::<Vec<_>>().join("\n"))
}

/// Every block fenced as `sh`, `bash` or `shell`.
fn shell_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        if matches!(language.trim(), "sh" | "bash" | "shell") {
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

/// What a cargo command names by `--bin`, `-p` and `--package`.
fn named_targets<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let cargo = words.contains(&"cargo");
    let pairs = words.windows(2).filter(move |_| cargo);
    pairs.filter(|pair| matches!(pair[0], "--bin" | "-p" | "--package")).map(|pair| pair[1])
}

/// The daemon a line starts, and its subcommand: `ipfix-collector run …`, also with a path before it or after
/// `cargo run … --bin`.
fn subcommand<'a>(words: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let at = words.iter().position(|word| DAEMONS.iter().any(|daemon| is_program(word, daemon.binary)))?;
    let daemon = words[at].rsplit('/').next()?;
    let rest = words[at + 1..].iter().copied();
    let mut rest =
        rest.skip_while(|word| words.contains(&"cargo") && *word != "--").filter(|word| *word != "--");
    let first = rest.next()?;
    first.chars().all(|c| c.is_ascii_lowercase() || c == '-').then_some(())?;
    (!first.starts_with('-')).then_some((daemon, first))
}

fn is_program(word: &str, binary: &str) -> bool {
    word.rsplit('/').next() == Some(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "# x\n\n<!-- ci:test -->\n\n```sh\ncargo test --workspace\n```\n\n```toml\na = 1\n```\n\
                          \n<!-- ci:demo -->\ntext\n";

    #[test]
    fn the_block_after_a_mark_is_taken_as_it_stands() {
        assert_eq!(marked_block(README, "test").as_deref(), Some("cargo test --workspace"));
    }

    #[test]
    fn a_mark_without_a_block_is_no_command() {
        assert_eq!(marked_block(README, "demo"), None);
        assert_eq!(marked_block(README, "other"), None);
    }

    #[test]
    fn only_shell_blocks_hold_commands() {
        assert_eq!(shell_blocks(README), ["cargo test --workspace"]);
    }

    #[test]
    fn packages_and_binaries_are_named_by_cargo_commands_only() {
        let words = ["cargo", "run", "--release", "--bin", "demo"];
        assert_eq!(named_targets(&words).collect::<Vec<_>>(), ["demo"]);
        assert_eq!(named_targets(&["mkdir", "-p", "x"]).count(), 0);
    }

    #[test]
    fn a_daemon_is_found_with_its_subcommand() {
        let found = |line: &'static str| subcommand(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(found("ipfix-collector run --config c.toml"), Some(("ipfix-collector", "run")));
        assert_eq!(found("target/release/ipfix-exporter replay x.pcap"), Some(("ipfix-exporter", "replay")));
        let cargo = "cargo run --release --bin rserpool-registrar -- config example";
        assert_eq!(found(cargo), Some(("rserpool-registrar", "config")));
        assert_eq!(found("ipfix-collector --help"), None);
        assert_eq!(found("cargo run --release --bin demo"), None);
    }
}
