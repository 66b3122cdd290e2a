//! `cat FILE | nc COLLECTOR 4739`: a plain stream of IPFIX messages over TCP, from a file of another program.

mod softflowd;
mod world;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use pcap_fixtures::{HTTP, fixture};
use world::{Collector, Directory, address, output, read};

#[test]
#[ignore = "needs nc and softflowd"]
fn a_file_of_softflowd_through_netcat_is_collected() {
    let directory = Directory::new();
    let Some(messages) = softflowd::messages(&directory, &fixture(HTTP)) else { return };
    let file = directory.path("flows.ipfix");
    fs::write(&file, &messages).unwrap();
    let mut collector = Collector::start(&directory, address(), &output(&directory));
    if !pipe(&file, &collector) {
        return;
    }
    collector.wait_for("exporter gone");
    assert_eq!(
        collector.metric("ipfix_collector_received_bytes_total{transport=\"tcp\"}"),
        messages.len() as f64
    );
    assert_eq!(collector.metric("ipfix_collector_records_received_total{kind=\"data\"}"), 20.0);
    assert!(collector.stop().success());
    assert_eq!(softflowd::written(&read(&directory.path("flows.jsonl"))), softflowd::expected(HTTP));
}

#[test]
#[ignore = "needs nc and softflowd"]
fn garbage_and_a_torn_stream_end_their_connections_and_nothing_else() {
    let directory = Directory::new();
    let Some(messages) = softflowd::messages(&directory, &fixture(HTTP)) else { return };
    let file = directory.path("flows.ipfix");
    let mut collector = Collector::start(&directory, address(), &output(&directory));

    let mut noise = vec![0; 10_000];
    getrandom::fill(&mut noise).unwrap();
    // Neither IPFIX, which begins with 00 0a, nor ASAP, which begins with a type below 16.
    noise[0] = 0xff;
    fs::write(&file, &noise).unwrap();
    if !pipe(&file, &collector) {
        return;
    }
    collector.wait_for("exporter gone");
    fs::write(&file, &messages[..messages.len() - 1]).unwrap();
    pipe(&file, &collector);
    collector.wait_for("exporter gone");
    assert_eq!(collector.metric("ipfix_collector_records_received_total{kind=\"data\"}"), 0.0);
    // A set whose length is less than that of its header.
    let broken = [&[0, 10, 0, 20][..], &messages[4..16], &[0, 2, 0, 3]].concat();
    fs::write(&file, &broken).unwrap();
    pipe(&file, &collector);
    collector.wait_for("exporter gone");
    assert_eq!(collector.metric("ipfix_collector_messages_malformed_total"), 1.0);

    fs::write(&file, &messages).unwrap();
    pipe(&file, &collector);
    collector.wait_for("exporter gone");
    assert_eq!(collector.metric("ipfix_collector_associations{state=\"up\"}"), 0.0);
    assert!(collector.stop().success());
    assert_eq!(softflowd::written(&read(&directory.path("flows.jsonl"))), softflowd::expected(HTTP));
}

/// Pipes `file` through netcat to the collector. False: netcat is not installed, and that has been said.
fn pipe(file: &Path, collector: &Collector) -> bool {
    let mut cat = Command::new("cat").arg(file).stdout(Stdio::piped()).spawn().unwrap();
    let to = collector.tcp();
    let netcat = Command::new("nc")
        // At the end of its input it closes its side of the connection.
        .args(["-N", &to.ip().to_string(), &to.port().to_string()])
        .stdin(cat.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status();
    cat.wait().unwrap();
    match netcat {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            softflowd::skipped("nc");
            false
        }
        // How it takes a connection that is reset is its own affair.
        status => status.is_ok(),
    }
}
