//! Suites of tests that need kernel SCTP: built here, each run in one virtual machine that has it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tables::{self, Table};
use super::{entries, packages};
use crate::steps::{Outcome, Unpassed, capture};
use crate::vm;

/// The feature of a package that has kernel SCTP.
pub(crate) const FEATURE: &str = "kernel-sctp";

/// The tests of one run of the machine.
#[derive(Debug)]
pub(crate) struct Suite {
    /// As in `cargo xtask interop NAME`.
    pub(crate) name: &'static str,
    /// The heading of its step.
    pub(crate) title: &'static str,
    /// Test files and folders in `tests` of a package that belong to it start with one of these.
    prefixes: &'static [&'static str],
    /// A test file of which only a part belongs to it, and what the names of the tests in that part contain.
    part: Option<(&'static str, &'static str)>,
    /// What the tests call, and the packages that bring it.
    programs: &'static [(&'static str, &'static str)],
    /// Tests of one program at once.
    at_once: u32,
    /// Tests with this in their names run after the others, each alone: they measure.
    alone: Option<&'static str>,
}

/// To add a suite, add an entry and test files.
pub(crate) const SUITES: [Suite; 2] = [
    Suite {
        name: "kernel",
        title: "kernel SCTP, in a virtual machine",
        prefixes: &["kernel", "interop_kernel"],
        // Of the contract of all back ends, only the kernel's part is for the machine.
        part: Some(("contract", "kernel")),
        programs: &[
            ("ip", "iproute2"),
            ("tc", "iproute2"),
            ("ethtool", "ethtool"),
            ("sysctl", "procps"),
            ("tcpdump", "tcpdump"),
            // The recipes of docs/encryption.md.
            ("openssl", "openssl"),
            ("nft", "nftables"),
            ("wg-quick", "wireguard-tools"),
            ("charon-systemd", "charon-systemd"),
            ("swanctl", "strongswan-swanctl"),
            (OPENSSL_PLUGIN, "libstrongswan-standard-plugins"),
        ],
        at_once: 1,
        alone: None,
    },
    Suite {
        name: "rsplib",
        title: "rsplib, in a virtual machine",
        prefixes: &["interop_rsplib"],
        part: None,
        programs: &[
            ("ip", "iproute2"),
            ("rspregistrar", "rsplib-registrar"),
            ("rspserver", "rsplib-tools"),
            ("pingpongclient", "rsplib-services"),
        ],
        // Most of them wait for timers of rsplib most of the time.
        at_once: 2,
        alone: Some("cost::"),
    },
];

/// One test program.
#[derive(Debug, Eq, PartialEq)]
struct Run {
    package: String,
    /// The name of the test file or folder in `tests`.
    target: String,
    /// What the names of its tests contain; all tests without one.
    filter: Option<&'static str>,
}

/// For one test program, in seconds; a hung one does not keep the next from running.
const PROGRAM_LIMIT: u32 = 900;
/// For all of it, boot included. Emulation on two busy processors takes about a third of that.
const LIMIT: Duration = Duration::from_secs(1_800);

/// The header that the feature is built with; package libsctp-dev.
const LIBSCTP: [&str; 2] = ["/usr/include/netinet/sctp.h", "/usr/local/include/netinet/sctp.h"];

/// With what strongSwan reads the keys of certificates; apt-get brings it as a recommendation only.
const OPENSSL_PLUGIN: &str = "/usr/lib/ipsec/plugins/libstrongswan-openssl.so";

/// The file in the machine's `/out` that collects rows of tables.
const ROWS: &str = "rows";

/// Runs a suite and returns its tables.
pub(super) fn check(root: &Path, suite: &Suite, tables: &mut Vec<Table>) -> Outcome {
    buildable()?;
    vm::prepare(suite.programs).map_err(|error| Unpassed::Skipped(error.to_string()))?;
    let mut script = String::from("failed=0\n");
    for run in &suite.runs(root) {
        script += &suite.command(run, &build(root, run)?);
    }
    script += "exit $failed\n";
    let out = fresh_folder(root, suite.name).map_err(|error| Unpassed::Failed(error.to_string()))?;
    let options = vm::Options { limit: LIMIT, out: Some(out.clone()), ..vm::Options::default() };
    println!("$ cargo xtask vm --timeout {} -- …", LIMIT.as_secs());
    let status = vm::run_command(&options, &["bash", "-c", &script].map(str::to_owned))
        .map_err(|error| Unpassed::Failed(error.to_string()))?;
    tables.extend(tables::parse(&fs::read_to_string(out.join(ROWS)).unwrap_or_default()));
    if status == 0 { Ok(()) } else { Err(Unpassed::Failed(format!("exit status {status} in the machine"))) }
}

/// Whether the feature can be built here.
pub(crate) fn buildable() -> Outcome {
    if LIBSCTP.iter().any(|header| Path::new(header).is_file()) {
        return Ok(());
    }
    Err(Unpassed::Skipped("not installed (Debian packages): libsctp-dev".to_owned()))
}

impl Suite {
    /// Its test programs in all packages that have the feature.
    fn runs(&self, root: &Path) -> Vec<Run> {
        let mut runs = Vec::new();
        for folder in packages(root) {
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
            let Some(package) = package_with_feature(&manifest) else { continue };
            let targets = entries(&folder.join("tests"));
            let targets = targets.iter().filter_map(|path| path.file_stem()?.to_str());
            runs.extend(targets.filter_map(|target| self.run(package, target)));
        }
        runs
    }

    fn run(&self, package: &str, target: &str) -> Option<Run> {
        let filter = self.part.filter(|(file, _)| target == *file).map(|(_, filter)| filter);
        let chosen = filter.is_some() || self.prefixes.iter().any(|prefix| target.starts_with(prefix));
        chosen.then(|| Run { package: package.to_owned(), target: target.to_owned(), filter })
    }

    /// Lines of the script: a heading, and the tests.
    fn command(&self, run: &Run, program: &Path) -> String {
        let Run { package, target, filter } = run;
        let filter = filter.unwrap_or_default();
        let mut script = format!("echo '---- {target} of {package}'\n");
        let mut pass = |at_once: u32, which: &str| {
            script += &format!(
                "RUST_BACKTRACE=0 INTEROP_TABLES=/out/{ROWS} timeout {PROGRAM_LIMIT} \\\n  \
                 '{}' --include-ignored --test-threads={at_once} --nocapture {which} || failed=1\n",
                program.display()
            );
        };
        match self.alone {
            None => pass(self.at_once, filter),
            Some(alone) => {
                pass(self.at_once, &format!("--skip {alone}"));
                pass(1, alone);
            }
        }
        script
    }
}

/// The name in a manifest that has the feature.
fn package_with_feature(manifest: &str) -> Option<&str> {
    manifest.lines().find(|line| line.starts_with(FEATURE))?;
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = "))?;
    Some(name.trim_matches('"'))
}

/// Builds a test program with optimisation, which emulation needs, and returns where it is.
fn build(root: &Path, run: &Run) -> Result<PathBuf, Unpassed> {
    let Run { package, target, .. } = run;
    println!("$ cargo test --release -p {package} --features {FEATURE} --test {target} --no-run");
    let which = ["test", "--release", "--locked", "-p", package, "--features", FEATURE, "--test", target];
    let how = ["--no-run", "--message-format", "json"];
    let messages = capture(root, "cargo", &[which.as_slice(), &how].concat())?;
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

/// The folder that is `/out` in the machine, without what an earlier run left there.
fn fresh_folder(root: &Path, name: &str) -> std::io::Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("interop").join(name);
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
    fn tests_of_kernel_sctp_are_known_by_their_names() {
        let of =
            |target: &str, filter| Some(Run { package: "p".to_owned(), target: target.to_owned(), filter });
        let [kernel, rsplib] = &SUITES;
        assert_eq!(kernel.run("p", "kernel_multihoming"), of("kernel_multihoming", None));
        assert_eq!(kernel.run("p", "interop_kernel"), of("interop_kernel", None));
        assert_eq!(kernel.run("p", "contract"), of("contract", Some("kernel")));
        assert_eq!(kernel.run("p", "interop_tshark"), None);
        assert_eq!(kernel.run("p", "interop_rsplib"), None);
        assert_eq!(rsplib.run("p", "interop_rsplib_cpu"), of("interop_rsplib_cpu", None));
        assert_eq!(rsplib.run("p", "contract"), None);
        assert_eq!(package_with_feature("name = \"p\"\n[features]\nkernel-sctp = []\n"), Some("p"));
        assert_eq!(package_with_feature("name = \"p\"\n"), None);
    }

    #[test]
    fn tests_that_measure_run_alone_and_last() {
        let [kernel, rsplib] = &SUITES;
        let run = Run { package: "p".to_owned(), target: "t".to_owned(), filter: None };
        let commands = |suite: &Suite| suite.command(&run, Path::new("/t")).matches("'/t'").count();
        assert_eq!((commands(kernel), commands(rsplib)), (1, 2));
        let script = rsplib.command(&run, Path::new("/t"));
        let (others, alone) = script.split_once("failed=1\n").unwrap();
        assert!(others.contains("--test-threads=2 --nocapture --skip cost::"), "{others}");
        assert!(alone.contains("--test-threads=1 --nocapture cost::"), "{alone}");
    }

    #[test]
    fn the_test_program_is_found_in_cargos_messages() {
        let messages = "{\"target\":{\"kind\":[\"lib\"],\"name\":\"transport\"},\"executable\":null}\n\
            {\"target\":{\"kind\":[\"test\"],\"name\":\"contract\"},\"executable\":\"/t/contract-1\",\"fresh\":true}\n\
            {\"target\":{\"kind\":[\"test\"],\"name\":\"tcp\"},\"executable\":\"/t/tcp-1\",\"fresh\":true}\n";
        assert_eq!(executable(messages, "contract"), Some(PathBuf::from("/t/contract-1")));
        assert_eq!(executable(messages, "udp"), None);
    }
}
