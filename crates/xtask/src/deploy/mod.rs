//! `cargo xtask deploy-check`: what lies in deploy/ beside the sample configurations, and the pages that tell of it. Units are
//! checked by systemd's own tool, and live under it in a virtual machine, rules by Prometheus', packages by lintian and by installing them, images by letting them
//! live, and every expression of rules and dashboards is asked of a Prometheus that scrapes the demo's pool.

mod book;
mod containers;
mod debian;
mod expressions;
mod live;
mod machine;
mod rules;
mod samples;
mod units;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::readme;
use crate::steps::{self, Outcome, Steps, Unpassed, capture};

/// The exit status of scripts in deploy/ where something they need cannot be had; the last line says what.
const NOT_HERE: i32 = 77;

/// `cargo xtask deploy-check`, with the release binaries it needs; or the steps whose headings contain one of `texts`.
pub(crate) fn run(root: &Path, texts: &[&str]) -> ExitCode {
    let mut steps = Steps::new(root).only(texts);
    let build = ["build", "--release", "--bins", "--locked"];
    steps.step("release binaries", |root| steps::run(root, "cargo", &build));
    run_all(&mut steps);
    steps.finish()
}

/// The same as part of a larger run, which has built the release binaries.
pub(crate) fn run_all(steps: &mut Steps) {
    book::steps(steps);
    steps.step("configurations in pages", samples::check);
    steps.step("systemd units", units::check);
    steps.step("Prometheus rules", rules::check);
    steps.step("the pool of docs/operating.md", |root| {
        readme::run_marked_of(root, rules::DOCUMENTATION, "pool")
    });
    steps.step("live capture of docs/router-host.md", |root| {
        needs("tcpdump", "tcpdump")?;
        needs_root(root, "may capture")?;
        readme::run_marked_of(root, "docs/router-host.md", "router")
    });
    steps.step("dashboards and rules at a running pool", live::check);
    debian::steps(steps);
    machine::steps(steps);
    containers::steps(steps);
}

/// Skips the step where a program is missing; `package` is Debian's.
fn needs(program: &str, package: &str) -> Outcome {
    if steps::installed(program) {
        return Ok(());
    }
    Err(Unpassed::Skipped(format!("{program} is not installed (Debian: {package})")))
}

/// Skips the step for all but root; `only` is what others may not do.
fn needs_root(root: &Path, only: &str) -> Outcome {
    let user = capture(root, "id", &["-u"])?;
    if user.trim() == "0" { Ok(()) } else { Err(Unpassed::Skipped(format!("only root {only}"))) }
}

/// Runs a script of deploy/; its errors are passed through, what it prints is printed at its end.
fn script(root: &Path, words: &[&str]) -> Outcome {
    println!("$ {}", words.join(" "));
    let [program, arguments @ ..] = words else { return Ok(()) };
    let output = Command::new(program).args(arguments).current_dir(root).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| failed(program, error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    match output.status.code() {
        Some(0) => Ok(()),
        Some(NOT_HERE) => Err(Unpassed::Skipped(said.trim().lines().last().unwrap_or_default().to_owned())),
        _ => Err(Unpassed::Failed(output.status.to_string())),
    }
}

/// Returns where cargo builds.
fn target_directory(root: &Path) -> Result<PathBuf, Unpassed> {
    let metadata = capture(root, "cargo", &["metadata", "--no-deps", "--format-version", "1", "--offline"])?;
    let path = metadata.split_once("\"target_directory\":\"").and_then(|(_, rest)| rest.split_once('"'));
    path.map(|(path, _)| PathBuf::from(path))
        .ok_or_else(|| Unpassed::Failed("cargo metadata tells no target_directory".to_owned()))
}

/// Returns the empty folder `name` below the target directory.
fn scratch(root: &Path, name: &str) -> Result<PathBuf, Unpassed> {
    let folder = target_directory(root)?.join("deploy-check").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| failed(folder.display(), error))?;
    Ok(folder)
}

fn failed(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Unpassed {
    Unpassed::Failed(format!("{what}: {error}"))
}

/// Returns the text of a file of the workspace.
fn read(root: &Path, path: &str) -> Result<String, Unpassed> {
    std::fs::read_to_string(root.join(path)).map_err(|error| failed(path, error))
}

/// Fails with all that is wrong, if anything is.
fn verdict(wrong: &[String]) -> Outcome {
    if wrong.is_empty() { Ok(()) } else { Err(Unpassed::Failed(wrong.join("; "))) }
}
