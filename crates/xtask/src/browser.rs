//! `cargo xtask browser`: the status pages of a real pool in headless Chromium, and the pictures of them in docs/images.
//!
//! The pages are checked by what they say, as their scripts leave them and without scripts; the pictures only by their
//! size, and made anew with `--update`.

use std::path::Path;
use std::process::ExitCode;

use crate::steps::{self, Outcome, Steps, Unpassed};

const USAGE: &str = "\
Runs the tests of the daemons' status pages in headless Chromium (Debian: chromium).

Usage: cargo xtask browser [--update]

Options:
  --update  Take the pictures in docs/images anew
";

/// `cargo xtask browser ARGUMENTS`.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> ExitCode {
    let env: &[(&str, &str)] = match arguments {
        [] => &[],
        ["--update"] => &[("UPDATE_SCREENSHOTS", "1")],
        ["--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut steps = Steps::new(root);
    steps.step("status pages in a browser", |root| test(root, env));
    steps.finish()
}

/// The same as part of a larger run.
pub(crate) fn check(root: &Path) -> Outcome {
    test(root, &[])
}

fn test(root: &Path, env: &[(&str, &str)]) -> Outcome {
    if !steps::installed("chromium") {
        return Err(Unpassed::Skipped("chromium is not installed (Debian: chromium)".to_owned()));
    }
    // The whole workspace, so that features are those of the test step and nothing is built twice.
    let test = ["test", "--workspace", "--locked", "--test", "browser", "--", "--include-ignored"];
    steps::run_with(root, "cargo", &test, env)
}
