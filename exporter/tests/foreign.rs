//! What collectors that know nothing of flowpool make of a session: they read flow records and pass over, or name, what is told beside
//! them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use delivery::{Epoch, ExporterState, KeyRing, Ledger};
use exporter::capture::Interface;
use exporter::export::options::{Method, Selector, Teller};
use exporter::export::{Class, ClassIndex, Classes, FlowEncoder, Kind};
use exporter::failover::{Carrier, Failover, FailoverConfig, Transmit};
use exporter::metering::{FlowEndReason, Meter, MeteringConfig};
use netflow_parser::variable_versions::ipfix::FlowSetBody;
use netflow_parser::{NetflowPacket, NetflowParser};
use pcap_fixtures::{DEMO, fixture, ipfix_datagrams, tshark};
use transport::Outcome;

const EXPORT_TIME: u32 = 1_800_000_000;

/// The messages of a session with three classes, by stream, and how many flow records they have.
fn session(per_stream: bool, carrier: Carrier) -> (BTreeMap<u16, Vec<Vec<u8>>>, usize) {
    let class = |name: &str, kind| Class { name: name.to_owned(), kind };
    let timed = Kind::Timed { lifetime: Duration::from_millis(500) };
    let classes = vec![class("books", Kind::Reliable), class("dns", Kind::Unreliable), class("rest", timed)];
    let encoder = FlowEncoder::new();
    let config = FailoverConfig {
        domain: 1,
        classes: Classes::new(classes).unwrap(),
        templates: encoder.templates().clone(),
        max_message: 1_400,
        max_lossy_message: Some(1_000),
        linger: Duration::ZERO,
        per_stream,
        options_interval: Duration::from_secs(600),
        memory: 1 << 20,
        spool: None,
        keys: KeyRing::parse("1 000102030405060708090a0b0c0d0e0f").unwrap(),
    };
    let identity = ExporterState { ledger: Ledger([7; 16]), epoch: Epoch(1) };
    let mut failover = Failover::new(config, identity, 1);
    let mut teller = Teller::new(1, 77, Some([192, 0, 2, 1].into()));
    let (name, description) = ("eth0".to_owned(), "uplink".to_owned());
    teller.facts().describe(Interface { index: 1, name, description });
    teller.facts().select(vec![Selector { id: 1, method: Method::OutOf { size: 1, population: 100 } }]);
    failover.set_told(teller.told(0, EXPORT_TIME).clone());

    let flows = flows();
    for (number, flow) in flows.iter().enumerate() {
        let mut record = Vec::new();
        let template = encoder.encode(flow, &mut record);
        failover.push(ClassIndex(u8::try_from(number % 3).unwrap()), template, &record).unwrap();
    }
    failover.finish();
    failover.handle_connected(carrier, false);
    let mut messages: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
    while let more @ [_, ..] = &transmit(&mut failover)[..] {
        for Transmit { stream, token, octets, .. } in more {
            let stream = if carrier == Carrier::OneStream { 0 } else { *stream };
            messages.entry(stream).or_default().push(octets.clone());
            if let Some(token) = token {
                failover.handle_sent(now(), *token, Outcome::Delivered);
            }
        }
    }
    assert!(failover.books().dropped() == 0);
    (messages, flows.len())
}

#[expect(clippy::disallowed_methods, reason = "tests need some instant")]
fn now() -> Instant {
    Instant::now()
}

fn transmit(failover: &mut Failover) -> Vec<Transmit> {
    std::iter::from_fn(|| failover.poll_transmit(now(), EXPORT_TIME)).collect()
}

fn flows() -> Vec<exporter::metering::FlowRecord> {
    use exporter::capture::{LoopOptions, Looped, PacketSource as _};
    let mut source = Looped::open(fixture(DEMO), LoopOptions::default()).unwrap();
    let (mut meter, mut flows) = (Meter::new(MeteringConfig::default(), 1), Vec::new());
    while let Some(packet) = source.next_packet().unwrap() {
        meter.packet(&packet, &mut flows);
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {}
    flows
}

const SESSIONS: [(bool, Carrier); 3] =
    [(false, Carrier::Streams), (true, Carrier::Streams), (false, Carrier::OneStream)];

#[test]
fn a_collector_that_knows_none_of_the_options_templates_decodes_all() {
    for (per_stream, carrier) in SESSIONS {
        let (messages, flows) = session(per_stream, carrier);
        let mut parser = NetflowParser::default();
        let (mut data, mut options) = (0, 0);
        for message in messages.values().flatten() {
            let parsed = parser.parse_bytes(message);
            assert!(parsed.error.is_none(), "{:?}", parsed.error);
            let [NetflowPacket::IPFix(packet)] = &parsed.packets[..] else { panic!("{:?}", parsed.packets) };
            for set in &packet.flowsets {
                match &set.body {
                    FlowSetBody::Data(set) => data += set.fields.len(),
                    FlowSetBody::OptionsData(set) => options += set.fields.len(),
                    FlowSetBody::NoTemplate(_) | FlowSetBody::Empty => panic!("{set:?}"),
                    _ => {}
                }
            }
        }
        assert_eq!(data, flows);
        // Types of ten elements, six about the exporter, and a session record at least.
        assert!(options > 10 + 6, "{options} options records");
    }
}

#[test]
#[ignore = "needs tshark"]
fn tshark_reads_every_stream_of_a_session_without_a_malformed_part() {
    for (per_stream, carrier) in SESSIONS {
        let (messages, flows) = session(per_stream, carrier);
        let told = &messages[&0];
        let Some(names) =
            tshark(&ipfix_datagrams(told), &["-T", "fields", "-e", "cflow.if_name", "-e", "cflow.if_descr"])
        else {
            return;
        };
        assert!(names.contains("eth0\tuplink"), "{names}");
        let mut read = 0;
        // Each stream has sequence numbers of its own.
        for messages in messages.values() {
            let file = ipfix_datagrams(messages);
            let Some(complaints) = tshark(&file, &["-Y", "_ws.malformed || _ws.expert"]) else { return };
            assert_eq!(complaints, "", "{per_stream} {carrier:?}");
            let fields = ["-T", "fields", "-e", "cflow.srcaddr", "-e", "cflow.srcaddrv6"];
            let Some(addresses) = tshark(&file, &fields) else { return };
            read += addresses.split([',', '\t', '\n']).filter(|address| !address.is_empty()).count();
        }
        assert_eq!(read, flows);
    }
}
