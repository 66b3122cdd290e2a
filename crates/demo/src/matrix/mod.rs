//! The crash matrix: a pool of real processes under a schedule of kills, freezes and stops, drawn from a seed; at the end
//! every record must be there, once after de-duplication.

pub mod cast;
pub mod check;
pub mod cost;
pub mod options;
pub mod relp;
pub mod report;
pub mod run;
pub mod schedule;
pub mod watch;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use options::{Asked, Options};

/// Flows that are carried to measure what sync costs.
const FLOWS: usize = 500_000;
/// How long collectors get, at the end, to acknowledge what exporters have.
pub const DRAIN: Duration = Duration::from_secs(90);

/// Runs `demo crash-matrix` with these arguments.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Help) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("error: {wrong}\n\n{}", options::HELP);
            return ExitCode::from(2);
        }
    };
    match play(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every seed; returns whether all is well with all of them.
fn play(options: &Options) -> anyhow::Result<bool> {
    let seeds = options.seed..options.seed.saturating_add(options.seeds);
    if options.schedule {
        for seed in seeds {
            println!("seed {seed}\n{}", report::schedule(&schedule::draw(&options.settings(seed))));
        }
        return Ok(true);
    }
    let mut costs = Vec::new();
    if options.relp.is_some() {
        if !relp::is_installed() {
            println!("SKIPPED: RELP beside it: rsyslog-relp is not installed");
        }
        let program = std::env::current_exe()?;
        for promise in cost::Promise::ALL {
            costs.push(cost::measure(&program, FLOWS, promise)?);
        }
    }
    let mut outcomes = Vec::new();
    for seed in seeds {
        let outcome = run::run(options, seed).with_context(|| {
            let drawn = report::schedule(&schedule::draw(&options.settings(seed)));
            format!("seed {seed}, whose schedule was\n{drawn}")
        })?;
        tell(&outcome);
        outcomes.push(outcome);
        // What there is so far is not lost with a later seed.
        if let Some(path) = &options.report {
            std::fs::write(path, report::markdown(&options.setting(), &outcomes, &costs))
                .with_context(|| path.display().to_string())?;
        }
    }
    println!("\n{}", report::markdown(&options.setting(), &outcomes, &costs));
    let bad = outcomes.iter().filter(|outcome| !outcome.faults.is_empty()).count();
    println!("{} seeds, {bad} with faults", outcomes.len());
    Ok(bad == 0)
}

/// Says how a seed ended.
fn tell(outcome: &report::Outcome) {
    let verdict = &outcome.verdict;
    println!(
        "seed {}: {} outages, {} records due, lost {}, wrong {}, repeated after dedupe {}, drained in {:.1} s",
        outcome.seed,
        outcome.outages.len(),
        verdict.due,
        verdict.lost.max(verdict.lost_after),
        verdict.wrong,
        verdict.repeated_after,
        outcome.drained.as_secs_f64(),
    );
    if !outcome.faults.is_empty() {
        println!("{}\n{}", outcome.picture(), outcome.schedule());
    }
    for fault in &outcome.faults {
        println!("FAULT: {fault}");
    }
}
