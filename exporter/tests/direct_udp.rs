//! The exporter's process sends to one collector over UDP; the collector is a socket of the test.

mod direct;

use std::net::{SocketAddr, UdpSocket};

use direct::{Directory, address, config, export, metered};
use ipfix::{CollectingConfig, CollectingSession, Header, Record, Summary, Transport, Visitor};
use pcap_fixtures::{DEMO, HTTP, fixture};

/// A collector that is read after the exporter has ended: loopback keeps what was sent.
struct Collector(UdpSocket);

impl Collector {
    fn new() -> Self {
        Self(UdpSocket::bind((address(), 0)).unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Everything that was sent.
    fn messages(&self) -> Vec<Vec<u8>> {
        self.0.set_nonblocking(true).unwrap();
        let mut datagram = vec![0; 65_536];
        std::iter::from_fn(|| self.0.recv(&mut datagram).ok().map(|length| datagram[..length].to_vec()))
            .collect()
    }
}

#[derive(Default)]
struct Seen {
    records: u64,
    options: u64,
    packets: u64,
}

impl Visitor for Seen {
    fn record(&mut self, record: &Record<'_>) {
        if record.template.is_options() {
            self.options += 1;
            return;
        }
        let packets = record.field(record.template.position(0, 2).unwrap()).unwrap();
        self.records += 1;
        self.packets += packets.octets().iter().fold(0, |value, octet| value << 8 | u64::from(*octet));
    }

    fn no_template(&mut self, _: u32, set: u16, _: &[u8]) {
        panic!("no template for set {set}");
    }
}

/// Decodes messages as a collector does.
fn decode(messages: &[Vec<u8>]) -> (Seen, Vec<Summary>) {
    let config = CollectingConfig { transport: Transport::Udp, ..CollectingConfig::default() };
    let (mut session, mut seen) = (CollectingSession::new(config), Seen::default());
    let summaries = messages.iter().map(|message| session.decode(0, message, &mut seen).unwrap()).collect();
    assert_eq!(session.settle(), 0, "records missing at the end");
    (seen, summaries)
}

#[test]
fn every_flow_of_a_capture_is_sent_in_messages_as_long_as_the_path_takes() {
    let (directory, collector, capture) = (Directory::new(), Collector::new(), fixture(DEMO));
    let flows: u32 = metered(&capture).values().sum();
    let end = export(&directory, &config(&capture, "speed = 0", collector.address(), ""));
    assert_eq!((end.code, end.number("flows"), end.number("sent")), (Some(0), flows.into(), flows.into()));
    let messages = collector.messages();
    assert_eq!(messages.len() as u64, end.number("messages"));
    let (seen, summaries) = decode(&messages);
    assert_eq!((seen.records, seen.packets), (flows.into(), end.number("packets")));
    assert!(summaries.iter().all(|summary| !summary.out_of_sequence && summary.lost == 0));
    // Loopback takes the longest datagrams there are, and records are some 80 octets long.
    let longest = messages.iter().map(Vec::len).max().unwrap();
    assert!(longest > 65_400 || u64::from(flows) * 70 < 65_507, "{longest}");
    assert_eq!(messages[0], messages[1], "templates come twice");
    assert_eq!((summaries[0].templates, summaries[0].records), (4, 0));
}

#[test]
fn templates_are_repeated_after_so_many_messages_and_messages_are_as_short_as_asked() {
    let (directory, collector, capture) = (Directory::new(), Collector::new(), fixture(HTTP));
    let more = "template-refresh-packets = 2\nmax-message = \"512B\"";
    let end = export(&directory, &config(&capture, "speed = 0", collector.address(), more));
    let messages = collector.messages();
    let (seen, summaries) = decode(&messages);
    assert_eq!((end.code, seen.records), (Some(0), end.number("flows")));
    assert!(messages.iter().all(|message| message.len() <= 512));
    // Templates, options records behind them, data.
    let kinds: String = summaries
        .iter()
        .map(|summary| match summary {
            Summary { records: 1.., .. } => 'd',
            Summary { options_records: 1.., .. } => 'o',
            _ => 'T',
        })
        .collect();
    let rounds: Vec<&str> = kinds.split("To").collect();
    let data = rounds.iter().map(|round| round.matches('d').count());
    // Two messages, and what the templates cut short.
    assert!(rounds.len() > 3 && data.max() <= Some(3), "{kinds}");
    assert!(kinds.starts_with("TTTodd") && seen.options >= 4 * (rounds.len() as u64 - 1), "{kinds}");
}

#[test]
fn a_collector_that_is_not_there_is_counted_and_told_and_ends_nothing() {
    let (directory, collector, capture) = (Directory::new(), Collector::new(), fixture(HTTP));
    let address = collector.address();
    drop(collector);
    let end = export(&directory, &config(&capture, "speed = 0", address, "max-message = \"512B\""));
    assert_eq!((end.code, end.number("dropped"), end.number("waiting")), (Some(0), 0, 0));
    assert!(end.number("unreachable") > 0);
    assert!(end.log.contains("collector not reached (ICMP)"), "{}", end.log);
}

#[test]
fn an_export_time_is_the_time_of_sending_and_the_domain_is_the_configured_one() {
    let (directory, collector, capture) = (Directory::new(), Collector::new(), fixture(HTTP));
    let config = config(&capture, "speed = 0", collector.address(), "")
        .replace("[udp]", "observation-domain = 4711\n[udp]");
    assert_eq!(export(&directory, &config).code, Some(0));
    let headers: Vec<Header> =
        collector.messages().iter().map(|message| Header::decode(message).unwrap()).collect();
    assert!(headers.iter().all(|header| header.domain == 4711));
    assert!(headers.is_sorted_by_key(|header| header.export_time));
    assert!(headers[0].export_time > 1_700_000_000);
}

#[test]
fn a_host_that_cannot_be_sent_to_is_told_by_the_key() {
    let (directory, capture) = (Directory::new(), fixture(HTTP));
    let file = directory.path("exporter.toml");
    let collector = SocketAddr::new(address(), 4739);
    // An address that is not this host's.
    std::fs::write(&file, config(&capture, "", collector, "address = \"192.0.2.77\"")).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ipfix-exporter"))
        .args(["run", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74), "{log}");
    assert!(log.contains("udp.collector") && log.contains("192.0.2.77"), "{log}");
}
