//! Captures of many vendors' exporters, sent to a collector datagram by datagram. What comes of them is the table of
//! docs/samples.md; `UPDATE_GOLDEN=1` writes it anew.
//!
//! The captures are beside the workspace, in `../shared/ipfix/samples`, as their licences differ: without that folder the test is
//! skipped, and says so.

mod captures;
#[path = "captures/parser.rs"]
mod parser;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::UdpSocket;
use std::path::Path;

use captures::fields::Fields;
use captures::{Sample, datagrams, decode, folder, samples};
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

/// What the table begins with.
const HEAD: &str = "\
| capture | version | datagrams | flow records | options records | sets without template | refused | tshark's flows | why |
| ------- | ------- | --------- | ------------ | --------------- | --------------------- | ------- | -------------- | --- |
";

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
    let datagrams = datagrams(&sample.path(folder));
    for datagram in &datagrams {
        let socket =
            sockets.entry(datagram.source).or_insert_with(|| UdpSocket::bind((address(), 0)).unwrap());
        socket.send_to(&datagram.octets, collector.tcp()).unwrap();
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
    // Nothing waits for its template there.
    let waits = if sample.name == "akvorado_base" { 11 } else { 0 };
    let printed: Vec<_> = decode(&sample.path(folder)).lines().map(str::to_owned).collect();
    assert_eq!(lines.lines().count() - waits, printed.len(), "{}", sample.name);
    let all: BTreeSet<_> = lines.lines().collect();
    assert!(printed.iter().all(|line| all.contains(line.as_str())), "{}", sample.name);
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

/// Where netflow_parser reads something else; docs/samples.md tells why.
const PARSED_OTHERWISE: [&str; 9] = [
    "ipfixcol_01-odid0",
    "ipfixcol_01-odid4",
    "ipfixcol_02-odid4",
    "ipfixcol_03-odid0-b",
    "ipfixcol_enterprise-from-nfv9",
    "logstash_ipfix_test_procera",
    "logstash_netflow9_test_h3c_netstream_varstring",
    "telegraf_ipfix_pen_35632",
    "telegraf_issue_13305",
];

#[test]
fn netflow_parser_reads_the_samples_as_decode_prints_them() {
    let Some(folder) = folder() else { return };
    let mut otherwise = Vec::new();
    for sample in samples(&folder) {
        let path = sample.path(&folder);
        let differences = Fields::of_lines(&decode(&path)).differences(&parser::fields(&datagrams(&path)));
        if !differences.is_empty() {
            eprintln!("{}\n{differences}", sample.name);
            otherwise.push(sample.name);
        }
    }
    assert_eq!(otherwise, PARSED_OTHERWISE);
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
