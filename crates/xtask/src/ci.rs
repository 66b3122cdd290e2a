//! `cargo xtask ci`: every check of the project.
//!
//! The steps are ordered so that nothing is built twice with other features: test builds first, then the release
//! binaries, which the demo and the checks of sample configurations share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::steps::{self, Outcome, Steps, Unpassed, capture, run_with};
use crate::{browser, deploy, fence, interop, matrix, readme};

/// A daemon and its sample configuration.
pub(crate) struct Daemon {
    pub(crate) binary: &'static str,
    /// `deploy/config/SAMPLE.toml` and `deploy/config/SAMPLE-….toml` are its samples.
    pub(crate) sample: &'static str,
}

pub(crate) const DAEMONS: [Daemon; 3] = [
    Daemon { binary: "rserpool-registrar", sample: "registrar" },
    Daemon { binary: "ipfix-collector", sample: "collector" },
    Daemon { binary: "ipfix-exporter", sample: "exporter" },
];

/// Runs the steps whose headings contain one of `texts`; all of them without any.
pub(crate) fn run(root: &Path, texts: &[&str]) -> ExitCode {
    let mut steps = Steps::new(root).only(texts);
    steps.step("format", |root| cargo(root, &["fmt", "--all", "--check"]));
    steps.step("dependency fence", fence::check);
    steps.step("licences and bans", licences);
    steps.step("clippy", |root| {
        cargo(root, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    });
    steps.step("clippy with kernel SCTP", |root| {
        interop::kernel::buildable()?;
        let feature = ["--features", interop::kernel::FEATURE, "--all-targets", "--locked"];
        cargo(root, &[&["clippy", "-p", "transport"], feature.as_slice(), &["--", "-D", "warnings"]].concat())
    });
    steps.step("fuzz targets", fuzz_targets);
    steps.step("the README's test command", |root| readme::run_marked(root, "test"));
    interop::run_all(&mut steps, root, None, interop::Tables::from_env());
    steps.step("documentation", |root| {
        let deny = [("RUSTDOCFLAGS", "-D warnings")];
        run_with(root, "cargo", &["doc", "--workspace", "--no-deps", "--locked"], &deny)
    });
    steps.step("release binaries", |root| cargo(root, &["build", "--release", "--bins", "--locked"]));
    steps.step("sample configurations", sample_configurations);
    steps.step("commands in the README", readme::check_commands);
    steps.step("the README's demo command", |root| readme::run_marked(root, "demo"));
    steps.step("the README's pair of registrars", |root| readme::run_marked(root, "pair"));
    deploy::run_all(&mut steps);
    steps.step("status pages in a browser", browser::check);
    steps.step("two seeds of the crash matrix", matrix::two_seeds);
    steps.finish()
}

fn cargo(root: &Path, arguments: &[&str]) -> Outcome {
    steps::run(root, "cargo", arguments)
}

/// Optional: CI machines need not have cargo-deny. Advisories need the network and are left to a scheduled run.
fn licences(root: &Path) -> Outcome {
    if capture(root, "cargo", &["deny", "--version"]).is_err() {
        return Err(Unpassed::Skipped("cargo-deny is not installed".to_owned()));
    }
    cargo(root, &["deny", "check", "bans", "licenses", "sources"])
}

/// Checks that the targets are what cargo-fuzz can build. Here they run on plain seeds, in `tests/fuzz` of the crates.
fn fuzz_targets(root: &Path) -> Outcome {
    if !steps::installed("c++") {
        return Err(Unpassed::Skipped("c++ is not installed, and libFuzzer is C++".to_owned()));
    }
    // What clippy has checked of the same crates is there already.
    cargo(
        root,
        &["check", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target", "--bins", "--locked"],
    )
}

/// Runs `check` on every file in deploy/config. A file no daemon owns fails: it would rot unseen.
fn sample_configurations(root: &Path) -> Outcome {
    let mut wrong = Vec::new();
    let mut checked = Vec::new();
    for file in toml_files(&root.join("deploy/config"))? {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some(daemon) = DAEMONS.iter().find(|daemon| owns(daemon.sample, &stem)) else {
            wrong.push(format!("{stem}.toml belongs to no daemon"));
            continue;
        };
        let path = format!("deploy/config/{stem}.toml");
        let command = ["run", "-q", "--release", "--bin", daemon.binary, "--", "check", "--config", &path];
        match cargo(root, &command) {
            Ok(()) => checked.push(daemon.sample),
            Err(_) => wrong.push(path),
        }
    }
    let missing = DAEMONS.iter().filter(|daemon| !checked.contains(&daemon.sample));
    wrong.extend(missing.map(|daemon| format!("no good sample for {}", daemon.binary)));
    if wrong.is_empty() { Ok(()) } else { Err(Unpassed::Failed(wrong.join("; "))) }
}

fn owns(sample: &str, stem: &str) -> bool {
    stem.strip_prefix(sample).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, Unpassed> {
    let entries =
        fs::read_dir(folder).map_err(|error| Unpassed::Failed(format!("deploy/config: {error}")))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_belongs_to_the_daemon_its_name_starts_with() {
        assert!(owns("collector", "collector"));
        assert!(owns("collector", "collector-tcp"));
        assert!(!owns("collector", "collectors"));
        assert!(!owns("collector", "exporter"));
    }
}
