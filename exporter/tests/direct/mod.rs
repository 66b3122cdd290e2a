//! An exporter process that sends to one address over UDP, and what its flows of a capture have to be.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use exporter::capture::{LoopOptions, Looped, PacketSource as _};
use exporter::metering::{FlowEndReason, FlowRecord, Meter, MeteringConfig};
use serde_json::Value;

/// How long a flow lasts at most, in the tests' configuration.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A directory that is gone after the test.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("exporter-direct-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns an address of 127.0.0.0/8 that no other test is likely to have.
pub(crate) fn address() -> IpAddr {
    let [a, b, c, ..] = getrandom::u64().unwrap().to_be_bytes();
    Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254)).into()
}

/// How an exporter ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    /// The summary.
    pub(crate) summary: Value,
    pub(crate) log: String,
}

impl End {
    /// Returns a number of the summary.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.summary[key].as_u64().unwrap_or_else(|| panic!("no {key} in {}", self.summary))
    }
}

/// Returns the configuration of an exporter of `capture` to `collector`. `udp` are more lines of `[udp]`.
pub(crate) fn config(capture: &Path, source: &str, collector: SocketAddr, udp: &str) -> String {
    format!(
        "[source]\npcap = {capture:?}\n{source}\n[metering]\nidle-timeout = \"1s\"\nactive-timeout = \"1s\"\n\
         [udp]\ncollector = \"{collector}\"\n{udp}\n[http]\nlisten = \"{}:9382\"\n",
        address()
    )
}

/// Exports with this configuration, to the end.
pub(crate) fn export(directory: &Directory, config: &str) -> End {
    let file = directory.path("exporter.toml");
    fs::write(&file, config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ipfix-exporter"))
        .args(["run", "--log-level", "debug", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    println!("{log}");
    let summary = serde_json::from_slice(&output.stdout).expect(&log);
    End { code: output.status.code(), summary, log }
}

/// Source, its port, destination, its port, protocol, packets, octets, and when it starts: milliseconds of its minute.
/// Without ports for ICMP.
pub(crate) type Flow = (IpAddr, u16, IpAddr, u16, u8, u64, u64, u64);

/// How often each flow is there: flows of a moment may be alike.
pub(crate) type Flows = BTreeMap<Flow, u32>;

/// Returns the flows of a capture, by the metering process alone.
pub(crate) fn metered(capture: &Path) -> Flows {
    let mut source = Looped::open(capture, LoopOptions { loops: Some(1), ..LoopOptions::default() }).unwrap();
    let config =
        MeteringConfig { idle_timeout: TIMEOUT, active_timeout: TIMEOUT, ..MeteringConfig::default() };
    let (mut meter, mut flows) = (Meter::new(config, 1), Vec::new());
    while let Some(packet) = source.next_packet().unwrap() {
        meter.packet(&packet, &mut flows);
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {}
    let mut count = Flows::new();
    for flow in &flows {
        *count.entry(seen(flow)).or_default() += 1;
    }
    count
}

fn seen(flow: &FlowRecord) -> Flow {
    let is_icmp = [1, 58].contains(&flow.protocol);
    let port = |port| if is_icmp { 0 } else { port };
    (
        flow.source,
        port(flow.source_port),
        flow.destination,
        port(flow.destination_port),
        flow.protocol,
        flow.packets,
        flow.octets,
        flow.start_ms() % 60_000,
    )
}

/// Says that a test is skipped.
pub(crate) fn skipped(program: &str) {
    // Not `eprintln!`, which shows nothing of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {program} is not installed");
}
