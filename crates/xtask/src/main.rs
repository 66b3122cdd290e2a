//! Developer commands: `cargo xtask ci`, `soak`, `interop`, `crash-matrix`, `bench-handlespace`, `browser`, `deploy-check` and `vm`.
//! No dependencies, so that they start at once.

mod browser;
mod ci;
mod deploy;
mod fence;
mod handlespace;
mod interop;
mod matrix;
mod readme;
mod soak;
mod steps;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Developer commands of flowpool.

Usage: cargo xtask COMMAND

Commands:
  ci [TEXT…]
           Run every check of the project, as .ci/run does; or those whose headings contain a TEXT
  soak [--seeds N] [--from S]
           Run the simulation of delivery over N seeds (100000), from S (0) on; it names the seed that fails
  interop  Run the tests against other programs and kernel SCTP (what is installed)
  crash-matrix
           Kill, freeze and stop the processes of a pool by a seed, and check that nothing is lost (see crash-matrix --help)
  bench-handlespace
           Measure the handlespace beside rsplib's, if that is installed
  browser [--update]
           Look at the status pages of a running pool in headless Chromium (if it is installed)
  deploy-check [TEXT…]
           Check what lies in deploy/ and docs/: units, rules and dashboards at a running pool, packages, images,
           manifests, pages and what they say (what is installed)
  vm       Run a command in a virtual machine whose kernel has SCTP (see vm --help)

Example:
  cargo xtask ci
  cargo xtask ci format clippy documentation
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match command.as_slice() {
        ["ci", texts @ ..] => ci::run(&root(), texts),
        ["soak", rest @ ..] => soak::run(&root(), rest),
        ["interop", rest @ ..] => interop::run(&root(), rest),
        ["crash-matrix", rest @ ..] => matrix::run(&root(), rest),
        ["bench-handlespace"] => handlespace::run_benches(&root()),
        ["browser", rest @ ..] => browser::run(&root(), rest),
        ["deploy-check", texts @ ..] => deploy::run(&root(), texts),
        ["vm", ..] => vm::run(&arguments[1..]),
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The folder of the workspace, wherever the command was started: cargo tells where this package lies.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from).join("../..")
}
