//! `cargo xtask crash-matrix`: the demo's matrix of crashes, in a release build.

use std::path::Path;
use std::process::ExitCode;

use crate::steps::{self, Outcome, Unpassed};

const RUN: [&str; 7] = ["run", "--quiet", "--release", "--locked", "--bin", "demo", "--"];

/// Runs it with these arguments, which are the demo's.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> ExitCode {
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
