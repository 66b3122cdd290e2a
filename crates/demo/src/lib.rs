//! The demo: a pool of real processes on loopback, and the books after a registrar and a collector were killed.
//!
//! One executable plays all parts: it starts itself again as two registrars, two collectors and exporter.
//! A real packet capture is replayed in a loop; once 15 % of its flows are acknowledged, the registrar that watches
//! the collectors is killed, and at 50 % the collector in use. At the end the collectors' files are compared, by identity, with the flows metered.

// Public for this package's tests, which drive pools of their own.
#[doc(hidden)]
pub mod books;
#[doc(hidden)]
pub mod matrix;
#[doc(hidden)]
pub mod pool;
#[doc(hidden)]
pub mod process;
mod report;
#[doc(hidden)]
pub use service::scrape;
#[doc(hidden)]
pub mod stage;
mod story;

use std::process::ExitCode;

const HELP: &str = "\
Shows a pool of flow collectors survive the loss of one, and of a registrar: two registrars, two collectors
and an exporter as processes on loopback addresses, a real capture replayed, the registrar in use and then the
collector in use killed, the books checked.

Usage: demo [--serve] [--keep]
       demo crash-matrix [OPTIONS]

Options:
  --serve   then keep a pool running, with the addresses of its metrics
  --keep    keep the directory with configuration, logs and flows
  --help    print this

Example:
  cargo run --release --bin demo -- --keep

Exit codes: 0 nothing lost, 1 otherwise, 2 usage
";

/// Runs the demo, or one of its daemons.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if std::env::args().nth(1).as_deref() == Some(process::ROLE) {
        process::end_with_the_demo();
        let role = arguments.nth(1).unwrap_or_default();
        return play(&role);
    }
    if std::env::args().nth(1).as_deref() == Some("crash-matrix") {
        return matrix::main(arguments.skip(1));
    }
    let (mut serve, mut keep) = (false, false);
    for argument in arguments {
        match argument.as_str() {
            "--serve" => serve = true,
            "--keep" => keep = true,
            "--help" | "-h" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            other => {
                eprintln!("error: unknown argument `{other}`\n\n{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    match demonstrate(serve, keep) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes a daemon; its own arguments follow the role.
fn play(role: &str) -> ExitCode {
    let arguments = std::iter::once(role.into()).chain(std::env::args_os().skip(3));
    match role {
        "registrar" => registrar::main_from(arguments),
        "collector" => collector::main_from(arguments),
        "exporter" => exporter::main_from(arguments),
        _ => ExitCode::from(2),
    }
}

fn demonstrate(serve: bool, keep: bool) -> anyhow::Result<bool> {
    let plan = story::plan()?;
    let mut stage = stage::Stage::set(keep)?;
    stage.registrars = 2;
    println!(
        "registrars {} and {}, collector a {}, collector b {}, exporter {}: SCTP in UDP port 9899",
        stage.registrar_at(0),
        stage.registrar_at(1),
        stage.collector(0),
        stage.collector(1),
        stage.exporter()
    );
    // What explains a failure is kept until the end is known to be good.
    stage.keep = true;
    let directory = stage.directory.clone();
    let mut progress = report::Progress::new();
    let told = || format!("configuration, logs and flows are in {}", directory.display());
    let mut story = story::Story::begin(plan, stage).map_err(|error| error.context(told()))?;
    story.watch(&mut progress).map_err(|error| error.context(told()))?;
    let (outcome, mut stage) = story.settle().map_err(|error| error.context(told()))?;
    outcome.print();
    let faults = outcome.faults();
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    stage.keep = keep || !faults.is_empty();
    if stage.keep {
        println!("{}", told());
    }
    drop(stage);
    if serve {
        let mut stage = stage::Stage::set(keep)?;
        stage.registrars = 2;
        story::serve(story::plan()?, stage)?;
    }
    Ok(faults.is_empty())
}
