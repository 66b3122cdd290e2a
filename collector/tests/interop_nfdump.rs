//! nfcapd receives the same datagrams as the collector: NetFlow 5 and 9, and IPFIX. nfdump reads as many flows, packets and octets
//! as were sent and as the collector has written, flow by flow.

mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, TemplateRecord};
use serde_json::Value;
use world::{Collector, Directory, TIME, address, output, read};

/// Records of one version.
const FLOWS: u32 = 2_000;
/// Of every header of NetFlow, in milliseconds.
const UPTIME: u32 = 600_000;
const TEMPLATE: u16 = 256;

/// Source, destination (each with its port) and protocol; then packets and octets.
type Flow = ((Ipv4Addr, u16), (Ipv4Addr, u16), u8, u64, u64);
/// How often each flow is there.
type Flows = BTreeMap<Flow, u32>;

/// A flow that differs from all others.
fn flow(number: u32) -> Flow {
    let [.., b, c, d] = number.to_be_bytes();
    let port = u16::from_be_bytes([c, d]);
    let (source, destination) = (Ipv4Addr::new(10, b, c, d), Ipv4Addr::new(198, 51, 100, d));
    let (packets, octets) = (u64::from(number % 1_000 + 1), u64::from(number) * 1_500 + 40);
    (
        (source, 1_024 + port),
        (destination, 443),
        if number.is_multiple_of(3) { 17 } else { 6 },
        packets,
        octets,
    )
}

/// What all versions have of a flow, in the order of [`ELEMENTS`].
fn common(flow: &Flow) -> Vec<u8> {
    let (source, destination, protocol, packets, octets) = flow;
    let count = |count: u64| u32::try_from(count).unwrap().to_be_bytes();
    let (packets, octets) = (count(*packets), count(*octets));
    let ports = [source.1, destination.1].map(u16::to_be_bytes);
    [&source.0.octets()[..], &destination.0.octets(), ports.as_flattened(), &[*protocol], &packets, &octets]
        .concat()
}

/// Element and octets.
const ELEMENTS: [(u16, u16); 7] = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (2, 4), (1, 4)];

fn numbers(size: u32) -> impl Iterator<Item = std::ops::Range<u32>> {
    (0..FLOWS).step_by(size as usize).map(move |first| first..(first + size).min(FLOWS))
}

fn v5() -> Vec<Vec<u8>> {
    let datagram = |numbers: std::ops::Range<u32>| {
        let mut datagram = vec![0, 5];
        datagram.extend(u16::try_from(numbers.len()).unwrap().to_be_bytes());
        datagram.extend([UPTIME, TIME, 0, numbers.start, 0].map(u32::to_be_bytes).as_flattened());
        for number in numbers {
            let common = common(&flow(number));
            let (addresses, ports, protocol, counts) =
                (&common[..8], &common[8..12], common[12], &common[13..]);
            datagram.extend([addresses, &[0; 8], counts].concat());
            datagram.extend([UPTIME - 2_000, UPTIME - 1_000].map(u32::to_be_bytes).as_flattened());
            datagram.extend([ports, &[0, 0, protocol, 0], &[0; 8]].concat());
        }
        datagram
    };
    numbers(30).map(datagram).collect()
}

fn v9() -> Vec<Vec<u8>> {
    let fields: Vec<_> = ELEMENTS.into_iter().chain([(22, 4), (21, 4)]).collect();
    let set = |id: u16, content: &[u8]| {
        [&id.to_be_bytes()[..], &u16::try_from(content.len() + 4).unwrap().to_be_bytes(), content].concat()
    };
    let datagram = |(sequence, numbers): (u32, std::ops::Range<u32>)| {
        let mut records = Vec::new();
        let count = u16::try_from(numbers.len()).unwrap();
        for number in numbers {
            records.extend(common(&flow(number)));
            records.extend([UPTIME - 2_000, UPTIME - 1_000].map(u32::to_be_bytes).as_flattened());
        }
        let mut template = [TEMPLATE, u16::try_from(fields.len()).unwrap()].map(u16::to_be_bytes).concat();
        fields
            .iter()
            .for_each(|&(id, length)| template.extend([id, length].map(u16::to_be_bytes).as_flattened()));
        // The template comes with each.
        let mut datagram = [9, count + 1].map(u16::to_be_bytes).concat();
        datagram.extend([UPTIME, TIME, sequence, 1].map(u32::to_be_bytes).as_flattened());
        datagram.extend([set(0, &template), set(TEMPLATE, &records)].concat());
        datagram
    };
    (0..).zip(numbers(30)).map(datagram).collect()
}

fn ipfix() -> Vec<Vec<u8>> {
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 1_400 });
    let fields = ELEMENTS.into_iter().chain([(152, 8), (153, 8)]);
    let fields = fields.map(|(id, length)| FieldSpecifier::iana(id, length)).collect();
    exporting.define(0, TemplateRecord { id: TEMPLATE, scope_fields: 0, fields }).unwrap();
    let times = [TIME - 2, TIME - 1].map(|time| (u64::from(time) * 1_000).to_be_bytes());
    for number in 0..FLOWS {
        let record = [common(&flow(number)), times.concat()].concat();
        exporting.record(0, TEMPLATE, &record, TIME).unwrap();
    }
    exporting.flush_all(TIME);
    std::iter::from_fn(|| exporting.poll_message()).map(|message| message.octets).collect()
}

/// Sends datagrams to both, and compares what they have.
fn compare(datagrams: &[Vec<u8>]) {
    let directory = Directory::new();
    let Some(nfcapd) = Nfcapd::start(&directory) else { return };
    let collector = Collector::start_udp(&directory, &output(&directory));
    for to in [nfcapd.address, collector.tcp()] {
        let socket = UdpSocket::bind((address(), 0)).unwrap();
        for datagram in datagrams {
            socket.send_to(datagram, to).unwrap();
        }
    }
    collector.wait_for_metric("ipfix_collector_records_received_total{kind=\"data\"}", FLOWS.into());
    assert_eq!(collector.metric("ipfix_collector_messages_malformed_total"), 0.0);
    assert_eq!(collector.metric("ipfix_collector_records_lost_total"), 0.0);
    assert!(collector.stop().success());
    let log = nfcapd.stop();
    let sent: Flows = (0..FLOWS).map(|number| (flow(number), 1)).collect();
    let (ours, theirs) = (written(&read(&directory.path("flows.jsonl"))), nfdump(&directory));
    assert_eq!((totals(&ours), totals(&theirs)), (totals(&sent), totals(&sent)), "{log}");
    assert!(ours == sent && theirs == sent);
    assert!(log.contains("Bad Packets: 0"), "{log}");
}

#[test]
#[ignore = "needs nfcapd and nfdump"]
fn nfcapd_and_the_collector_have_the_same_flows_of_netflow_5() {
    compare(&v5());
}

#[test]
#[ignore = "needs nfcapd and nfdump"]
fn nfcapd_and_the_collector_have_the_same_flows_of_netflow_9() {
    compare(&v9());
}

#[test]
#[ignore = "needs nfcapd and nfdump"]
fn nfcapd_and_the_collector_have_the_same_flows_of_ipfix() {
    compare(&ipfix());
}

/// Flows, packets and octets.
fn totals(flows: &Flows) -> (u64, u64, u64) {
    let one = |(flow, times): (&Flow, &u32)| {
        (u64::from(*times), u64::from(*times) * flow.3, u64::from(*times) * flow.4)
    };
    flows.iter().map(one).fold((0, 0, 0), |sums, one| (sums.0 + one.0, sums.1 + one.1, sums.2 + one.2))
}

/// The flows in the collector's lines.
fn written(lines: &str) -> Flows {
    let values: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys = [
        "sourceIPv4Address",
        "sourceTransportPort",
        "destinationIPv4Address",
        "destinationTransportPort",
        "protocolIdentifier",
        "packetDeltaCount",
        "octetDeltaCount",
    ];
    counted(&values, keys)
}

/// The flows nfdump reads in the files of nfcapd.
fn nfdump(directory: &Directory) -> Flows {
    let mut nfdump = Command::new("nfdump");
    let output = nfdump.args(["-q", "-o", "json", "-R"]).arg(directory.path("nfcapd")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // One object behind the other, with commas between; some versions make it an array.
    let array = format!("[{}]", text.trim().trim_start_matches('[').trim_end_matches([']', ',', '\n']));
    let values: Vec<Value> = serde_json::from_str(&array).unwrap_or_else(|error| panic!("{error}: {text}"));
    counted(&values, ["src4_addr", "src_port", "dst4_addr", "dst_port", "proto", "in_packets", "in_bytes"])
}

fn counted(values: &[Value], keys: [&str; 7]) -> Flows {
    let mut flows = Flows::new();
    for value in values {
        let number =
            |at: usize| value[keys[at]].as_u64().unwrap_or_else(|| panic!("{} in {value}", keys[at]));
        let port = |at: usize| u16::try_from(number(at)).unwrap();
        let address = |at: usize| value[keys[at]].as_str().unwrap().parse().unwrap();
        let protocol = u8::try_from(number(4)).unwrap();
        let flow = ((address(0), port(1)), (address(2), port(3)), protocol, number(5), number(6));
        *flows.entry(flow).or_default() += 1;
    }
    flows
}

/// A running nfcapd.
struct Nfcapd {
    child: Child,
    said: Option<std::thread::JoinHandle<String>>,
    address: SocketAddr,
}

impl Nfcapd {
    /// Starts it and waits until it listens. None: it is not installed, and that has been said.
    fn start(directory: &Directory) -> Option<Self> {
        let files = directory.path("nfcapd");
        fs::create_dir(&files).unwrap();
        let address = SocketAddr::new(address().into(), 4739);
        let mut nfcapd = Command::new("nfcapd");
        nfcapd.arg("-w").arg(&files).args(["-t", "3600", "-b", &address.ip().to_string(), "-p", "4739"]);
        let mut child = match nfcapd.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Not `eprintln!`, which shows nothing of a test that passes.
                let _ = writeln!(std::io::stderr(), "SKIPPED: nfcapd is not installed");
                return None;
            }
            child => child.unwrap(),
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Startup nfcapd")), "nfcapd does not start");
        let said = std::thread::spawn(move || lines.collect::<Vec<_>>().join("\n"));
        Some(Self { child, said: Some(said), address })
    }

    /// Ends it when it has read everything; returns what it said.
    fn stop(mut self) -> String {
        assert!((0..1_000_000).any(|_| self.has_read_all()), "nfcapd does not read");
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.child.wait().unwrap();
        self.said.take().unwrap().join().unwrap()
    }

    /// Whether nothing waits in its socket, by the kernel's table.
    fn has_read_all(&self) -> bool {
        let IpAddr::V4(ip) = self.address.ip() else { panic!("an IPv4 address") };
        let local = format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), self.address.port());
        let table = fs::read_to_string("/proc/net/udp").unwrap();
        let line = table.lines().find(|line| line.contains(&local)).expect("its socket");
        line.split_whitespace().nth(4).unwrap().ends_with(":00000000")
    }
}

impl Drop for Nfcapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
