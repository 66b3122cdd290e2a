//! Records in datagrams, from sockets as any exporter has them.

mod world;

use std::io::{ErrorKind, Read as _};
use std::net::UdpSocket;
use std::process::Command;

use world::{Collector, Directory, Flows, address, lines, output, pool, read};

const DATA: &str = "ipfix_collector_records_received_total{kind=\"data\"}";

const MESSAGES: &str = "ipfix_collector_messages_received_total{transport=\"udp\"}";
const PENALTY: &str = "ipfix_collector_udp_datagrams_discarded_total{reason=\"penalty\"}";

fn exporter(collector: &Collector) -> UdpSocket {
    let socket = UdpSocket::bind((address(), 0)).unwrap();
    socket.connect(collector.tcp()).unwrap();
    socket
}

fn send(socket: &UdpSocket, flows: &mut Flows) {
    for message in flows.messages() {
        socket.send(&message).unwrap();
    }
}

#[test]
fn records_over_udp_become_json_lines() {
    let directory = Directory::new();
    let collector = Collector::start_udp(&directory, &output(&directory));
    let (exporter, mut flows) = (exporter(&collector), Flows::new());
    flows.flows(0..1_000);
    send(&exporter, &mut flows);
    collector.wait_for_metric(DATA, 1_000.0);
    assert_eq!(collector.metric("ipfix_collector_udp_sessions"), 1.0);
    assert_eq!(collector.metric("ipfix_collector_templates"), 1.0);
    assert!(collector.metric("ipfix_collector_messages_received_total{transport=\"udp\"}") > 15.0);
    assert_eq!(collector.metric("ipfix_collector_udp_kernel_drops_total"), 0.0);
    flows.flows(1_000..1_500);
    send(&exporter, &mut flows);
    // What has come is read before the end.
    assert!(collector.stop().success());
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..1_500, false));
}

/// Sends a signal.
fn signal(collector: &Collector, signal: &str) {
    let status = Command::new("kill").args([signal, &collector.pid().to_string()]).status();
    assert!(status.unwrap().success());
}

#[test]
fn what_the_kernel_drops_while_the_collector_stands_still_is_counted_exactly() {
    let directory = Directory::new();
    let more = output(&directory) + "[udp]\nreceive-buffer = \"64KiB\"\n";
    let collector = Collector::start_udp(&directory, &more);
    let (exporter, mut flows) = (exporter(&collector), Flows::new());
    flows.flows(0..1);
    send(&exporter, &mut flows);
    collector.wait_for_metric(DATA, 1.0);
    signal(&collector, "-STOP");
    flows.flows(1..20_000);
    let messages = flows.messages();
    for message in &messages {
        exporter.send(message).unwrap();
    }
    signal(&collector, "-CONT");
    let sent = messages.len() as f64 + 2.0;
    let received = || collector.metric(MESSAGES);
    let dropped = || collector.metric("ipfix_collector_udp_kernel_drops_total");
    assert!((0..20_000).any(|_| received() + dropped() == sent), "{} + {} of {sent}", received(), dropped());
    assert!(dropped() > 100.0 && received() > 20.0, "{} dropped, {} received", dropped(), received());
    // The next messages show which records are missing.
    flows.flows(20_000..20_100);
    send(&exporter, &mut flows);
    let lost = "ipfix_collector_records_lost_total";
    assert!((0..20_000).any(|_| collector.metric(DATA) + collector.metric(lost) == 20_100.0));
}

#[test]
fn without_room_in_the_outputs_records_are_dropped_and_counted_exactly() {
    let directory = Directory::new();
    let pipe = directory.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Open at both ends, so that the collector can open it; nobody reads.
    let mut reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let more = format!("[output.stalled.jsonl]\npath = \"{}\"\nqueue = \"64KiB\"\n", pipe.display());
    let collector = Collector::start_udp(&directory, &more);
    let (exporter, mut flows) = (exporter(&collector), Flows::new());
    flows.flows(0..20_000);
    send(&exporter, &mut flows);
    let dropped = "ipfix_collector_records_dropped_total{reason=\"output\"}";
    // Received all the same: nothing waits for the output.
    collector.wait_for_metric(DATA, 20_000.0);
    assert!(collector.metric(dropped) > 10_000.0);
    assert_eq!(collector.metric("ipfix_collector_udp_kernel_drops_total"), 0.0);
    let lost = collector.metric(dropped);
    let result = "ipfix_collector_output_records_total{output=\"stalled\",result=\"dropped\"}";
    assert_eq!(collector.metric(result), lost);
    // What was not dropped comes out when somebody reads.
    signal(&collector, "-TERM");
    let (mut kept, mut octets) = (0.0, [0; 65_536]);
    while kept + lost < 20_000.0 {
        let length = reader.read(&mut octets).unwrap();
        kept += octets[..length].iter().map(|octet| f64::from(u8::from(*octet == b'\n'))).sum::<f64>();
    }
    assert_eq!(kept + lost, 20_000.0);
    assert!(collector.wait().success());
}

#[test]
fn the_books_add_up_with_unknown_templates_malformed_datagrams_repeats_and_a_full_queue() {
    let directory = Directory::new();
    let pipe = directory.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let stalled = format!("[output.stalled.jsonl]\npath = \"{}\"\nqueue = \"64KiB\"\n", pipe.display());
    let collector = Collector::start_udp(&directory, &(stalled + "[udp]\nhold = \"8KiB\"\n"));
    let metric = |name: &str| collector.metric(&format!("ipfix_collector_{name}"));
    let mut sent = 0.0;
    // Known, and a repeat.
    let (known, mut flows) = (exporter(&collector), Flows::new());
    flows.flows(0..5_000);
    let mut datagrams = flows.messages();
    datagrams.push(datagrams.last().unwrap().clone());
    datagrams.iter().for_each(|datagram| assert!(known.send(datagram).is_ok()));
    sent += datagrams.len() as f64;
    // Ten records in a datagram whose template has not come.
    let (unknown, mut flows) = (exporter(&collector), Flows::new());
    let template = flows.messages();
    let mut octets = 0;
    for number in 0..100 {
        flows.flows(number * 10..number * 10 + 10);
        let [datagram] = &flows.messages()[..] else { panic!("one datagram") };
        octets = datagram.len();
        unknown.send(datagram).unwrap();
        sent += 1.0;
    }
    // Three malformed ones and two in the penalty box, of IPFIX and of NetFlow.
    for datagram in [&[0, 10, 0, 99, 0, 0][..], &[0, 9, 0, 1, 0, 0]] {
        let noise = exporter(&collector);
        (0..5).for_each(|_| assert!(noise.send(datagram).is_ok()));
        sent += 5.0;
    }
    collector.wait_for_metric(MESSAGES, sent);
    assert_eq!(metric("udp_kernel_drops_total"), 0.0);
    assert_eq!(metric("udp_datagrams_discarded_total{reason=\"duplicate\"}"), 1.0);
    assert_eq!((metric("messages_malformed_total"), collector.metric(PENALTY)), (6.0, 4.0));
    // Each datagram has waited, or was given up.
    let no_template = metric("records_dropped_total{reason=\"no_template\"}");
    let held = metric("udp_held_bytes") / (octets + 64) as f64;
    assert_eq!((held + no_template, held.fract()), (100.0, 0.0));
    assert!(held > 10.0 && no_template > 10.0, "{held} held");
    assert_eq!(collector.metric(DATA), 5_000.0);
    unknown.send(&template[0]).unwrap();
    collector.wait_for_metric(DATA, 5_000.0 + 10.0 * held);
    assert_eq!(metric("udp_held_bytes"), 0.0);
    assert_eq!(metric("records_dropped_total{reason=\"no_template\"}"), no_template);
    // What was decoded is dropped or written, once somebody reads.
    let (received, dropped) = (collector.metric(DATA), metric("records_dropped_total{reason=\"output\"}"));
    signal(&collector, "-TERM");
    let (mut written, mut octets) = (0, [0; 65_536]);
    while f64::from(written) + dropped < received {
        let length = reader.read(&mut octets).unwrap();
        written += octets[..length].iter().map(|octet| u32::from(*octet == b'\n')).sum::<u32>();
    }
    assert_eq!(f64::from(written) + dropped, received);
    assert!(dropped > 1_000.0, "{dropped}");
    assert!(collector.wait().success());
}

#[test]
fn several_sockets_share_the_port_and_every_source_is_read() {
    let directory = Directory::new();
    let mut collector = Collector::start_udp(
        &directory,
        &(output(&directory) + "[udp]\nsockets = 4\nreceive-buffer = \"1GiB\"\n"),
    );
    // No host allows so much by default.
    assert_eq!(collector.logged("sysctl -w net.core.rmem_max=1073741824"), 1);
    for _ in 0..20 {
        let (exporter, mut flows) = (exporter(&collector), Flows::new());
        flows.flows(0..100);
        send(&exporter, &mut flows);
        flows.flows(100..200);
        send(&exporter, &mut flows);
    }
    collector.wait_for_metric(DATA, 4_000.0);
    assert_eq!(collector.metric("ipfix_collector_udp_sessions"), 20.0);
    assert_eq!(collector.metric("ipfix_collector_records_dropped_total{reason=\"no_template\"}"), 0.0);
    assert!(collector.stop().success());
}

#[test]
fn garbage_is_discarded_and_nothing_is_ever_answered() {
    let directory = Directory::new();
    let collector = Collector::start_udp(&directory, &(output(&directory) + &pool(&directory)));
    let noise = exporter(&collector);
    for length in [0, 1, 15, 16, 17, 1_400, 65_507] {
        noise.send(&vec![0xff; length]).unwrap();
    }
    let (exporter, mut flows) = (exporter(&collector), Flows::new());
    // A session record asks for cookies; over UDP there are none.
    flows.session(0);
    flows.flows(0..10);
    send(&exporter, &mut flows);
    collector.wait_for_metric(DATA, 10.0);
    assert_eq!(collector.metric("ipfix_collector_messages_malformed_total"), 3.0);
    assert_eq!(collector.metric(PENALTY), 4.0);
    assert_eq!(collector.metric("ipfix_collector_cookies_sent_total"), 0.0);
    assert!(collector.stop().success());
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..10, false));
    exporter.set_nonblocking(true).unwrap();
    let answer = exporter.recv(&mut [0; 100]).unwrap_err();
    assert_eq!(answer.kind(), ErrorKind::WouldBlock, "{answer}");
}

#[test]
fn after_a_restart_the_templates_of_before_are_known_and_a_damaged_file_is_left_alone() {
    let directory = Directory::new();
    let address = address();
    let listen = format!("ipfix-udp = [\"{address}:4739\"]\n");
    let start = || {
        let mut collector = Collector::start_with(&directory, address, &listen, &output(&directory));
        collector.wait_for("listening for IPFIX");
        collector
    };
    let collector = start();
    let (ipfix, mut flows) = (exporter(&collector), Flows::new());
    flows.flows(0..10);
    send(&ipfix, &mut flows);
    let netflow = exporter(&collector);
    let header = [[0, 9, 0, 1].as_slice(), &[0; 16]].concat();
    // FIRST_SWITCHED and a string.
    let template = [&header[..], &[0, 0, 0, 16, 1, 0, 0, 2, 0, 22, 0, 4, 0, 82, 0, 3]].concat();
    let data = [&header[..], &[1, 0, 0, 11, 0, 0, 0, 0, b'e', b't', b'h']].concat();
    netflow.send(&template).unwrap();
    netflow.send(&data).unwrap();
    collector.wait_for_metric(DATA, 11.0);
    assert!(collector.stop().success());
    let collector = start();
    flows.flows(10..20);
    send(&ipfix, &mut flows);
    netflow.send(&[&data[..], &[0, 0, 0]].concat()).unwrap();
    collector.wait_for_metric(DATA, 11.0);
    assert_eq!(collector.metric("ipfix_collector_udp_held_bytes"), 0.0);
    assert!(collector.stop().success());
    let text = read(&directory.path("flows.jsonl"));
    let record = "{\"flowStartMilliseconds\":\"1970-01-01T00:00:00.000Z\",\"interfaceName\":\"eth\"}\n";
    let (netflow_lines, ipfix_lines): (Vec<_>, Vec<_>) =
        text.split_inclusive('\n').partition(|line| *line == record);
    assert_eq!((netflow_lines.len(), ipfix_lines.concat()), (2, lines(0..20, false)));
    // With any octet changed nothing of it is believed.
    let path = directory.path("udp-templates");
    let mut octets = std::fs::read(&path).unwrap();
    octets[20] ^= 1;
    std::fs::write(&path, octets).unwrap();
    let mut collector = start();
    assert_eq!(collector.logged("templates of UDP sources not read"), 1);
    flows.flows(20..21);
    send(&ipfix, &mut flows);
    let waits = || collector.metric("ipfix_collector_udp_held_bytes") > 0.0;
    assert!((0..20_000).any(|_| waits()));
}
