use ipfix::{CollectingConfig, CollectingSession, FieldSpecifier, Header, TemplateRecord, Visitor};

use super::*;
use crate::json::Lines;

/// A session whose options records are learned.
#[derive(Default)]
struct World {
    metadata: Metadata,
    lines: Lines,
    text: Vec<u8>,
}

impl Visitor for World {
    fn record(&mut self, record: &Record<'_>) {
        if record.template.is_options() {
            return self.metadata.learn(record);
        }
        self.lines.record(&mut self.text, record, None);
        self.metadata.add(&mut self.text, record);
    }
}

fn word(length: usize) -> u16 {
    length.try_into().unwrap()
}

impl World {
    /// A message with one record; returns its line.
    fn message(&mut self, domain: u32, scope_fields: u16, fields: &[(u16, u16)], record: &[u8]) -> String {
        let fields = fields.iter().map(|&(id, length)| FieldSpecifier::iana(id, length)).collect();
        let template = TemplateRecord { id: 256, scope_fields, fields };
        let mut sets = [if scope_fields > 0 { 3_u16 } else { 2 }, word(4 + template.wire_length())]
            .map(u16::to_be_bytes)
            .concat();
        template.encode(&mut sets);
        sets.extend([256, word(4 + record.len())].map(u16::to_be_bytes).as_flattened());
        sets.extend(record);
        let length = word(16 + sets.len());
        let header = Header { length, export_time: 0, sequence: 0, domain }.to_octets();
        let message = [&header[..], &sets].concat();
        let mut session = CollectingSession::new(CollectingConfig::default());
        session.decode(0, &message, self).unwrap();
        self.metadata.places = None;
        String::from_utf8(std::mem::take(&mut self.text)).unwrap()
    }
}

#[test]
fn counts_are_told_raw_and_scaled_by_selector_by_interface_and_by_domain() {
    let mut world = World::default();
    let flow = |world: &mut World, domain, selector| {
        world.message(domain, 0, &[(1, 2), (2, 1), (302, 1), (10, 1)], &[1, 0, 3, selector, 9])
    };
    let plain = |line: &str| assert!(!line.contains("scaled"), "{line}");
    plain(&flow(&mut world, 1, 4));
    // samplingPacketInterval 1, samplingPacketSpace 99.
    world.message(1, 1, &[(302, 1), (305, 1), (306, 1)], &[4, 1, 99]);
    let line = flow(&mut world, 1, 4);
    let raw = "{\"octetDeltaCount\":256,\"packetDeltaCount\":3,\"selectorId\":4,\"ingressInterface\":9";
    assert_eq!(line, format!("{raw},\"scaledOctetDeltaCount\":25600,\"scaledPacketDeltaCount\":300}}\n"));
    plain(&flow(&mut world, 1, 5));
    plain(&flow(&mut world, 2, 4));
    // samplingInterval of interface 9, and of all.
    world.message(1, 1, &[(10, 1), (34, 1)], &[9, 10]);
    assert!(flow(&mut world, 1, 5).contains("\"scaledPacketDeltaCount\":30}"));
    world.message(2, 1, &[(144, 1), (311, 8)], &[&[1][..], &0.5_f64.to_be_bytes()].concat());
    assert!(flow(&mut world, 2, 4).contains("\"scaledPacketDeltaCount\":6}"));
    world.message(2, 1, &[(144, 1), (34, 1)], &[1, 1]);
    plain(&flow(&mut world, 2, 4));
}

#[test]
fn a_sampling_interval_in_the_record_itself_is_used() {
    let line = World::default().message(1, 0, &[(2, 1), (34, 4)], &[5, 0, 0, 4, 0]);
    assert!(line.ends_with("\"samplingInterval\":1024,\"scaledPacketDeltaCount\":5120}\n"), "{line}");
}

#[test]
fn interfaces_vrfs_and_applications_have_names() {
    let mut world = World::default();
    world.message(1, 1, &[(10, 1), (82, 6), (83, 3)], b"\x01Gi0/1\0up ");
    world.message(1, 1, &[(14, 1), (82, 3)], b"\x02eth");
    world.message(1, 1, &[(234, 1), (236, 4)], b"\x07red\0");
    world.message(1, 1, &[(95, 4), (96, 4)], b"\x0d\0\0\x01http");
    let line = world.message(
        1,
        0,
        &[(10, 1), (14, 1), (234, 1), (235, 1), (95, 4)],
        b"\x01\x02\x08\x07\x0d\0\0\x01",
    );
    let names = ",\"ingressInterfaceName\":\"Gi0/1\",\"ingressInterfaceDescription\":\"up\",\"egressInterfaceName\":\"eth\",\
        \"egressVRFName\":\"red\",\"applicationName\":\"http\"}\n";
    assert!(line.ends_with(names), "{line}");
    assert!(!world.message(2, 0, &[(10, 1)], &[1]).contains("Name"), "another domain");
}

#[test]
fn a_source_is_told_with_the_identity_its_records_give_it() {
    let mut world = World::default();
    world.metadata.set_source("192.0.2.1:4000".parse().unwrap());
    let plain = "{\"packetDeltaCount\":5,\"exporter\":{\"source\":\"192.0.2.1:4000\",\"domain\":3}}\n";
    assert_eq!(world.message(3, 0, &[(2, 1)], &[5]), plain);
    world.message(3, 1, &[(144, 1), (130, 4)], &[1, 10, 0, 0, 9]);
    let told = "\"exporter\":{\"source\":\"192.0.2.1:4000\",\"domain\":3,\"address\":\"10.0.0.9\"}}\n";
    assert!(world.message(3, 0, &[(2, 1)], &[5]).ends_with(told));
}

#[test]
fn what_is_learned_is_bounded_and_known_names_go_on_to_change() {
    let mut world = World::default();
    for interface in 0..20_000_u16 {
        let [high, low] = interface.to_be_bytes();
        world.message(1, 1, &[(10, 2), (82, 4)], &[high, low, b'e', b't', b'h', b'0']);
    }
    assert!(world.metadata.octets <= MAX_OCTETS && world.metadata.names.len() > 3_000);
    world.message(1, 1, &[(10, 2), (82, 4)], b"\0\x01eth9");
    assert!(world.message(1, 0, &[(10, 2)], &[0, 1]).contains("\"eth9\""));
    assert!(!world.message(1, 0, &[(10, 2)], &20_000_u16.to_be_bytes()).contains("Name"));
}

#[test]
fn what_all_sessions_learn_is_bounded_and_each_has_its_share() {
    let room = Arc::new(Room::new(1_000, 5_000));
    let mut worlds: Vec<_> = (0..10).map(|_| World::default()).collect();
    for world in &mut worlds {
        world.metadata.share(Arc::clone(&room));
        for interface in 0..50 {
            world.message(1, 1, &[(10, 1), (82, 4)], &[interface, b'e', b't', b'h', b'0']);
        }
        assert!(world.metadata.octets > 900 && world.metadata.octets < 4_000, "{}", world.metadata.octets);
    }
    assert!((4_900..=5_000).contains(&room.used()), "{}", room.used());
    drop(worlds);
    assert_eq!(room.used(), 0);
}

#[test]
fn what_a_mediator_passes_on_counts_for_the_records_of_the_same_exporter_and_domain_only() {
    let mut world = World::default();
    let from = |exporter: u8, domain: u8| [192, 0, 2, exporter, 0, 0, 0, domain];
    let flow = |world: &mut World, exporter, domain| {
        let record = [&[1, 0, 9][..], &from(exporter, domain)].concat();
        world.message(1, 0, &[(1, 2), (10, 1), (403, 4), (405, 4)], &record)
    };
    let scope = [(403, 4), (405, 4), (143, 1), (34, 1)];
    world.message(1, 3, &scope, &[&from(1, 5)[..], &[0, 100]].concat());
    let name = [(403, 4), (405, 4), (10, 1), (82, 4)];
    world.message(1, 3, &name, &[&from(1, 5)[..], &[9], b"ge-9"].concat());
    let line = flow(&mut world, 1, 5);
    assert!(line.contains("\"scaledOctetDeltaCount\":25600") && line.contains("\"ge-9\""), "{line}");
    for (exporter, domain) in [(1, 6), (2, 5)] {
        let line = flow(&mut world, exporter, domain);
        assert!(!line.contains("scaled") && !line.contains("ge-9"), "{line}");
    }
}
