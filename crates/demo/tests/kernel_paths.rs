//! A pool on kernel SCTP whose exporter has two links to its collectors, one of which is cut.
//!
//! Needs root, iproute2 and a kernel with SCTP: `cargo xtask interop` runs it in a virtual machine. The exporter is in a
//! network namespace of its own; the others, and this test, are outside.

#![expect(clippy::disallowed_methods, reason = "measures how long a path takes to be noticed")]

mod world;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use demo::pool::{Plan, Pool};
use demo::stage::{Stage, collector_name};

const NAMESPACE: &str = "flowpool-paths";
/// Of the links `paths1` and `paths2`. Metrics and registrars are on the second one.
const NETWORKS: [[u8; 3]; 2] = [[10, 78, 1], [10, 78, 2]];

#[test]
#[ignore = "needs root and kernel SCTP"]
fn a_link_cut_costs_no_failover_and_no_record() {
    let _links = Links::new();
    let plan = Plan::make(5_000, Duration::from_secs(12)).unwrap();
    let stage = Stage::at(NETWORKS[1], true);
    fs::create_dir_all(&stage.directory).unwrap();
    stage.furnish(&plan).unwrap();
    println!("configuration, logs and flows are in {}", stage.directory.display());
    for name in ["registrar", &collector_name(0), &collector_name(1), "exporter"] {
        use_both_links(&stage, name);
    }
    let mut pool = Pool::start(&launcher(&stage), plan, stage).unwrap();
    let paths = |state| format!("ipfix_exporter_paths{{state=\"{state}\"}}");
    world::wait_for(&mut pool, "two paths", |metrics| metrics.sum(&paths("up")) == 2.0);
    let enough = pool.plan.flows.len() as f64 * 0.2;
    world::wait_for(&mut pool, "a fifth of the flows on disk", |metrics| world::covered(metrics) >= enough);
    cut();
    let begin = Instant::now();
    let metrics = world::wait_for(&mut pool, "a path down", |metrics| metrics.sum(&paths("down")) == 1.0);
    let noticed = begin.elapsed();
    assert_eq!(metrics.sum(&paths("up")), 1.0);
    assert!(pool.exporter.logged().contains("path to the collector lost, the association goes on"));
    // What comes after the cut is acknowledged too.
    let before = world::covered(&metrics);
    world::wait_for(&mut pool, "records after the cut", |metrics| world::covered(metrics) > before);
    let flows = pool.plan.flows.len();
    world::settle_undisturbed(pool);
    let cells = [
        ("flows sent", flows.to_string()),
        ("lost", "0".to_owned()),
        ("failovers", "0".to_owned()),
        ("lost path noticed", format!("{:.1} s", noticed.as_secs_f64())),
    ];
    row("Exporter with two links to its collector, one cut, kernel SCTP", &cells);
}

/// Adds a row to a table of `cargo xtask interop`, which names the file that collects them.
fn row(table: &str, cells: &[(&str, String)]) {
    let cells: Vec<_> = cells.iter().map(|(column, value)| format!("{column}={value}")).collect();
    println!("{table}: {}", cells.join(", "));
    if let Some(path) = std::env::var_os("INTEROP_TABLES") {
        let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{table}\t{}", cells.join("\t")).unwrap();
    }
}

/// Gives a daemon kernel SCTP and its address of the first network beside, and before, that of the second.
fn use_both_links(stage: &Stage, name: &str) {
    let [_, second] = NETWORKS.map(|[a, b, c]| format!("{a}.{b}.{c}."));
    let text = fs::read_to_string(stage.config(name)).unwrap();
    let lines = text.lines().map(|line| {
        let Some((key, list)) = line.split_once(" = [\"") else { return format!("{line}\n") };
        if !matches!(key, "ipfix" | "addresses") {
            return format!("{line}\n");
        }
        let address = list.trim_end_matches("\"]");
        let first = address.replace(&second, &NETWORKS.map(|[a, b, c]| format!("{a}.{b}.{c}."))[0]);
        format!("{key} = [\"{first}\", \"{address}\"]\nstack = \"kernel\"\n")
    });
    let text: String = lines.collect();
    let text = text.replace("[listen]\nasap", "[listen]\nstack = \"kernel\"\nasap");
    fs::write(stage.config(name), text).unwrap();
}

/// A program that becomes the demo's, in the exporter's namespace if it is to be the exporter.
fn launcher(stage: &Stage) -> PathBuf {
    let (file, program) = (stage.directory.join("launch"), world::program().display());
    let script = format!(
        "#!/bin/sh\n\
         if [ \"$2\" = exporter ]; then exec ip netns exec {NAMESPACE} {program} \"$@\"; fi\n\
         exec {program} \"$@\"\n"
    );
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// Nothing crosses the first link any more, and nobody is told.
fn cut() {
    ip(&["netns", "exec", NAMESPACE, "tc", "qdisc", "add", "dev", "inner1", "root", "netem", "loss", "100%"]);
    run("tc", &["qdisc", "add", "dev", "outer1", "root", "netem", "loss", "100%"]);
}

/// The exporter's namespace with two links. Dropping it removes both.
struct Links;

impl Links {
    fn new() -> Self {
        ip(&["netns", "add", NAMESPACE]);
        let links = Self;
        for (number, [a, b, c]) in (1..).zip(NETWORKS) {
            let (outer, inner) = (format!("outer{number}"), format!("inner{number}"));
            ip(&["link", "add", &outer, "type", "veth", "peer", "name", &inner, "netns", NAMESPACE]);
            for host in 1..=3 {
                ip(&["address", "add", &format!("{a}.{b}.{c}.{host}/24"), "dev", &outer]);
            }
            ip(&["link", "set", &outer, "up"]);
            ip(&["-n", NAMESPACE, "address", "add", &format!("{a}.{b}.{c}.4/24"), "dev", &inner]);
            ip(&["-n", NAMESPACE, "link", "set", &inner, "up"]);
        }
        ip(&["-n", NAMESPACE, "link", "set", "lo", "up"]);
        links
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", NAMESPACE]).status();
    }
}

fn ip(arguments: &[&str]) {
    run("ip", arguments);
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let reason = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} (root is needed): {reason}");
}
