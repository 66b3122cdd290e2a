//! `cargo xtask crash-matrix`: the demo's matrix of crashes, in a release build.

use std::path::Path;
use std::process::ExitCode;

use crate::steps::{self, Outcome, Unpassed};

const RUN: [&str; 7] = ["run", "--quiet", "--release", "--locked", "--bin", "demo", "--"];

/// Packages of Debian with what runs beside it.
const PACKAGES: [&str; 2] = ["rsyslog", "rsyslog-relp"];

/// Runs it with these arguments, which are the demo's. Root gets the packages that `--beside relp` needs, where there is
/// apt-get; others see it skipped.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> ExitCode {
    if arguments.contains(&"relp") && !Path::new("/usr/sbin/rsyslogd").exists() && steps::installed("apt-get")
    {
        let install = ["install", "-y", "-qq", "--no-install-recommends"];
        let installed = steps::run(root, "apt-get", &["update", "-qq"])
            .and_then(|()| steps::run(root, "apt-get", &[install.as_slice(), &PACKAGES].concat()));
        if installed.is_err() {
            eprintln!("not installed: {} (needs root and the network)", PACKAGES.join(" "));
        }
    }
    match matrix(root, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Unpassed::Failed(reason) | Unpassed::Skipped(reason)) => {
            eprintln!("crash-matrix: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Two seeds, as every change must pass them.
pub(crate) fn two_seeds(root: &Path) -> Outcome {
    matrix(root, &["--seed", "1", "--seeds", "2", "--seconds", "20"])
}

fn matrix(root: &Path, arguments: &[&str]) -> Outcome {
    steps::run(root, "cargo", &[&RUN, ["crash-matrix"].as_slice(), arguments].concat())
}
