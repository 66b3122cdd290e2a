//! Exporters that define templates without end, over TCP and over UDP: what they may not have is refused and counted, the process stays
//! small, and who exports honestly notices nothing of it (RFC 7011 section 11.4).

mod world;

use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::ops::Range;

use ipfix::{FieldSpecifier, Header, TEMPLATE_SET, TemplateRecord};
use world::{Collector, Directory, Flows, address, output, read};

/// Hostile sessions, half over TCP and half over UDP.
const SESSIONS: u16 = 16;
const DOMAINS: u32 = 64;
/// Template IDs of one domain; of the others of the same session fewer, all beyond any bound.
const TEMPLATES: Range<u16> = 256..65_256;
const FEWER: Range<u16> = 256..656;

/// Octets the process may have, whatever it is sent.
const MAX_RESIDENT: u64 = 256 << 20;

const REFUSED: &str = "ipfix_collector_records_dropped_total{reason=\"limit\"}";
const RECEIVED: &str = "ipfix_collector_messages_received_total{transport=\"udp\"}";

/// A message of one domain with templates of so many fields of one octet, and with a record of each of the first.
fn message(domain: u32, ids: Range<u16>, fields: usize) -> Vec<u8> {
    let mut templates = Vec::new();
    let mut data = Vec::new();
    for (count, id) in ids.enumerate() {
        TemplateRecord { id, scope_fields: 0, fields: vec![FieldSpecifier::iana(4, 1); fields] }
            .encode(&mut templates);
        if count < 8 {
            data.extend(set(id, &vec![6; fields]));
        }
    }
    let sets = [set(TEMPLATE_SET, &templates), data].concat();
    let length = u16::try_from(Header::LENGTH + sets.len()).unwrap();
    [&Header { length, export_time: 0, sequence: 0, domain }.to_octets()[..], &sets].concat()
}

fn set(id: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 4).unwrap();
    [&id.to_be_bytes()[..], &length.to_be_bytes(), content].concat()
}

/// What one hostile session sends: templates of one field, or long ones.
fn hostile(number: u16) -> Vec<Vec<u8>> {
    if number.is_multiple_of(4) {
        return (0..DOMAINS).map(|domain| message(domain, 256..270, 750)).collect();
    }
    let all = TEMPLATES.step_by(5_000).map(|first| message(0, first..first + 5_000, 1));
    all.chain((1..DOMAINS).map(|domain| message(domain, FEWER, 1))).collect()
}

/// An honest exporter over TCP and one over UDP, and what they have sent together.
struct Honest {
    tcp: (TcpStream, Flows),
    udp: (UdpSocket, Flows),
}

impl Honest {
    fn new(collector: &Collector) -> Self {
        let tcp = TcpStream::connect(collector.tcp()).unwrap();
        Self { tcp: (tcp, Flows::new()), udp: (socket(collector), Flows::new()) }
    }

    /// Each sends flows with these numbers.
    fn flows(&mut self, numbers: Range<u64>) {
        self.tcp.1.flows(numbers.clone());
        self.udp.1.flows(numbers);
        self.tcp.0.write_all(&self.tcp.1.messages().concat()).unwrap();
        for message in self.udp.1.messages() {
            self.udp.0.send(&message).unwrap();
        }
    }
}

fn socket(collector: &Collector) -> UdpSocket {
    let socket = UdpSocket::bind((address(), 0)).unwrap();
    socket.connect(collector.tcp()).unwrap();
    socket
}

/// Waits until each flow of the honest ones has been written.
fn wait_for(directory: &Directory, flows: usize) {
    let written = || read(&directory.path("flows.jsonl")).matches("\"octetDeltaCount\"").count();
    assert!((0..50_000).any(|_| written() >= flows), "{} of {flows} flows", written());
    assert_eq!(written(), flows);
}

/// The most memory the process has had, in octets.
fn resident(collector: &Collector) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", collector.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn templates_without_end_are_refused_in_bounded_memory_and_an_honest_exporter_notices_nothing() {
    let directory = Directory::new();
    let more = output(&directory) + "queue = \"8MiB\"\n[udp]\nhold = \"0B\"\n";
    let collector = Collector::start_udp(&directory, &more);
    let mut exporter = Honest::new(&collector);
    exporter.flows(0..10);
    wait_for(&directory, 20);
    let received = || collector.metric(RECEIVED);
    let mut connections = Vec::new();
    for number in 0..SESSIONS {
        if number < SESSIONS / 2 {
            let mut connection = TcpStream::connect(collector.tcp()).unwrap();
            connection.write_all(&hostile(number).concat()).unwrap();
            connections.push(connection);
        } else {
            let socket = socket(&collector);
            // Three at a time: what the kernel drops proves nothing.
            for datagrams in hostile(number).chunks(3) {
                let before = received();
                datagrams.iter().for_each(|datagram| assert!(socket.send(datagram).is_ok()));
                collector.wait_for_metric(RECEIVED, before + datagrams.len() as f64);
            }
        }
        let next = 10 + 10 * u64::from(number);
        exporter.flows(next..next + 10);
        wait_for(&directory, 2 * (usize::from(number) * 10 + 20));
    }
    // Whoever comes while all of them are still there has room, too.
    let mut late = Honest::new(&collector);
    late.flows(0..30);
    wait_for(&directory, 2 * 200);
    let (refused, resident) = (collector.metric(REFUSED), resident(&collector));
    let there = collector.metric("ipfix_collector_templates");
    println!("{resident} octets resident, {there} templates there, {refused} refused");
    assert!(refused > 100_000.0, "{refused}");
    assert!(resident < MAX_RESIDENT, "{resident}");
    assert_eq!(collector.metric("ipfix_collector_messages_malformed_total"), 0.0);
    assert!(collector.stop().success());
}
