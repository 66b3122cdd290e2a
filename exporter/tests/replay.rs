//! `ipfix-exporter replay`: captures to an IPFIX file.

mod direct;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use direct::Directory;
use exporter::capture::{LoopOptions, Looped, PacketSource as _};
use exporter::export::FlowEncoder;
use exporter::metering::{FlowEndReason, Meter, MeteringConfig};
use ipfix::{CollectingConfig, CollectingSession, Record, Visitor};
use pcap_fixtures::{DEMO, HTTP, IPV6, MIXED, VLAN, fixture};
use serde_json::Value;

fn replay(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ipfix-exporter"))
        .arg("replay")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It need not read all of it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn summary(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The records of a file, sorted.
#[derive(Default)]
struct Records(Vec<Vec<u8>>);

impl Visitor for Records {
    fn record(&mut self, record: &Record<'_>) {
        self.0.push(record.octets.to_vec());
    }

    fn no_template(&mut self, _: u32, set: u16, _: &[u8]) {
        panic!("no template for set {set}");
    }
}

fn decode(path: &Path) -> Vec<Vec<u8>> {
    let (mut session, mut records) =
        (CollectingSession::new(CollectingConfig::default()), Records::default());
    let file = std::fs::read(path).unwrap();
    let mut rest = file.as_slice();
    while !rest.is_empty() {
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let summary = session.decode(0, &rest[..length], &mut records).unwrap();
        assert!(!summary.out_of_sequence && summary.lost == 0);
        rest = &rest[length..];
    }
    records.0.sort();
    records.0
}

/// The records of captures as they have to be, by the metering process alone and as live packets come: with time that is told
/// between them.
fn metered(captures: &[&str], config: MeteringConfig) -> Vec<Vec<u8>> {
    let (mut meter, mut flows) = (Meter::new(config, 1), Vec::new());
    for capture in captures {
        let mut source = Looped::open(fixture(capture), LoopOptions::default()).unwrap();
        while let Some(packet) = source.next_packet().unwrap() {
            meter.packet(&packet, &mut flows);
            while meter.advance(packet.timestamp, &mut flows) {}
        }
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {}
    let encoder = FlowEncoder::new();
    let encode = |flow| {
        let mut record = Vec::new();
        encoder.encode(flow, &mut record);
        record
    };
    let mut records: Vec<_> = flows.iter().map(encode).collect();
    records.sort();
    records
}

#[test]
fn a_file_gets_the_flows_that_live_packets_give() {
    let directory = Directory::new();
    for capture in [DEMO, HTTP, MIXED] {
        let file = directory.path("flows.ipfix");
        let path = fixture(capture);
        let output = replay(&[path.to_str().unwrap(), "--output", file.to_str().unwrap()], &[]);
        let expected = metered(&[capture], MeteringConfig::default());
        assert_eq!(summary(&output)["flows"], expected.len(), "{capture}");
        assert!(decode(&file) == expected, "{capture}");
    }
}

#[test]
fn captures_are_one_after_the_other_and_metered_as_configured() {
    let directory = Directory::new();
    let (file, config) = (directory.path("flows.ipfix"), directory.path("exporter.toml"));
    let text = "[source]\ninterfaces = \"lo\"\n[metering]\nidle-timeout = \"1s\"\nactive-timeout = \"1s\"\n\
                [udp]\ncollector = \"192.0.2.1:4739\"\n";
    std::fs::write(&config, text).unwrap();
    // The first of them by standard input.
    let (first, second) = (std::fs::read(fixture(HTTP)).unwrap(), fixture(DEMO));
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "-",
        second.to_str().unwrap(),
        "--output",
        file.to_str().unwrap(),
    ];
    let output = replay(&arguments, &first);
    let second = std::time::Duration::from_secs(1);
    let timeouts =
        MeteringConfig { idle_timeout: second, active_timeout: second, ..MeteringConfig::default() };
    let expected = metered(&[HTTP, DEMO], timeouts);
    assert_eq!(summary(&output)["flows"], expected.len());
    assert!(decode(&file) == expected);
}

#[test]
fn a_damaged_capture_is_a_failure_and_what_is_before_is_in_the_file() {
    let directory = Directory::new();
    let (file, capture) = (directory.path("flows.ipfix"), directory.path("damaged.pcap"));
    let mut octets = std::fs::read(fixture(HTTP)).unwrap();
    let length = u32::from_le_bytes(octets[32..36].try_into().unwrap()) as usize;
    let second = 24 + 16 + length;
    octets[second + 8..second + 12].fill(0xff);
    std::fs::write(&capture, octets).unwrap();
    let output = replay(&[capture.to_str().unwrap(), "--output", file.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("damaged.pcap") && told.contains(&format!("octet {}:", second + 8)), "{told}");
    assert_eq!(decode(&file).len(), 1);
    assert_eq!(replay(&["/nowhere/*.pcap", "--output", file.to_str().unwrap()], &[]).status.code(), Some(74));
}

#[test]
fn a_filter_chooses_what_tcpdump_chooses() {
    let directory = Directory::new();
    let (chosen, ours, theirs) =
        (directory.path("chosen.pcap"), directory.path("ours.ipfix"), directory.path("theirs.ipfix"));
    for (capture, filter) in [
        (DEMO, "udp or (ip6 and not tcp port 80)"),
        (VLAN, "vlan and icmp"),
        (VLAN, "not vlan"),
        (IPV6, "ip6 and less 1000"),
        (HTTP, "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0"),
    ] {
        let path = fixture(capture);
        let path = path.to_str().unwrap();
        let tcpdump =
            Command::new("tcpdump").args(["-r", path, "-w", chosen.to_str().unwrap(), filter]).output();
        if tcpdump.is_err() {
            return direct::skipped("tcpdump");
        }
        let filtered = replay(&[path, "--filter", filter, "--output", ours.to_str().unwrap()], &[]);
        let expected = replay(&[chosen.to_str().unwrap(), "--output", theirs.to_str().unwrap()], &[]);
        assert!(summary(&filtered)["flows"].as_u64() > Some(0), "{filter}");
        assert_eq!(summary(&filtered)["packets"], summary(&expected)["packets"], "{filter}");
        assert!(decode(&ours) == decode(&theirs), "{filter}");
    }
    for (wrong, told) in [("udp prt 53", "can't parse filter expression"), ("inbound", "not supported")] {
        let output = replay(&["-", "--filter", wrong, "--output", ours.to_str().unwrap()], &[]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(told), "{error}");
    }
}
