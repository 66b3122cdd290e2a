//! Tests against other programs. A test file `tests/interop_PEER.rs` of any package belongs to the peer of that
//! name below; its tests are `#[ignore]`d, so that `cargo test` needs no peer, and run here where it is installed.
//! The peers `kernel`, Linux's SCTP, and `rsplib`, RSerPool's reference implementation, are in a virtual machine: see
//! [`kernel::SUITES`].

pub(crate) mod kernel;
mod tables;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::steps::{self, Outcome, Steps, Unpassed, installed};

/// One program to work with.
struct Peer {
    /// As in `interop_PEER.rs`.
    name: &'static str,
    /// The program that must be in the PATH.
    program: &'static str,
    /// The Debian package that brings it.
    package: &'static str,
}

/// To add a peer, add a line and a test file.
const PEERS: [Peer; 5] = [
    Peer { name: "tshark", program: "tshark", package: "tshark" },
    Peer { name: "softflowd", program: "softflowd", package: "softflowd" },
    Peer { name: "pmacct", program: "pmacctd", package: "pmacct" },
    Peer { name: "netcat", program: "nc", package: "netcat-openbsd" },
    Peer { name: "nfdump", program: "nfcapd", package: "nfdump" },
];

const USAGE: &str = "\
Runs the tests against other programs, those that are installed, and in virtual machines those against kernel SCTP and
rsplib (see cargo xtask vm --help for what that needs, and libsctp-dev). What cannot run is named at the end.

Usage: cargo xtask interop [--write] [PEER]

PEER is one of tshark, softflowd, pmacct, netcat, nfdump, kernel and rsplib [default: all of them]

Options:
  --write  Write the tables of what was measured into docs/interop.md (as UPDATE_GOLDEN=1 does)
";

/// Whether tables are only printed, or also written into the documentation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tables {
    Print,
    Write,
}

impl Tables {
    /// As the environment wants it.
    pub(crate) fn from_env() -> Tables {
        if env::var_os("UPDATE_GOLDEN").is_some() { Tables::Write } else { Tables::Print }
    }
}

/// All interoperation, or that with one peer, as part of a larger run.
pub(crate) fn run_all(steps: &mut Steps, root: &Path, only: Option<&str>, then: Tables) {
    let chosen = |name: &str| only.is_none_or(|only| only == name);
    for peer in &PEERS {
        if chosen(peer.name) && has_tests(root, peer.name) {
            steps.step(&format!("interoperation with {}", peer.name), |root| check(root, peer));
        }
    }
    for suite in kernel::SUITES.iter().filter(|suite| chosen(suite.name)) {
        let mut measured = Vec::new();
        steps.step(suite.title, |root| kernel::check(root, suite, &mut measured));
        if !measured.is_empty() {
            println!("\n{}", tables::markdown(&measured));
        }
        if then == Tables::Write && !measured.is_empty() {
            let step = format!("tables of {} in docs/interop.md", suite.name);
            steps.step(&step, |root| tables::write(root, suite.name, &measured));
        }
    }
}

/// `cargo xtask interop ARGUMENTS`.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> ExitCode {
    let (then, rest) = match arguments {
        ["--write", rest @ ..] => (Tables::Write, rest),
        rest => (Tables::from_env(), rest),
    };
    let only = match rest {
        [] => None,
        ["--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [name] if is_peer(name) => Some(*name),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut steps = Steps::new(root);
    run_all(&mut steps, root, only, then);
    steps.finish()
}

fn is_peer(name: &str) -> bool {
    let suites = kernel::SUITES.iter().map(|suite| suite.name);
    suites.chain(PEERS.iter().map(|peer| peer.name)).any(|known| known == name)
}

fn check(root: &Path, peer: &Peer) -> Outcome {
    if !installed(peer.program) {
        let (program, package) = (peer.program, peer.package);
        return Err(Unpassed::Skipped(format!("{program} is not installed (Debian: {package})")));
    }
    let target = format!("interop_{}", peer.name);
    // The whole workspace, so that features are those of the test step and nothing is built twice.
    steps::run(root, "cargo", &["test", "--workspace", "--test", &target, "--", "--include-ignored"])
}

/// Looks for `tests/interop_PEER.rs` in every package.
fn has_tests(root: &Path, peer: &str) -> bool {
    let file = format!("tests/interop_{peer}.rs");
    packages(root).iter().any(|folder| folder.join(&file).is_file())
}

/// Where packages can lie: one or two folders deep.
fn packages(root: &Path) -> Vec<PathBuf> {
    [root.to_owned(), root.join("crates")].iter().flat_map(|folder| entries(folder)).collect()
}

/// The files and folders of a folder, by name; none if there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().map(|e| e.path()).collect());
    let mut entries: Vec<_> = entries.unwrap_or_default();
    entries.sort();
    entries
}
