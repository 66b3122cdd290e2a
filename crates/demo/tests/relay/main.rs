//! A relay between routers and a pool: what they send over UDP is in the pool as a collector would have written it itself, and whence it
//! came; a collector that is killed meanwhile takes nothing with it.

mod world;

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};

use demo::scrape::Samples;
use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, TemplateRecord};
use pcap_fixtures::netflow::{set, template, v5, v9_from, words};
use serde_json::Value;
use world::{Line, PORT, World};

/// Rounds of datagrams, half of them before the collector is killed.
const ROUNDS: u32 = 40;

/// Three routers, each of another version, with a socket of its own.
struct Routers {
    address: IpAddr,
    five: UdpSocket,
    nine: UdpSocket,
    ten: UdpSocket,
    exporting: ExportingSession,
}

const FLOW: u16 = 256;
/// Of the domain of the router that speaks IPFIX.
const DOMAIN: u32 = 4_711;

impl Routers {
    fn at(address: IpAddr) -> Self {
        let socket = || UdpSocket::bind((address, 0)).unwrap();
        let mut exporting = ExportingSession::new(ExportingConfig { domain: DOMAIN, max_message: 1_400 });
        // The last is an element that no registry has.
        let unknown = FieldSpecifier { pen: 4_294_967_000, id: 77, length: 3 };
        let name = FieldSpecifier::iana(82, ipfix::VARIABLE);
        let fields = vec![FieldSpecifier::iana(8, 4), FieldSpecifier::iana(1, 8), name, unknown];
        exporting.define(0, TemplateRecord { id: FLOW, scope_fields: 0, fields }).unwrap();
        Self { address, five: socket(), nine: socket(), ten: socket(), exporting }
    }

    /// One round: a datagram or two of each router.
    fn send(&mut self, world: &mut World, round: u32) {
        // Of engine 1/2, sampled 1 in 100.
        world.send(&self.five, &[v5(20, round * 20, 0x4000 | 100)]);
        world.send(&self.nine, &[self.version_9(round)]);
        let ipfix = self.ipfix(round);
        world.send(&self.ten, &ipfix);
    }

    fn version_9(&self, round: u32) -> Vec<u8> {
        let fields = [(8, 4), (22, 4), (1, 4), (21, 4), (4, 1), (33_000, 2)];
        let mut sets = Vec::new();
        if round.is_multiple_of(8) {
            // Scope System, samplingInterval.
            let options = [words(&[257, 4, 4]), words(&[1, 4, 34, 4])].concat();
            sets.extend([template(FLOW, &fields), set(1, &options), set(257, &[0, 0, 0, 7, 0, 0, 0, 50])]);
        }
        let record = |flow: u32| {
            let mut record = vec![192, 0, 2, 1];
            record.extend([590_000, round * 100 + flow, 599_000].map(u32::to_be_bytes).as_flattened());
            record.extend([17, 1, 2]);
            record
        };
        sets.push(set(FLOW, &(0..5).flat_map(record).collect::<Vec<_>>()));
        v9_from(9, round, &sets)
    }

    fn ipfix(&mut self, round: u32) -> Vec<Vec<u8>> {
        let time = 1_795_219_200 + round;
        if round.is_multiple_of(8) {
            self.exporting.repeat_templates(time);
        }
        // A template that comes late, when the pool has lost a collector already.
        if round == ROUNDS / 2 + 3 {
            let fields = vec![FieldSpecifier::iana(2, 8), FieldSpecifier::iana(27, 16)];
            self.exporting.define(0, TemplateRecord { id: FLOW + 1, scope_fields: 0, fields }).unwrap();
        }
        for flow in 0..7_u8 {
            let octets = u64::from(round * 100 + u32::from(flow)).to_be_bytes();
            let record = [&[198, 51, 100, flow], &octets[..], b"\x04eth1", &[1, 2, flow]].concat();
            self.exporting.record(0, FLOW, &record, time).unwrap();
            if round >= ROUNDS / 2 + 3 {
                let record =
                    [&octets[..], &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, flow]].concat();
                self.exporting.record(0, FLOW + 1, &record, time).unwrap();
            }
        }
        self.exporting.flush_all(time);
        std::iter::from_fn(|| self.exporting.poll_message()).map(|message| message.octets).collect()
    }
}

/// Takes out of a line what tells whence it came; returns that.
fn origin(line: &mut Line) -> (Option<Value>, Option<Value>) {
    (line.remove("originalExporterIPv4Address"), line.remove("originalObservationDomainId"))
}

#[test]
fn what_routers_send_reaches_the_pool_as_it_was_and_survives_a_killed_collector() {
    let mut world = World::start();
    let mut routers = Routers::at(world.stage.exporter_at(1));
    for round in 0..ROUNDS / 2 {
        routers.send(&mut world, round);
    }
    assert_eq!(world.wait_for_cover(), f64::from(ROUNDS / 2 * (20 + 5 + 7)));
    world.kill_the_collector_in_use();
    for round in ROUNDS / 2..ROUNDS {
        routers.send(&mut world, round);
    }
    let flows = ROUNDS * (20 + 5 + 7) + (ROUNDS / 2 - 3) * 7;
    assert_eq!(world.wait_for_cover(), f64::from(flows));
    let metrics = Samples::scrape(world.stage.exporter_http()).unwrap();
    for lost in [
        "relay_dropped_total",
        "relay_records_lost_total",
        "relay_kernel_drops_total",
        "records_dropped_total",
    ] {
        assert_eq!(metrics.sum(&format!("ipfix_exporter_{lost}")), 0.0, "{lost}");
    }

    assert_eq!(
        metrics.sum("ipfix_exporter_relay_templates"),
        5.0,
        "of version 5, 9, and IPFIX twice; and of options"
    );
    assert_eq!(metrics.sum("ipfix_exporter_relay_options_records"), 1.0);

    assert_eq!(metrics.sum("ipfix_exporter_relay_registered"), 1.0);
    let [elements, _] = world.relays();
    let transport = &elements[0]["transport"];
    assert_eq!((&transport["protocol"], &transport["port"]), (&"udp".into(), &PORT.into()), "{transport}");
    world.end_relay();
    let [elements, gone] = world.relays();
    assert_eq!((elements.len(), &gone[0]["reason"]), (0, &"deregistered".into()));

    let (pool, direct) = world.end();
    let mut received: BTreeMap<u64, Line> = BTreeMap::new();
    let mut options = Vec::new();
    for mut line in pool {
        if line.contains_key("options") {
            options.push(line);
            continue;
        }
        let number = line["number"].as_u64().unwrap();
        for key in ["ledger", "epoch", "domain", "number"] {
            line.remove(key);
        }
        // Both collectors may have a record; it is one and the same.
        assert!(received.insert(number, line.clone()).is_none_or(|before| before == line));
    }
    let exporter = Value::from(routers.address.to_string());
    let mut flows: Vec<String> = Vec::new();
    for mut line in received.into_values() {
        let (address, domain) = origin(&mut line);
        assert_eq!(address.as_ref(), Some(&exporter), "{line:?}");
        // The engine of version 5, the source ID of version 9.
        let expected = if line.contains_key("engineId") {
            0x0102
        } else if line.contains_key("protocolIdentifier") {
            9
        } else {
            DOMAIN
        };
        assert_eq!(domain, Some(expected.into()), "{line:?}");
        flows.push(Value::from(line).to_string());
    }
    let (direct_options, direct): (Vec<_>, Vec<_>) =
        direct.into_iter().partition(|line| line.contains_key("options"));
    let mut expected: Vec<String> = direct.into_iter().map(|line| Value::from(line).to_string()).collect();
    flows.sort();
    expected.sort();
    assert_eq!(flows.len(), expected.len());
    assert_eq!(flows, expected);

    // The relay's own options records have no original exporter; those of routers come to each collector once.
    options.retain(|line| line.contains_key("originalExporterIPv4Address"));
    assert!(!options.is_empty() && !direct_options.is_empty());
    for mut line in options {
        assert_eq!(origin(&mut line), (Some(exporter.clone()), Some(9.into())), "{line:?}");
        assert!(direct_options.contains(&line), "{line:?}");
    }
}
