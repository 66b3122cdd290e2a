//! pmacctd's nfprobe exports to the collector over UDP, as NetFlow 9 and as IPFIX.

mod softflowd;
mod world;

use std::fs;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use pcap_fixtures::{HTTP, fixture};
use world::{Collector, Directory, output, read};

/// Exports the flows of a capture to `collector` and compares them with those the capture has.
fn export(version: &str, datagrams: &str) {
    let directory = Directory::new();
    let collector = Collector::start_udp(&directory, &output(&directory));
    let (config, capture, to) = (directory.path("pmacctd.conf"), fixture(HTTP), collector.tcp());
    let text = format!(
        "daemonize: false\npcap_savefile: {}\naggregate: src_host, dst_host, src_port, dst_port, proto, tos\n\
         plugins: nfprobe\nnfprobe_receiver: {to}\nnfprobe_version: {version}\n",
        capture.display()
    );
    fs::write(&config, text).unwrap();
    let pmacctd = Command::new("pmacctd").arg("-f").arg(&config).stdin(Stdio::null()).output();
    match pmacctd {
        Err(error) if error.kind() == ErrorKind::NotFound => return softflowd::skipped("pmacctd"),
        // Its status is 1 where its plugin ends before it does, once in a while: what counts is what has come.
        pmacctd => println!("{}", String::from_utf8_lossy(&pmacctd.unwrap().stderr)),
    }
    collector.wait_for_metric("ipfix_collector_records_received_total{kind=\"data\"}", 20.0);
    assert!(collector.metric(datagrams) >= 1.0);
    assert_eq!(collector.metric("ipfix_collector_messages_malformed_total"), 0.0);
    assert_eq!(collector.metric("ipfix_collector_records_lost_total"), 0.0);
    assert_eq!(collector.metric("ipfix_collector_netflow_datagrams_lost_total"), 0.0);
    assert!(collector.stop().success());
    let text = read(&directory.path("flows.jsonl"));
    assert_eq!(softflowd::written(&text), softflowd::expected(HTTP));
    assert!(
        text.lines().all(|line| line.contains("\"flowStartMilliseconds\":\"2026-11-21T04:25:")),
        "{text}"
    );
}

#[test]
#[ignore = "needs pmacctd"]
fn the_flows_of_pmacctd_by_netflow_9_are_those_of_the_capture() {
    export("9", "ipfix_collector_netflow_datagrams_received_total{version=\"9\"}");
}

#[test]
#[ignore = "needs pmacctd"]
fn the_flows_of_pmacctd_by_ipfix_are_those_of_the_capture() {
    export("10", "ipfix_collector_messages_received_total{transport=\"udp\"}");
}
