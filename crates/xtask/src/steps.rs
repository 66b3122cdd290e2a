//! Steps with headings, times and a count at the end.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Why a step did not pass.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Unpassed {
    /// Something is wrong; the text says what.
    Failed(String),
    /// Something it needs is not installed here.
    Skipped(String),
}

/// What a step returns.
pub(crate) type Outcome = Result<(), Unpassed>;

/// Runs steps one after the other; a failed one does not stop the next.
#[derive(Debug)]
pub(crate) struct Steps {
    root: PathBuf,
    /// What the headings of the steps to be run contain; all are run where this is empty.
    wanted: Vec<String>,
    started: Instant,
    passed: usize,
    skipped: Vec<String>,
    failed: Vec<String>,
}

impl Steps {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            wanted: Vec::new(),
            started: Instant::now(),
            passed: 0,
            skipped: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Restricts them to those whose heading contains one of `texts`, if there are any.
    pub(crate) fn only(mut self, texts: &[&str]) -> Self {
        self.wanted = texts.iter().map(|&text| text.to_owned()).collect();
        self
    }

    /// Runs one step under a heading, if it is wanted.
    pub(crate) fn step(&mut self, name: &str, run: impl FnOnce(&Path) -> Outcome) {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|text| name.contains(text)) {
            return;
        }
        println!("\n==== {name}");
        let started = Instant::now();
        let outcome = run(&self.root);
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("---- passed: {name} ({seconds:.1} s)");
            }
            Err(Unpassed::Skipped(reason)) => {
                println!("---- SKIPPED: {name}: {reason}");
                self.skipped.push(format!("{name}: {reason}"));
            }
            Err(Unpassed::Failed(reason)) => {
                println!("---- FAILED: {name}: {reason} ({seconds:.1} s)");
                self.failed.push(format!("{name}: {reason}"));
            }
        }
    }

    /// Prints what was skipped and what failed, and the count as the last line.
    pub(crate) fn finish(self) -> ExitCode {
        println!("\n==== summary after {:.0} s", self.started.elapsed().as_secs_f64());
        for skipped in &self.skipped {
            println!("skipped  {skipped}");
        }
        for failed in &self.failed {
            println!("failed   {failed}");
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        if self.passed + self.skipped.len() + self.failed.len() == 0 {
            println!("no step of that name");
            return ExitCode::from(2);
        }
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Runs a command in the workspace's folder, its output passed through.
pub(crate) fn run(root: &Path, program: &str, arguments: &[&str]) -> Outcome {
    run_with(root, program, arguments, &[])
}

/// [`run`] with further environment variables.
pub(crate) fn run_with(root: &Path, program: &str, arguments: &[&str], env: &[(&str, &str)]) -> Outcome {
    println!("$ {program} {}", arguments.join(" "));
    let status = Command::new(program).args(arguments).envs(env.iter().copied()).current_dir(root).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Unpassed::Failed(status.to_string())),
        Err(error) => Err(Unpassed::Failed(format!("{program}: {error}"))),
    }
}

/// Runs a command and returns what it printed.
pub(crate) fn capture(root: &Path, program: &str, arguments: &[&str]) -> Result<String, Unpassed> {
    let failed = |reason: String| Unpassed::Failed(format!("{program} {}: {reason}", arguments.join(" ")));
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|error| failed(error.to_string()))
}

/// Returns whether `program` is in the PATH.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
