//! softflowd exports to the collector over TCP and UDP, IPFIX and NetFlow. It knows no pool and asks for no acknowledgement.

mod softflowd;
mod world;

use pcap_fixtures::{HTTP, fixture};
use world::{Collector, Directory, address, output, read};

/// When [`HTTP`] was captured.
const CAPTURED: &str = "2026-11-21T04:25:";

#[test]
#[ignore = "needs softflowd"]
fn the_flows_of_softflowd_over_tcp_are_those_of_the_capture() {
    let directory = Directory::new();
    let mut collector = Collector::start(&directory, address(), &output(&directory));
    if !softflowd::export(&directory, &fixture(HTTP), "tcp", collector.tcp()) {
        return;
    }
    collector.wait_for("exporter gone");
    assert_eq!(collector.metric("ipfix_collector_messages_malformed_total"), 0.0);
    assert_eq!(collector.metric("ipfix_collector_cookies_sent_total"), 0.0, "it has not asked for any");
    assert!(collector.stop().success());
    let flows = softflowd::written(&read(&directory.path("flows.jsonl")));
    assert_eq!(flows.len(), 20);
    assert_eq!(flows, softflowd::expected(HTTP));
}

#[test]
#[ignore = "needs softflowd"]
fn the_flows_of_softflowd_over_udp_are_those_of_the_capture() {
    let directory = Directory::new();
    let collector = Collector::start_udp(&directory, &output(&directory));
    if !softflowd::export(&directory, &fixture(HTTP), "udp", collector.tcp()) {
        return;
    }
    // Twenty flows and an options record; the templates come with them.
    collector.wait_for_metric("ipfix_collector_records_received_total{kind=\"data\"}", 20.0);
    assert_eq!(collector.metric("ipfix_collector_messages_malformed_total"), 0.0);
    assert_eq!(collector.metric("ipfix_collector_records_lost_total"), 0.0);
    assert_eq!(collector.metric("ipfix_collector_udp_sessions"), 1.0);
    assert!(collector.stop().success());
    let flows = softflowd::written(&read(&directory.path("flows.jsonl")));
    assert_eq!(flows.len(), 20);
    assert_eq!(flows, softflowd::expected(HTTP));
}

/// The flows of a capture as NetFlow of this version.
fn netflow(version: &str, options: u32) {
    let directory = Directory::new();
    let collector = Collector::start_udp(&directory, &output(&directory));
    if !softflowd::export_as(&directory, &fixture(HTTP), &["-v", version], collector.tcp()) {
        return;
    }
    collector.wait_for_metric("ipfix_collector_records_received_total{kind=\"data\"}", 20.0);
    assert_eq!(
        collector.metric("ipfix_collector_records_received_total{kind=\"options\"}"),
        f64::from(options)
    );
    assert_eq!(collector.metric("ipfix_collector_messages_malformed_total"), 0.0);
    assert_eq!(collector.metric("ipfix_collector_records_lost_total"), 0.0);
    assert_eq!(collector.metric("ipfix_collector_netflow_datagrams_lost_total"), 0.0);
    let received = format!("ipfix_collector_netflow_datagrams_received_total{{version=\"{version}\"}}");
    assert!(collector.metric(&received) >= 1.0);
    assert!(collector.stop().success());
    let text = read(&directory.path("flows.jsonl"));
    assert_eq!(softflowd::written(&text), softflowd::expected(HTTP));
    // The capture's own time, although on the wire it is the uptime of softflowd.
    let flows = text.lines().filter(|line| !line.contains("\"options\""));
    let captured = |line: &str| line.contains(&format!("\"flowStartMilliseconds\":\"{CAPTURED}"));
    assert!(flows.into_iter().all(captured), "{text}");
}

#[test]
#[ignore = "needs softflowd"]
fn the_flows_of_softflowd_by_netflow_5_are_those_of_the_capture() {
    netflow("5", 0);
}

#[test]
#[ignore = "needs softflowd"]
fn the_flows_of_softflowd_by_netflow_9_are_those_of_the_capture() {
    netflow("9", 1);
}

#[test]
#[ignore = "needs softflowd"]
fn the_biflows_of_softflowd_have_the_packets_and_octets_of_both_directions() {
    let directory = Directory::new();
    let collector = Collector::start_udp(&directory, &output(&directory));
    if !softflowd::export_as(&directory, &fixture(HTTP), &["-v", "10", "-b"], collector.tcp()) {
        return;
    }
    collector.wait_for_metric("ipfix_collector_records_received_total{kind=\"data\"}", 10.0);
    assert!(collector.stop().success());
    let mut biflows = 0;
    let mut sums = (0, 0);
    for line in read(&directory.path("flows.jsonl")).lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        if record["options"] == true {
            continue;
        }
        let number = |name: &str| record[name].as_u64().unwrap_or_else(|| panic!("{name} in {line}"));
        biflows += 1;
        sums.0 += number("packetDeltaCount") + number("reversePacketDeltaCount");
        sums.1 += number("octetDeltaCount") + number("reverseOctetDeltaCount");
    }
    let expected = softflowd::expected(HTTP);
    assert_eq!(biflows, expected.len() / 2);
    let expected = expected.values().fold((0, 0), |sums, flow| (sums.0 + flow.0, sums.1 + flow.1));
    assert_eq!(sums, expected);
}
