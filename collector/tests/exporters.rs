//! Ten thousand exporters, each with an address, a domain and a ledger of its own: what the collector shows and writes about them
//! stays bounded, and keeps to itself what is not the operator's.

mod world;

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};

use delivery::{Epoch, Ledger, Series, SessionRecord, session_record};
use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, RecordWriter, TemplateRecord};
use world::{Collector, Directory, Exporter, output, pool};

const EXPORTERS: u32 = 10_000;
/// Of them, those over TCP: with ledgers. A connection costs more than a datagram.
const OVER_TCP: u32 = 1_000;
const DATA: &str = "ipfix_collector_records_received_total{kind=\"data\"}";
/// Prometheus is to get no more, whoever exports.
const MOST_SERIES: usize = 500;

/// An address of 127.0.0.0/8 that only this exporter has.
fn own_address(number: u32) -> Ipv4Addr {
    let [.., network, _] = (number / 250 * 256).to_be_bytes();
    Ipv4Addr::new(127, 201, network, u8::try_from(number % 250 + 1).unwrap())
}

/// Messages with a template and a flow record; over an association with a session record before it.
fn messages(number: u32, identified: bool) -> Vec<Vec<u8>> {
    let mut exporting = ExportingSession::new(ExportingConfig { domain: number, max_message: 1400 });
    if identified {
        let fields = session_record::FIELDS.map(|(pen, id, length)| FieldSpecifier { pen, id, length });
        let scope_fields = session_record::SCOPE_FIELDS;
        exporting.define(1, TemplateRecord { id: 300, scope_fields, fields: fields.to_vec() }).unwrap();
        let ledger = Ledger(u128::from(number).to_be_bytes());
        let series = Series { ledger, epoch: Epoch(1), domain: number };
        let mut octets = Vec::new();
        SessionRecord { series, first_number: 0, possible_duplicate_until: 0 }.encode(&mut octets);
        exporting.record(1, 300, &octets, world::TIME).unwrap();
    }
    // Their templates differ, too.
    let (id, fields) = (400 + u16::try_from(number % 1_000).unwrap(), vec![FieldSpecifier::iana(1, 8)]);
    exporting.define(1, TemplateRecord { id, scope_fields: 0, fields }).unwrap();
    let mut record = RecordWriter::new();
    record.unsigned(number.into(), 8);
    exporting.record(1, id, record.octets(), world::TIME).unwrap();
    exporting.flush_all(world::TIME);
    std::iter::from_fn(|| exporting.poll_message()).map(|message| message.octets).collect()
}

#[test]
fn ten_thousand_exporters_make_no_more_series_than_a_few() {
    let directory = Directory::new();
    let more = output(&directory) + &pool(&directory) + "[udp]\nmax-sessions = 20000\n";
    let collector = Collector::start_udp(&directory, &more);
    for number in 0..OVER_TCP {
        let mut stream = TcpStream::connect(collector.tcp()).unwrap();
        stream.write_all(&messages(number, true).concat()).unwrap();
    }
    for number in OVER_TCP..EXPORTERS {
        let socket = UdpSocket::bind((own_address(number), 0)).unwrap();
        for message in messages(number, false) {
            socket.send_to(&message, collector.tcp()).unwrap();
        }
        // No more than the receive buffer takes.
        if number % 200 == 0 {
            collector.wait_for_metric(DATA, f64::from(number + 1));
        }
    }
    // Each is told by its own message, the session records beside them are options.
    collector.wait_for_metric(DATA, f64::from(EXPORTERS));
    let metrics = collector.http("/metrics");
    let (_, text) = metrics.split_once("\r\n\r\n").unwrap();
    let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    assert!(series <= MOST_SERIES, "{series} series");
    assert_eq!(collector.metric("ipfix_collector_udp_sessions"), f64::from(EXPORTERS - OVER_TCP));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flow_no_key_and_no_cookie_is_in_the_log_at_debug() {
    let directory = Directory::new();
    let mut collector = Collector::start_udp(&directory, &(output(&directory) + &pool(&directory)));
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..1_000);
    exporter.send().await;
    exporter.wait_for(0..1_000).await;
    // What is malformed is told about, and not shown.
    let udp = UdpSocket::bind((world::address(), 0)).unwrap();
    let [.., whole] = &messages(7, false)[..] else { panic!("a message") };
    udp.send_to(&whole[..whole.len() - 1], collector.tcp()).unwrap();
    collector.wait_for_metric("ipfix_collector_messages_malformed_total", 1.0);
    exporter.association.abort();
    collector.wait_for("exporter gone");
    assert_ne!(collector.logged("DEBUG"), 0, "the level is debug");
    assert!(exporter.cookies > 0);
    // The flows' address, the key, and the beginning of every cookie, in figures of both kinds.
    for secret in ["192.0.2.1", "000102030405", "0, 1, 2, 3", "c0000201", "192, 0, 2, 1"] {
        assert_eq!(collector.logged(secret), 0, "{secret}");
    }
    let cookie = exporter.last_cookie;
    let hexadecimal: String = cookie.iter().rev().take(8).rev().map(|octet| format!("{octet:02x}")).collect();
    let decimal: Vec<String> = cookie.iter().rev().take(8).rev().map(u8::to_string).collect();
    for secret in [hexadecimal, decimal.join(", ")] {
        assert_eq!(collector.logged(&secret), 0, "{secret}");
    }
}
