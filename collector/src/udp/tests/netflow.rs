//! NetFlow among the sources.

use super::*;

/// A datagram of version 9 from source ID 1: a template of octetDeltaCount in four octets, or records of it.
pub(super) fn v9(sequence: u32, set_id: u16, content: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0, 9, 0, 1];
    datagram.extend([1_000, TIME, sequence, 1].map(u32::to_be_bytes).as_flattened());
    datagram.extend(set_id.to_be_bytes());
    datagram.extend(u16::try_from(content.len() + 4).unwrap().to_be_bytes());
    datagram.extend(content);
    datagram
}

pub(super) fn v9_template(sequence: u32) -> Vec<u8> {
    v9(sequence, 0, &[1, 0, 0, 1, 0, 1, 0, 4])
}

pub(super) fn v9_flow(sequence: u32) -> Vec<u8> {
    v9(sequence, FLOW, &sequence.to_be_bytes())
}

/// A datagram of version 5 whose flows have as many octets as their number.
fn v5(sequence: u32, count: u16) -> Vec<u8> {
    let mut datagram = vec![0, 5];
    datagram.extend(count.to_be_bytes());
    datagram.extend([1_000, TIME, 0, sequence, 0].map(u32::to_be_bytes).as_flattened());
    for number in sequence..sequence + u32::from(count) {
        datagram.extend([0; 20]);
        datagram.extend(number.to_be_bytes());
        datagram.extend([0; 24]);
    }
    datagram
}

#[test]
fn version_9_and_ipfix_of_one_address_do_not_mix_templates() {
    let (mut world, mut exporter) = exporting();
    world.send(1, &v9_flow(0));
    assert!(world.values().is_empty() && world.metric("udp_held_bytes") > 0, "it waits for a template");
    // Two octets long there, four here.
    let mut two = Exporter::new(1, 2);
    world.send(1, &v9_template(1));
    world.send(1, &two.templates());
    world.send_all(1, &[v9_flow(2), exporter.flows(0x0001_0002..0x0001_0003), v9_flow(3)]);
    assert_eq!(world.values(), [0, 2, 1, 2, 3]);
    assert_eq!((world.metric("udp_sessions"), world.metric("templates")), (2, 2));
    assert_eq!(world.metric("netflow_datagrams_received_total{version=\"9\"}"), 4);
}

#[test]
fn version_9_counts_datagrams_and_their_loss_is_told_as_such() {
    let mut world = World::new();
    world.send(1, &v9_template(0));
    for sequence in (1..10).chain(14..20).chain([11, 10]) {
        world.send(1, &v9_flow(sequence));
    }
    assert_eq!((world.values().len(), world.metric("records_lost_total")), (17, 0));
    assert_eq!(
        (world.metric("netflow_datagrams_lost_total"), world.metric("netflow_datagrams_late_total")),
        (4, 2)
    );
    // A restart is no loss.
    (0..5).for_each(|sequence| world.send(1, &v9_flow(sequence)));
    assert_eq!(world.metric("netflow_datagrams_lost_total"), 4);
}

#[test]
fn version_5_counts_flows_and_their_loss_is_told_as_such() {
    let mut world = World::new();
    for sequence in [0, 30, 60, 120, 150] {
        world.send(1, &v5(sequence, 30));
    }
    assert_eq!((world.values().len(), world.metric("records_lost_total")), (150, 30));
    world.send_all(1, &[v5(0, 30), v5(30, 10), v5(40, 30)]);
    assert_eq!(world.metric("records_lost_total"), 30, "a restart");
    assert_eq!(world.metric("netflow_datagrams_received_total{version=\"5\"}"), 8);
}

#[test]
fn version_5_counts_on_over_the_end_of_its_numbers() {
    let mut world = World::new();
    let ends = |sequence: u32| {
        let mut datagram = v5(0, 10);
        datagram[16..20].copy_from_slice(&sequence.to_be_bytes());
        datagram
    };
    world.send_all(1, &[u32::MAX - 19, u32::MAX - 9, 0, 10].map(ends));
    assert_eq!((world.values().len(), world.metric("records_lost_total")), (40, 0));
}

#[test]
fn malformed_netflow_puts_its_source_into_the_penalty_box_with_and_without_a_session() {
    for known in [true, false] {
        let mut world = World::new();
        if known {
            world.send(1, &v9_template(0));
        }
        for sequence in 1..=4 {
            let mut bad = v9_flow(sequence);
            bad[23] = 200;
            world.send(1, &bad);
        }
        assert_eq!((world.metric("messages_malformed_total"), world.discarded("penalty")), (3, 1));
        assert_eq!(world.metric("udp_penalized_sources"), 1);
        world.pass(60);
        world.send_all(1, &[v9_template(5), v9_flow(6)]);
        assert_eq!((world.values(), world.metric("udp_penalized_sources")), (vec![6], 0));
    }
}

#[test]
fn templates_of_version_9_expire_like_those_of_ipfix() {
    let mut world = World::new();
    world.send_all(1, &[v9_template(0), v9_flow(1)]);
    world.pass(25 * 60);
    world.send(1, &v9_flow(2));
    world.pass(6 * 60);
    world.send(1, &v9_flow(3));
    assert_eq!(world.values(), [1, 2]);
    assert!(world.metric("udp_held_bytes") > 0, "it waits for a template");
}
