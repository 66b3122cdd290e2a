use std::time::Duration;

use pcap_fixtures::Frame;

use crate::capture::{LinkType, Packet};
use crate::metering::{FlowEndReason, FlowRecord, Meter, MeteringConfig};

const SECOND: u64 = 1_000_000_000;

/// Meters frames, each with its time in seconds; returns the flows by their start, and how many fragments were not known.
fn meter<'a>(frames: impl IntoIterator<Item = (u64, &'a Vec<u8>)>) -> (Vec<FlowRecord>, u64) {
    let long = Duration::from_secs(1_000);
    let config = MeteringConfig { idle_timeout: long, active_timeout: long, ..MeteringConfig::default() };
    let (mut meter, mut flows) = (Meter::new(config, 7), Vec::new());
    for (seconds, octets) in frames {
        let original_length = u32::try_from(octets.len()).unwrap();
        let (timestamp, link) = (seconds * SECOND, LinkType::Ethernet);
        meter.packet(
            &Packet { timestamp, original_length, octets, interface: 0, link, outgoing: false },
            &mut flows,
        );
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {}
    flows.sort_by_key(|flow| flow.start_ns);
    (flows, meter.unknown_fragments())
}

/// A fragment of a datagram: by its flags and offset, and the datagram's identification.
fn ipv4(source: &str, place: u16, identification: u16) -> Vec<u8> {
    let address = |text: &str| text.parse().unwrap();
    let frame = Frame::udp(address(source), address("192.0.2.2:53")).unwrap().payload(64);
    let mut frame = frame.fragment(place).ethernet();
    frame[18..20].copy_from_slice(&identification.to_be_bytes());
    frame
}

fn ipv6(place: u8, identification: u8) -> Vec<u8> {
    let address = |text: &str| text.parse().unwrap();
    let frame = Frame::udp(address("[2001:db8::1]:4000"), address("[2001:db8::2]:53")).unwrap();
    frame.payload(64).extension(44, &[0, 0, place, 0, 0, 0, identification]).ethernet()
}

const MORE: u16 = 0x2000;

fn shown(flow: &FlowRecord) -> (u64, u8, u16, u16) {
    (flow.packets, flow.protocol, flow.source_port, flow.destination_port)
}

#[test]
fn later_fragments_are_of_the_flow_of_the_first() {
    let frames = [
        ipv4("192.0.2.1:4000", MORE, 1),
        ipv4("192.0.2.1:4000", MORE | 9, 1),
        ipv4("192.0.2.1:4000", 18, 1),
        ipv4("192.0.2.1:4001", MORE, 2),
        ipv4("192.0.2.1:4001", 9, 2),
    ];
    let (flows, unknown) = meter((0..).zip(&frames));
    assert_eq!(flows.iter().map(shown).collect::<Vec<_>>(), [(3, 17, 4000, 53), (2, 17, 4001, 53)]);
    assert_eq!(unknown, 0);
}

#[test]
fn fragments_of_ipv6_have_the_protocol_of_the_first() {
    // The later one is told to begin with an options header, as if those had been in the part that is fragmented.
    let mut later = ipv6(9, 5);
    later[54] = 60;
    let (flows, unknown) = meter([(0, &ipv6(1, 5)), (1, &later)]);
    assert_eq!((flows.iter().map(shown).collect::<Vec<_>>(), unknown), (vec![(2, 17, 4000, 53)], 0));
}

#[test]
fn a_packet_in_one_part_is_whole() {
    // RFC 6946: with the identification of another one, and after it.
    let (_, unknown) = meter([(0, &ipv6(1, 5)), (1, &ipv6(0, 6)), (2, &ipv6(8, 6))]);
    assert_eq!(unknown, 1);
}

#[test]
fn a_fragment_without_its_first_is_metered_without_ports_and_counted() {
    for (first, later) in [
        // It comes before.
        ((2, 1), (1, 1)),
        // Of another packet.
        ((1, 1), (2, 2)),
        // It was too long ago.
        ((1, 1), (32, 1)),
    ] {
        let frames = [ipv4("192.0.2.1:4000", MORE, first.1), ipv4("192.0.2.1:4000", 9, later.1)];
        let mut frames = vec![(first.0, &frames[0]), (later.0, &frames[1])];
        frames.sort_by_key(|(time, _)| *time);
        let (flows, unknown) = meter(frames);
        assert_eq!((flows.len(), unknown), (2, 1), "{first:?} {later:?}");
        assert!(flows.iter().any(|flow| shown(flow) == (1, 17, 0, 0)), "{flows:?}");
    }
}

#[test]
fn a_flood_of_first_fragments_forgets_the_oldest_and_keeps_every_packet() {
    let source = |number: u16| format!("10.0.{}.{}:4000", number >> 8, number & 0xff);
    let flood: Vec<_> = (0..20_000).map(|number| ipv4(&source(number), MORE, 1)).collect();
    let last = ipv4(&source(19_999), 9, 1);
    let oldest = ipv4(&source(0), 9, 1);
    let frames = flood.iter().chain([&last, &oldest]).map(|frame| (0, frame));
    let frames = (0_u64..).zip(frames).map(|(number, (_, frame))| (number / 10_000, frame));
    let (flows, unknown) = meter(frames);
    assert_eq!(unknown, 1);
    assert_eq!(flows.iter().map(|flow| flow.packets).sum::<u64>(), 20_002);
    assert_eq!(flows.iter().filter(|flow| flow.packets == 2).count(), 1);
}
