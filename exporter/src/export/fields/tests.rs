use std::collections::BTreeMap;

use super::*;
use crate::export::FlowEncoder;
use crate::metering::{BiflowDirection, Details, FlowEndReason};
use crate::packet::Segment;

fn flow(protocol: u8) -> FlowRecord {
    FlowRecord {
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
        source_port: 40_000,
        destination_port: 0x0800,
        protocol,
        class_of_service: 0xb8,
        tcp_control_bits: 0x1b,
        minimum_ttl: 60,
        maximum_ttl: 64,
        vlan_id: 10,
        customer_vlan_id: 0,
        segment: Segment::vxlan(7),
        interface: 3,
        direction: Direction::Ingress,
        end_reason: FlowEndReason::ActiveTimeout,
        octets: 4711,
        packets: 12,
        start_ns: 1_700_000_000_123_456_789,
        end_ns: 1_700_000_001_000_000_001,
        details: Details {
            flow_id: 99,
            minimum_length: 40,
            maximum_length: 1500,
            mpls_top_label: 0x0012_3451,
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
        },
        reverse: None,
    }
}

fn biflow() -> FlowRecord {
    let reverse = Reverse {
        octets: 100,
        packets: 2,
        start_ns: 1_700_000_000_200_000_000,
        end_ns: 1_700_000_000_300_000_000,
        tcp_control_bits: 0x12,
        class_of_service: 0x28,
        minimum_ttl: 50,
        maximum_ttl: 51,
        direction: BiflowDirection::ReverseInitiator,
    };
    FlowRecord { reverse: Some(reverse), ..flow(6) }
}

/// What a collector reads, by the names of elements.
fn read(selection: &FieldSelection, flow: &FlowRecord) -> BTreeMap<&'static str, u64> {
    let encoder = FlowEncoder::with(selection);
    let mut record = Vec::new();
    let template = encoder.encode(flow, &mut record);
    let mut at = 0;
    let mut values = BTreeMap::new();
    for field in encoder.templates().get(template).fields() {
        let end = at + usize::from(field.length);
        let value = record[at..end].iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
        values.insert(ie::lookup(field.pen, field.id).unwrap().name, value);
        at = end;
    }
    assert_eq!(at, record.len());
    values
}

fn added(names: &[&str]) -> Vec<u16> {
    names.iter().map(|name| addable().find(|element| element.name == *name).unwrap().id).collect()
}

#[test]
fn basic_has_what_every_flow_has_and_asks_the_meter_for_nothing() {
    let basic = FieldSelection::default();
    let read = read(&basic, &flow(6));
    assert_eq!((read["octetDeltaCount"], read["flowEndReason"], read["dot1qVlanId"]), (4711, 2, 10));
    assert_eq!(read["flowStartMilliseconds"], 1_700_000_000_123);
    assert_eq!(read.len(), 19);
    assert!(!basic.details() && !basic.biflows());
}

#[test]
fn full_tells_lengths_addresses_segment_and_label_as_well() {
    let full = FieldSelection { preset: Preset::Full, ..FieldSelection::default() };
    let read = read(&full, &flow(6));
    assert_eq!((read["minimumIpTotalLength"], read["maximumIpTotalLength"]), (40, 1500));
    assert_eq!(
        (read["sourceMacAddress"], read["destinationMacAddress"]),
        (0x0200_0000_0001, 0x0200_0000_0002)
    );
    assert_eq!((read["layer2SegmentId"], read["mplsTopLabelStackSection"]), (1 << 56 | 7, 0x0012_3451));
    assert!(!read.contains_key("flowId") && full.details());
}

#[test]
fn single_elements_can_be_added() {
    let selection =
        FieldSelection { added: added(&["flowId", "maximumIpTotalLength"]), ..FieldSelection::default() };
    let read = read(&selection, &flow(1));
    assert_eq!((read["flowId"], read["maximumIpTotalLength"]), (99, 1500));
    assert!(selection.details() && !read.contains_key("minimumIpTotalLength"));
    let segment = FieldSelection { added: added(&["layer2SegmentId"]), ..FieldSelection::default() };
    assert!(!segment.details(), "it is part of the key");
}

#[test]
fn nanoseconds_replace_milliseconds_and_lose_nothing() {
    let selection = FieldSelection { times: TimeUnit::Nanoseconds, ..FieldSelection::default() };
    let read = read(&selection, &flow(6));
    assert!(!read.contains_key("flowStartMilliseconds"));
    for (name, nanoseconds) in [
        ("flowStartNanoseconds", 1_700_000_000_123_456_789_u64),
        ("flowEndNanoseconds", 1_700_000_001_000_000_001),
    ] {
        let (seconds, fraction) = (read[name] >> 32, read[name] & 0xffff_ffff);
        assert_eq!(seconds - 2_208_988_800, nanoseconds / 1_000_000_000, "{name}");
        assert_eq!((fraction * 1_000_000_000) >> 32, nanoseconds % 1_000_000_000, "{name}");
    }
}

#[test]
fn a_biflow_has_the_reverse_elements_and_a_flow_without_answer_has_not() {
    let selection = FieldSelection {
        preset: Preset::Biflow,
        added: added(&["responderOctets"]),
        ..FieldSelection::default()
    };
    let both = read(&selection, &biflow());
    assert_eq!((both["octetDeltaCount"], both["reverseOctetDeltaCount"]), (4711, 100));
    assert_eq!((both["reversePacketDeltaCount"], both["reverseTcpControlBits"]), (2, 0x12));
    assert_eq!(both["reverseFlowStartMilliseconds"], 1_700_000_000_200);
    assert_eq!((both["reverseMinimumTTL"], both["reverseMaximumTTL"]), (50, 51));
    assert_eq!((both["biflowDirection"], both["responderOctets"]), (2, 100));
    let one = read(&selection, &flow(6));
    assert!(one.keys().all(|name| !name.starts_with("reverse")) && !one.contains_key("biflowDirection"));
    assert_eq!(one["responderOctets"], 0);
}

#[test]
fn what_is_no_key_is_in_no_record() {
    let keys = Keys { ports: false, vlan: false, segment: false, interface: false };
    let selection = FieldSelection { preset: Preset::Full, keys, ..FieldSelection::default() };
    for protocol in [1, 6] {
        let read = read(&selection, &flow(protocol));
        for name in [
            "sourceTransportPort",
            "icmpTypeCodeIPv4",
            "dot1qVlanId",
            "dot1qCustomerVlanId",
            "layer2SegmentId",
            "ingressInterface",
            "egressInterface",
        ] {
            assert!(!read.contains_key(name), "{name}");
        }
        assert_eq!(read["packetDeltaCount"], 12);
    }
}

#[test]
fn records_of_sampled_packets_name_the_selector() {
    let selection = FieldSelection { sampled: true, ..FieldSelection::default() };
    assert_eq!(read(&selection, &flow(6))["selectorId"], SELECTOR_ID);
}

#[test]
fn a_rule_for_a_kind_of_flow_holds_with_and_without_an_answer() {
    let encoder = FlowEncoder::with(&FieldSelection { preset: Preset::Biflow, ..FieldSelection::default() });
    let mut record = Vec::new();
    let both = [flow(6), biflow()].map(|flow| encoder.encode(&flow, &mut record));
    assert_eq!(encoder.templates().named("ipv4").collect::<Vec<_>>(), both);
}
