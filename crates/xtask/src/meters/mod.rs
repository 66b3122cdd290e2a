//! `cargo xtask compare-meters FILE…`: this exporter beside other meters of packets, over the same captures, in one run.
//!
//! Every program is a process of its own and they take turns, so that all have the same machine; of several rounds the one with the least
//! processor time counts. What receives the flows is not measured.

mod measure;
mod programs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::steps::{Outcome, Steps, Unpassed, run};
use measure::Cost;
use programs::{Bench, Program};

const ROUNDS: usize = 3;
const USAGE: &str = "usage: cargo xtask compare-meters FILE…: captures (pcap), each with a table of its own";

pub(crate) fn compare(root: &Path, files: &[&str]) -> ExitCode {
    if files.is_empty() || files.iter().any(|file| file.starts_with('-')) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let mut steps = Steps::new(root);
    let mut built = Err(Unpassed::Failed("not built".into()));
    steps.step("build", |root| {
        built = Bench::build(root);
        built.as_ref().map(|_| ()).map_err(Unpassed::clone)
    });
    if let Ok(bench) = &built {
        for file in files {
            steps.step(file, |root| table(root, bench, file));
        }
    }
    steps.finish()
}

/// Measures all programs that are installed over one capture and prints the table.
fn table(root: &Path, bench: &Bench, file: &str) -> Outcome {
    let file = std::path::absolute(file).map_err(|error| Unpassed::Failed(format!("{file}: {error}")))?;
    let packets = bench.packets(root, &file)?;
    let mut best: Vec<(Program, Option<Cost>)> = Vec::new();
    for round in 0..ROUNDS {
        for (at, program) in Program::ALL.into_iter().filter(|program| program.is_installed()).enumerate() {
            let cost = bench.measure(program, &file)?;
            eprintln!("round {round}: {}: {cost}", program.name());
            if round == 0 {
                best.push((program, None));
            }
            let least = &mut best[at].1;
            *least = Some(least.map_or(cost, |least| least.better(cost)));
        }
    }
    for program in Program::ALL.into_iter().filter(|program| !program.is_installed()) {
        println!("not installed: {}", program.name());
    }
    println!("\n{packets} packets; the best of {ROUNDS} rounds");
    println!("| program | CPU s | million packets a CPU second | resident memory, MB |");
    println!("|---|---:|---:|---:|");
    for (program, cost) in &best {
        if let Some(cost) = cost {
            println!("{}", line(program.name(), packets, *cost));
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn line(name: &str, packets: u64, Cost { cpu, resident }: Cost) -> String {
    let rate = packets as f64 / cpu.as_secs_f64() / 1e6;
    format!("| {name} | {:.2} | {rate:.2} | {} |", cpu.as_secs_f64(), resident / 1_000_000)
}

/// Builds what is measured.
fn build(root: &Path) -> Outcome {
    run(
        root,
        "cargo",
        &["build", "--release", "--locked", "-p", "exporter", "--bins", "--example", "meter"],
    )?;
    run(root, "cargo", &["build", "--release", "--locked", "-p", "collector", "-p", "registrar", "--bins"])
}

fn failed(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Unpassed {
    Unpassed::Failed(format!("{what}: {error}"))
}

/// A folder that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Unpassed> {
        let path = std::env::temp_dir().join(format!("compare-meters-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| failed(path.display(), error))?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> Result<String, Unpassed> {
        let path = self.path(name);
        std::fs::write(&path, text).map_err(|error| failed(&path, error))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_tells_packets_a_second_of_processor_time() {
        let cost = Cost { cpu: Duration::from_millis(1_250), resident: 25_600_000 };
        assert_eq!(line("it", 5_000_000, cost), "| it | 1.25 | 4.00 | 25 |");
    }
}
