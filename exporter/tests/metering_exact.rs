//! The meter's sums and flows against those of another program, over traces with the sizes and pauses of the internet.
//!
//! The generator is beside the workspace, in `../shared/tools/flowgen`; without it the test is skipped. `FLOWGEN` names its executable,
//! so that it is not built here.

use exporter::capture::{PacketSource, PcapFile};
use exporter::metering::{FlowEndReason, Meter, MeteringConfig};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[derive(Debug, Eq, PartialEq)]
struct Sums {
    packets: u64,
    octets: u64,
    flows: u64,
}

#[test]
fn packets_octets_and_flows_are_those_of_another_meter() {
    let Some(generator) = generator() else {
        eprintln!("skipped: there is no ../shared/tools/flowgen beside the workspace");
        return;
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("exact");
    std::fs::create_dir_all(&folder).unwrap();
    for seed in ["1", "42", "4711"] {
        let trace = folder.join(format!("{seed}-{}.pcap", std::process::id()));
        let trace = trace.to_str().unwrap();
        run(&generator, &["pcap", "--out", trace, "--seed", seed, "--sessions", "6000"]);
        for (idle, active) in [(60, 300), (30, 300)] {
            let truth = truth(&generator, trace, idle, active);
            let metered = metered(Path::new(trace), idle, active);
            assert_eq!((metered.packets, metered.octets), (truth.packets, truth.octets), "seed {seed}");
            // Within 0.01 %.
            let difference = metered.flows.abs_diff(truth.flows);
            assert!(difference * 10_000 <= truth.flows, "seed {seed}, idle {idle} s: {metered:?}, {truth:?}");
        }
        std::fs::remove_file(trace).unwrap();
    }
}

/// Returns the generator's executable; builds it from its sources where nobody says where it is.
fn generator() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("FLOWGEN") {
        return Some(path.into());
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/tools/flowgen/Cargo.toml");
    if !manifest.exists() {
        return None;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flowgen");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--quiet", "--locked", "--manifest-path"]).arg(manifest);
    let built = build.arg("--target-dir").arg(&target).status().unwrap();
    assert!(built.success(), "the generator does not build");
    Some(target.join("release/gen"))
}

fn run(generator: &Path, arguments: &[&str]) -> String {
    let output = Command::new(generator).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn truth(generator: &Path, trace: &str, idle: u64, active: u64) -> Sums {
    let (idle, active) = (idle.to_string(), active.to_string());
    let told = run(generator, &["truth", "--in", trace, "--idle", &idle, "--active", &active]);
    let value = |name: &str| {
        let mut words = told.split_whitespace();
        words.find(|word| *word == name).and_then(|_| words.next()).unwrap().parse().unwrap()
    };
    Sums { packets: value("packets"), octets: value("octets_L3"), flows: value("flows") }
}

fn metered(trace: &Path, idle: u64, active: u64) -> Sums {
    let config = MeteringConfig {
        idle_timeout: Duration::from_secs(idle),
        active_timeout: Duration::from_secs(active),
        ..MeteringConfig::default()
    };
    let (mut meter, mut records) = (Meter::new(config, 1), Vec::new());
    let mut file = PcapFile::open(trace).unwrap();
    let mut sums = Sums { packets: 0, octets: 0, flows: 0 };
    let mut take = |records: &mut Vec<exporter::metering::FlowRecord>| {
        for record in records.drain(..) {
            sums.packets += record.packets;
            sums.octets += record.octets;
            sums.flows += 1;
        }
    };
    while let Some(packet) = file.next_packet().unwrap() {
        meter.packet(&packet, &mut records);
        take(&mut records);
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut records) {}
    take(&mut records);
    sums
}
