//! `cargo xtask soak`: the simulation of delivery over many seeds, in parallel, built with optimization and assertions.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::ops::Range;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::steps::{Unpassed, capture};

/// Seeds of one process.
const CHUNK: u64 = 500;
const TEST: &str = "nothing_is_lost_whatever_fails_in_a_thousand_seeds";

/// Which seeds are run.
#[derive(Debug, Eq, PartialEq)]
struct Seeds {
    from: u64,
    count: u64,
}

/// Runs the seeds that the arguments name: `[--seeds N] [--from S]`.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> ExitCode {
    let seeds = match Seeds::parse(arguments) {
        Ok(seeds) => seeds,
        Err(error) => {
            eprintln!("{error}\nUsage: cargo xtask soak [--seeds N] [--from S]");
            return ExitCode::from(2);
        }
    };
    let program = match build(root) {
        Ok(program) => program,
        Err(Unpassed::Failed(error) | Unpassed::Skipped(error)) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if soak(&program, &seeds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Seeds {
    fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut seeds = Self { from: 0, count: 100_000 };
        let (pairs, rest) = arguments.as_chunks();
        for [option, value] in pairs {
            let number = value.parse().map_err(|_| format!("{option} {value}: not a number"))?;
            match *option {
                "--seeds" => seeds.count = number,
                "--from" => seeds.from = number,
                _ => return Err(format!("unknown option {option}")),
            }
        }
        match rest {
            [] => Ok(seeds),
            [option, ..] => Err(format!("{option} needs a number")),
        }
    }

    /// The seeds of one process after the other.
    fn chunk(&self, index: u64) -> Option<Range<u64>> {
        let start = index.checked_mul(CHUNK).filter(|start| *start < self.count)?;
        Some(self.from + start..self.from + self.count.min(start + CHUNK))
    }
}

/// Builds the simulation and returns its executable.
fn build(root: &Path) -> Result<String, Unpassed> {
    let arguments = [
        "test",
        "--profile=soak",
        "--no-run",
        "--message-format=json",
        "--package=simnet",
        "--test=delivery",
    ];
    let messages = capture(root, "cargo", &arguments)?;
    let executable = messages.lines().filter_map(|line| line.split_once("\"executable\":\"")).next_back();
    let path = executable.and_then(|(_, rest)| rest.split_once('"')).map(|(path, _)| path.to_owned());
    path.ok_or_else(|| Unpassed::Failed("cargo does not tell where the simulation is".into()))
}

/// Returns whether all seeds pass; after the first one that does not, no more are begun.
fn soak(program: &str, seeds: &Seeds) -> bool {
    let started = Instant::now();
    let (next, done, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        while !failed.load(Ordering::Relaxed)
            && let Some(chunk) = seeds.chunk(next.fetch_add(1, Ordering::Relaxed))
        {
            let count = chunk.end - chunk.start;
            if let Err(error) = run_chunk(program, &chunk) {
                failed.store(true, Ordering::Relaxed);
                eprintln!("seeds {chunk:?}: {error}");
                return;
            }
            let done = done.fetch_add(count, Ordering::Relaxed) + count;
            let speed = done as f64 / started.elapsed().as_secs_f64();
            println!("{done} of {} seeds, {speed:.0} a second", seeds.count);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (failed, seconds) = (failed.into_inner(), started.elapsed().as_secs_f64());
    println!("{} seeds from {} in {seconds:.0} s", done.into_inner(), seeds.from);
    !failed
}

/// Fails with what the simulation says of the seed that fails.
fn run_chunk(program: &str, seeds: &Range<u64>) -> Result<(), String> {
    let output = Command::new(program)
        .args(["--exact", TEST, "--nocapture"])
        .env("DELIVERY_FIRST", seeds.start.to_string())
        .env("DELIVERY_SEEDS", (seeds.end - seeds.start).to_string())
        .env_remove("DELIVERY_SEED")
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_an_option_and_so_is_the_first() {
        assert_eq!(Seeds::parse(&[]), Ok(Seeds { from: 0, count: 100_000 }));
        assert_eq!(Seeds::parse(&["--from", "7", "--seeds", "3"]), Ok(Seeds { from: 7, count: 3 }));
        assert!(Seeds::parse(&["--seeds"]).is_err());
        assert!(Seeds::parse(&["--seeds", "x"]).is_err());
        assert!(Seeds::parse(&["--seed", "3"]).is_err());
    }

    #[test]
    fn processes_share_the_seeds_without_a_gap() {
        let seeds = Seeds { from: 10, count: CHUNK + 1 };
        assert_eq!(seeds.chunk(0), Some(10..10 + CHUNK));
        assert_eq!(seeds.chunk(1), Some(10 + CHUNK..11 + CHUNK));
        assert_eq!(seeds.chunk(2), None);
    }
}
