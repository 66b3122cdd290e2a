//! What is configured beyond the flows' own fields: biflows, details, fewer keys; and how TCP ends flows.

use super::*;
use crate::metering::{BiflowDirection, Reverse};

const LINGER: Duration = Duration::from_millis(200);

fn flags(source_port: u16, tcp_control_bits: u16) -> PacketView {
    PacketView { tcp_control_bits, ..view(source_port) }
}

/// A packet that answers [`view`].
fn answer(port: u16) -> PacketView {
    let PacketView { source, destination, source_port, destination_port, .. } = view(port);
    PacketView {
        source: destination,
        destination: source,
        source_port: destination_port,
        destination_port: source_port,
        ttl: 50,
        class_of_service: 0x28,
        octets: 1000,
        ..view(port)
    }
}

fn answering(port: u16, tcp_control_bits: u16) -> PacketView {
    PacketView { tcp_control_bits, ..answer(port) }
}

fn heeding(biflows: bool) -> Metered {
    Metered::new(MeteringConfig { end_of_flow: Some(LINGER), biflows, ..config() })
}

fn biflows() -> Metered {
    Metered::new(MeteringConfig { biflows: true, ..config() })
}

#[test]
fn both_directions_of_a_biflow_are_one_record_with_the_first_packets_source() {
    for swapped in [false, true] {
        let (there, back) = if swapped { (answer(1), view(1)) } else { (view(1), answer(1)) };
        let mut metered = biflows();
        metered.packet(PacketView { tcp_control_bits: 0x002, ..there }, 0);
        metered.packet(PacketView { tcp_control_bits: 0x012, ..back }, 100 * MILLISECOND);
        metered.packet(there, 200 * MILLISECOND);
        metered.packet(back, 300 * MILLISECOND);
        metered.packet(PacketView { ttl: 40, ..back }, 400 * MILLISECOND);
        metered.flush();
        let [record] = metered.out[..] else { panic!("{:?}", metered.out) };
        assert_eq!((record.source, record.source_port), (there.source, there.source_port));
        assert_eq!(
            (record.destination, record.destination_port),
            (there.destination, there.destination_port)
        );
        assert_eq!((record.packets, record.octets), (2, 2 * u64::from(there.octets)));
        assert_eq!((record.start_ns, record.end_ns), (START, START + 200 * MILLISECOND));
        let reverse = Reverse {
            octets: 3 * u64::from(back.octets),
            packets: 3,
            start_ns: START + 100 * MILLISECOND,
            end_ns: START + 400 * MILLISECOND,
            tcp_control_bits: 0x012,
            class_of_service: back.class_of_service,
            minimum_ttl: 40,
            maximum_ttl: back.ttl,
            direction: BiflowDirection::Initiator,
        };
        assert_eq!(record.reverse, Some(reverse));
    }
}

#[test]
fn a_biflow_lives_as_long_as_either_direction_does() {
    let mut metered = biflows();
    metered.packet(view(1), 0);
    for tenth in 1..=20 {
        metered.packet(answer(1), tenth * 100 * MILLISECOND);
    }
    metered.packet(view(1), 2_500 * MILLISECOND);
    assert_eq!(metered.out, []);
    metered.packet(view(2), 3_600 * MILLISECOND);
    assert_eq!(metered.reasons(), [FlowEndReason::IdleTimeout]);
    assert_eq!((metered.out[0].packets, metered.out[0].reverse.unwrap().packets), (2, 20));
}

#[test]
fn without_an_answer_there_is_no_reverse_and_icmp_has_none() {
    let mut metered = biflows();
    metered.packet(view(1), 0);
    let ping = PacketView { protocol: protocol::ICMP, source_port: 0, destination_port: 0x0800, ..view(0) };
    let pong = PacketView { protocol: protocol::ICMP, source_port: 0, destination_port: 0, ..answer(0) };
    metered.packet(ping, 0);
    metered.packet(pong, 0);
    metered.flush();
    assert_eq!(metered.out.len(), 3);
    assert!(metered.out.iter().all(|record| record.reverse.is_none() && record.packets == 1));
    let pong = metered.out.iter().find(|record| record.destination_port == 0).unwrap();
    assert_eq!((pong.source, pong.destination), (answer(0).source, answer(0).destination));
}

#[test]
fn a_biflow_seen_from_its_answer_on_tells_that_the_destination_began() {
    let mut metered = biflows();
    metered.packet(answering(1, 0x012), 0);
    metered.packet(view(1), 0);
    metered.flush();
    assert_eq!(metered.out[0].source, answer(1).source);
    assert_eq!(metered.out[0].reverse.unwrap().direction, BiflowDirection::ReverseInitiator);
}

#[test]
fn what_goes_on_after_an_active_timeout_keeps_its_number_and_who_began() {
    let mut metered = Metered::new(MeteringConfig { biflows: true, details: true, ..config() });
    metered.packet(view(1), 0);
    for tenth in 1..=31 {
        metered.packet(answer(1), tenth * 100 * MILLISECOND);
    }
    metered.packet(view(1), 3_200 * MILLISECOND);
    metered.packet(view(2), 3_200 * MILLISECOND);
    metered.flush();
    let [first, rest] =
        [0, 1].map(|at| *metered.out.iter().filter(|record| record.details.flow_id == 1).nth(at).unwrap());
    assert_eq!(first.end_reason, FlowEndReason::ActiveTimeout);
    assert_eq!(
        (first.source, first.reverse.unwrap().direction),
        (view(1).source, BiflowDirection::Initiator)
    );
    assert_eq!(
        (rest.source, rest.reverse.unwrap().direction),
        (answer(1).source, BiflowDirection::ReverseInitiator)
    );
    assert!(metered.out.iter().any(|record| record.details.flow_id == 2));
}

#[test]
fn details_are_kept_where_they_are_asked_for() {
    let mut metered = Metered::new(MeteringConfig { details: true, ..config() });
    let frame = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 7, 8, 0];
    let packet = |octets, timestamp| Packet { octets, link: LinkType::Ethernet, ..packet(timestamp) };
    let first = PacketView { mpls_top_label: 0x0012_3451, ..view(1) };
    metered.table.packet(&first, &packet(&frame[..], START), &mut metered.out);
    for octets in [40, 1500] {
        let view = PacketView { octets, ..view(1) };
        metered.table.packet(&view, &packet(&[][..], START), &mut metered.out);
    }
    metered.flush();
    let details = Details {
        flow_id: 1,
        minimum_length: 40,
        maximum_length: 1500,
        mpls_top_label: 0x0012_3451,
        source_mac: [2, 0, 0, 0, 0, 7],
        destination_mac: [2, 0, 0, 0, 0, 9],
    };
    assert_eq!(metered.out[0].details, details);
    assert_eq!(metered.out[0].reverse, None);
}

#[test]
fn what_is_no_key_does_not_separate_flows() {
    let all = Keys::default();
    let other_port = view(2);
    let other_vlan = PacketView { vlan_id: 1, customer_vlan_id: 2, ..view(1) };
    let other_segment = PacketView { segment: Segment::NONE, ..view(1) };
    let other_interface = PacketView { interface: 9, ..view(1) };
    for (keys, other) in [
        (Keys { ports: false, ..all }, other_port),
        (Keys { vlan: false, ..all }, other_vlan),
        (Keys { segment: false, ..all }, other_segment),
        (Keys { interface: false, ..all }, other_interface),
    ] {
        for (keys, flows) in [(all, 2), (keys, 1)] {
            let mut metered = Metered::new(MeteringConfig { keys, ..config() });
            metered.packet(view(1), 0);
            metered.packet(other, 0);
            assert_eq!(metered.table.len(), flows, "{keys:?}");
        }
    }
}

#[test]
fn a_fin_of_both_sides_ends_both_flows_and_the_last_acknowledgement_is_in() {
    for biflows in [false, true] {
        let mut metered = heeding(biflows);
        metered.packet(flags(1, 0x002), 0);
        metered.packet(answering(1, 0x012), 0);
        metered.packet(flags(1, 0x011), 10 * MILLISECOND);
        // One side goes on sending for longer than the linger: half closed is not closed.
        metered.packet(answer(1), 300 * MILLISECOND);
        metered.packet(flags(1, 0x010), 300 * MILLISECOND);
        metered.packet(answering(1, 0x011), 600 * MILLISECOND);
        metered.packet(flags(1, 0x010), 610 * MILLISECOND);
        assert_eq!(metered.out, []);
        metered.packet(view(2), 900 * MILLISECOND);
        let flows = if biflows { 1 } else { 2 };
        assert_eq!(metered.reasons(), vec![FlowEndReason::EndOfFlow; flows], "biflows: {biflows}");
        let reverse = |record: &FlowRecord| record.reverse.map_or(0, |reverse| reverse.packets);
        assert_eq!(metered.out.iter().map(|record| record.packets + reverse(record)).sum::<u64>(), 7);
    }
}

#[test]
fn one_rst_ends_both_directions() {
    for biflows in [false, true] {
        let mut metered = heeding(biflows);
        metered.packet(view(1), 0);
        metered.packet(answer(1), 0);
        metered.packet(answering(1, 0x014), 10 * MILLISECOND);
        metered.packet(view(2), 300 * MILLISECOND);
        let flows = if biflows { 1 } else { 2 };
        assert_eq!(metered.reasons(), vec![FlowEndReason::EndOfFlow; flows], "biflows: {biflows}");
    }
}

#[test]
fn where_the_other_side_is_not_seen_its_fin_is_not_waited_for() {
    for biflows in [false, true] {
        let mut metered = heeding(biflows);
        metered.packet(flags(1, 0x011), 0);
        metered.packet(view(2), 300 * MILLISECOND);
        assert_eq!(metered.reasons(), [FlowEndReason::EndOfFlow], "biflows: {biflows}");
    }
}

#[test]
fn a_fin_of_one_side_alone_ends_nothing() {
    for biflows in [false, true] {
        let mut metered = heeding(biflows);
        metered.packet(view(1), 0);
        metered.packet(answer(1), 0);
        metered.packet(flags(1, 0x011), 0);
        metered.packet(view(2), 900 * MILLISECOND);
        assert_eq!(metered.out, [], "biflows: {biflows}");
        metered.packet(view(2), 1_100 * MILLISECOND);
        assert!(metered.reasons().iter().all(|reason| *reason == FlowEndReason::IdleTimeout));
    }
}

#[test]
fn a_new_connection_with_the_same_ports_is_a_new_flow_while_the_old_one_lingers() {
    for biflows in [false, true] {
        let mut metered = heeding(biflows);
        metered.packet(view(1), 0);
        metered.packet(answering(1, 0x014), 0);
        metered.packet(flags(1, 0x002), 10 * MILLISECOND);
        assert_eq!(metered.reasons(), [FlowEndReason::EndOfFlow], "biflows: {biflows}");
    }
}

#[test]
fn the_end_of_one_connection_does_not_end_a_flow_without_ports() {
    let keys = Keys { ports: false, ..Keys::default() };
    let mut metered = Metered::new(MeteringConfig { end_of_flow: Some(LINGER), keys, ..config() });
    metered.packet(flags(1, 0x004), 0);
    metered.packet(flags(2, 0x002), 500 * MILLISECOND);
    assert_eq!((metered.out.len(), metered.table.len()), (0, 1));
}
