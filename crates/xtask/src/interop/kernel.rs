//! Tests that need kernel SCTP: built here, run in one virtual machine that has it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tables::{self, Table};
use crate::steps::{Outcome, Unpassed, capture};
use crate::vm;

/// Test programs that need kernel SCTP, and which of their tests.
struct Run {
    package: &'static str,
    /// Cargo features of the package.
    features: &'static str,
    /// The name of the test file or folder in `tests`.
    target: &'static str,
    /// What the test program is told.
    arguments: &'static [&'static str],
}

/// To add tests, add a line.
const RUNS: [Run; 1] = [Run {
    package: "transport",
    features: "kernel-sctp",
    target: "interop_kernel",
    arguments: &["--ignored", "--nocapture"],
}];

/// For all of it, boot included. Emulation on two busy processors takes about half of that.
const LIMIT: Duration = Duration::from_secs(1_200);

/// The header that the feature kernel-sctp is built with.
const LIBSCTP: [&str; 2] = ["/usr/include/netinet/sctp.h", "/usr/local/include/netinet/sctp.h"];

/// The file in the machine's `/out` that collects rows of tables.
const ROWS: &str = "rows";

/// Runs them and returns their tables.
pub(super) fn check(root: &Path, tables: &mut Vec<Table>) -> Outcome {
    if !LIBSCTP.iter().any(|header| Path::new(header).is_file()) {
        return Err(Unpassed::Skipped("not installed (Debian packages): libsctp-dev".to_owned()));
    }
    vm::prepare().map_err(|error| Unpassed::Skipped(error.to_string()))?;
    let mut script = String::from("failed=0\n");
    for run in &RUNS {
        script += &command(run, &build(root, run)?);
    }
    script += "exit $failed\n";
    let out = fresh_folder(root).map_err(|error| Unpassed::Failed(error.to_string()))?;
    let options = vm::Options { limit: LIMIT, out: Some(out.clone()), ..vm::Options::default() };
    println!("$ cargo xtask vm --timeout {} -- …", LIMIT.as_secs());
    let status = vm::run_command(&options, &["bash", "-c", &script].map(str::to_owned))
        .map_err(|error| Unpassed::Failed(error.to_string()))?;
    tables.extend(tables::parse(&fs::read_to_string(out.join(ROWS)).unwrap_or_default()));
    if status == 0 { Ok(()) } else { Err(Unpassed::Failed(format!("exit status {status} in the machine"))) }
}

/// Builds a test program with optimisation, which emulation needs, and returns where it is.
fn build(root: &Path, run: &Run) -> Result<PathBuf, Unpassed> {
    let Run { package, features, target, .. } = run;
    println!("$ cargo test --release -p {package} --features {features} --test {target} --no-run");
    let arguments =
        ["test", "--release", "--locked", "-p", package, "--features", features, "--test", target];
    let messages =
        capture(root, "cargo", &[arguments.as_slice(), &["--no-run", "--message-format", "json"]].concat())?;
    executable(&messages, target).ok_or_else(|| Unpassed::Failed(format!("cargo built no test {target}")))
}

/// Finds the program of a test in cargo's messages, one JSON object a line.
fn executable(messages: &str, target: &str) -> Option<PathBuf> {
    let name = format!("\"name\":\"{target}\"");
    let artifacts =
        messages.lines().filter(|line| line.contains("\"kind\":[\"test\"]") && line.contains(&name));
    let mut paths = artifacts.filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    paths.next_back().map(PathBuf::from)
}

/// Lines of the script: a heading, and the tests one after the other.
fn command(run: &Run, program: &Path) -> String {
    let (target, arguments) = (run.target, run.arguments.join(" "));
    format!(
        "echo '---- {target}'\n\
         RUST_BACKTRACE=0 INTEROP_TABLES=/out/{ROWS} '{}' --test-threads=1 {arguments} || failed=1\n",
        program.display()
    )
}

/// The folder that is `/out` in the machine, without what an earlier run left there.
fn fresh_folder(root: &Path) -> std::io::Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("interop");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_program_is_found_in_cargos_messages() {
        let messages = "{\"target\":{\"kind\":[\"lib\"],\"name\":\"transport\"},\"executable\":null}\n\
            {\"target\":{\"kind\":[\"test\"],\"name\":\"contract\"},\"executable\":\"/t/contract-1\",\"fresh\":true}\n\
            {\"target\":{\"kind\":[\"test\"],\"name\":\"tcp\"},\"executable\":\"/t/tcp-1\",\"fresh\":true}\n";
        assert_eq!(executable(messages, "contract"), Some(PathBuf::from("/t/contract-1")));
        assert_eq!(executable(messages, "udp"), None);
    }
}
