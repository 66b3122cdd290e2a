//! Captures of many vendors' exporters, sent to a collector datagram by datagram. What comes of them is the table of
//! docs/samples.md; `UPDATE_GOLDEN=1` writes it anew.
//!
//! The captures are beside the workspace, in `../shared/ipfix/samples`, as their licences differ: without that folder the test is
//! skipped, and says so.

mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use exporter::capture::{LinkType, PacketSource as _, PcapFile};
use ipfix::Header;
use world::{Collector, Directory, address, output, read};

/// Why there are not as many records as tshark's flows.
const REASONS: [(&str, &str); 8] = [
    ("akvorado_base", "11 records come before their template and wait for it; tshark passes over them"),
    (
        "ipfixcol_enterprise-from-nfv9",
        "an Options Template tells its scope in octets, as NetFlow does: the message is malformed (RFC 7011 section 9.1), and \
         with it go the templates of all data",
    ),
    ("logstash_netflow5_test_juniper_mx80", "tshark numbers no flows of version 5; the header says 29"),
    ("logstash_netflow5_test_microtik", "tshark numbers no flows of version 5; the header says 30"),
    ("telegraf_netflow_v5_example", "tshark numbers no flows of version 5; the header says 8"),
    (
        "logstash_netflow9_test_h3c",
        "tshark stops in the first record, at an address of two octets; the header says 16",
    ),
    (
        "logstash_netflow9_test_invalid01",
        "the header says 2 records, the two templates, and tshark stops there; FlowSets go on to the end of the datagram",
    ),
    ("logstash_netflow5_test_invalid01", "the header says more flows than version 5 may have"),
];

/// The folder with the captures. None: it is not there, and that has been said.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/ipfix/samples");
    if folder.join("INDEX.tsv").is_file() {
        return Some(folder);
    }
    // Not `eprintln!`, which shows nothing of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: there is no {}", folder.display());
    None
}

/// What the table begins with.
const HEAD: &str = "\
| capture | version | datagrams | flow records | options records | sets without template | refused | tshark's flows | why |
| ------- | ------- | --------- | ------------ | --------------- | --------------------- | ------- | -------------- | --- |
";

/// A line of INDEX.tsv.
struct Sample {
    name: String,
    version: String,
    tshark: u64,
}

fn samples(folder: &Path) -> Vec<Sample> {
    let index = read(&folder.join("INDEX.tsv"));
    let sample = |line: &str| {
        let mut columns = line.split('\t').map(str::to_owned);
        let mut next = || columns.next().unwrap();
        Sample { name: next(), version: next(), tshark: next().parse().unwrap() }
    };
    index.lines().skip(1).map(sample).collect()
}

/// The UDP datagrams of a capture, with the address and port they come from.
fn datagrams(path: &Path) -> Vec<((Ipv4Addr, u16), Vec<u8>)> {
    let mut file = PcapFile::open(path).unwrap();
    let mut datagrams = Vec::new();
    while let Some(packet) = file.next_packet().unwrap() {
        let ip = match packet.link {
            LinkType::Ethernet => &packet.octets[14..],
            LinkType::RawIp => packet.octets,
            other => panic!("{}: {other}", path.display()),
        };
        let word = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
        let header = usize::from(ip[0] & 15) * 4;
        assert!(
            ip[0] >> 4 == 4 && ip[9] == 17 && word(6) & 0x3fff == 0,
            "{}: no whole datagram",
            path.display()
        );
        let source = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
        let length = usize::from(word(header + 4));
        datagrams.push(((source, word(header)), ip[header + 8..header + length].to_vec()));
    }
    datagrams
}

/// What a collector makes of a sample.
#[derive(Default)]
struct Outcome {
    datagrams: u64,
    flows: u64,
    options: u64,
    no_template: u64,
    malformed: u64,
}

fn collect(folder: &Path, sample: &Sample) -> Outcome {
    let directory = Directory::new();
    let collector = Collector::start_udp(&directory, &(output(&directory) + "queue = \"256MiB\"\n"));
    let mut sockets = BTreeMap::new();
    let datagrams = datagrams(&folder.join(format!("{}.pcap", sample.name)));
    for (source, datagram) in &datagrams {
        let socket = sockets.entry(source).or_insert_with(|| UdpSocket::bind((address(), 0)).unwrap());
        socket.send_to(datagram, collector.tcp()).unwrap();
    }
    let whole =
        |name: &str| format!("{:.0}", collector.metric(&format!("ipfix_collector_{name}"))).parse().unwrap();
    // A message of nothing: when it has been counted, those before it have been decoded.
    let nothing = Header { length: 16, export_time: 0, sequence: 0, domain: 0 };
    let socket = UdpSocket::bind((address(), 0)).unwrap();
    socket.send_to(&nothing.to_octets(), collector.tcp()).unwrap();
    let sent = datagrams.len() as f64 + 1.0;
    collector.wait_for_metric("ipfix_collector_messages_received_total{transport=\"udp\"}", sent);
    let mut outcome = Outcome {
        datagrams: datagrams.len() as u64,
        flows: whole("records_received_total{kind=\"data\"}"),
        options: whole("records_received_total{kind=\"options\"}"),
        no_template: whole("records_dropped_total{reason=\"limit\"}"),
        malformed: whole("messages_malformed_total"),
    };
    assert!(collector.stop().success());
    // What still waits for its template at the end is without one.
    let letters = std::fs::read_to_string(directory.path("dead-letter.jsonl")).unwrap_or_default();
    let without_template = letters.lines().filter(|line| line.contains("\"reason\":\"no_template\""));
    outcome.no_template += without_template.count() as u64;
    let lines = read(&directory.path("flows.jsonl"));
    let records: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let options = records.iter().filter(|record| record["options"] == true).count() as u64;
    assert_eq!(
        (records.len() as u64 - options, options),
        (outcome.flows, outcome.options),
        "{}",
        sample.name
    );
    outcome
}

fn row(sample: &Sample, outcome: &Outcome) -> String {
    let Sample { name, version, tshark } = sample;
    let Outcome { datagrams, flows, options, no_template, malformed } = outcome;
    let reasons: BTreeMap<_, _> = REASONS.into_iter().collect();
    let why = reasons.get(name.as_str()).copied().unwrap_or_default();
    format!(
        "| {name} | {version} | {datagrams} | {flows} | {options} | {no_template} | {malformed} | {tshark} | {why} |\n"
    )
}

#[test]
fn every_sample_is_decoded_completely_or_refused_for_a_reason() {
    let Some(folder) = folder() else { return };
    let mut table = HEAD.to_owned();
    for sample in &samples(&folder) {
        let outcome = collect(&folder, sample);
        let same = outcome.flows + outcome.options == sample.tshark;
        assert!(same || REASONS.iter().any(|(name, _)| *name == sample.name), "{}", row(sample, &outcome));
        write!(table, "{}", row(sample, &outcome)).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples.md");
    let document = read(&path);
    let (before, old) = document.split_at(document.find(HEAD).unwrap_or(document.len()));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{table}")).unwrap();
    } else {
        assert_eq!(table, old, "UPDATE_GOLDEN=1 writes the table anew");
    }
}
