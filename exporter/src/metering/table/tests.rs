mod special;
mod survey;

use super::*;
use crate::capture::LinkType;
use crate::metering::Details;
use crate::packet::{Segment, Unparsed, protocol};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

const START: u64 = 1_750_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

fn config() -> MeteringConfig {
    MeteringConfig {
        idle_timeout: Duration::from_secs(1),
        active_timeout: Duration::from_secs(3),
        ..MeteringConfig::default()
    }
}

fn view(source_port: u16) -> PacketView {
    PacketView {
        source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
        source_port,
        destination_port: 443,
        protocol: protocol::TCP,
        class_of_service: 0xb8,
        ttl: 64,
        tcp_control_bits: 0x010,
        vlan_id: 42,
        customer_vlan_id: 7,
        mpls_top_label: 0,
        segment: Segment::vxlan(0xfedcba),
        interface: 3,
        outgoing: false,
        octets: 100,
        fragment: None,
        later_fragment: false,
        cut: false,
    }
}

fn packet(timestamp: u64) -> Packet<'static> {
    Packet {
        timestamp,
        original_length: 0,
        octets: &[],
        interface: 0,
        link: LinkType::RawIp,
        outgoing: false,
    }
}

/// A table and what came out of it.
struct Metered {
    table: FlowTable,
    out: Vec<FlowRecord>,
}

impl Metered {
    fn new(config: MeteringConfig) -> Self {
        Self { table: FlowTable::new(config, 1), out: Vec::new() }
    }

    /// Meters a packet so many nanoseconds after the start.
    fn packet(&mut self, view: PacketView, after: u64) {
        self.table.packet(&view, &packet(START + after), &mut self.out);
        self.table.settle(&mut self.out);
    }

    fn flush(&mut self) {
        while self.table.flush(FlowEndReason::ForcedEnd, &mut self.out) {}
    }

    fn reasons(&self) -> Vec<FlowEndReason> {
        self.out.iter().map(|record| record.end_reason).collect()
    }
}

#[test]
fn a_record_tells_all_of_its_packets() {
    let mut metered = Metered::new(config());
    metered.packet(PacketView { tcp_control_bits: 0x002, ..view(1) }, 0);
    metered.packet(PacketView { ttl: 60, class_of_service: 0, octets: 1400, ..view(1) }, 500 * MILLISECOND);
    metered.packet(PacketView { ttl: 70, tcp_control_bits: 0x111, ..view(1) }, SECOND);
    metered.flush();
    let expected = FlowRecord {
        source: view(1).source,
        destination: view(1).destination,
        source_port: 1,
        destination_port: 443,
        protocol: 6,
        class_of_service: 0xb8,
        tcp_control_bits: 0x113,
        minimum_ttl: 60,
        maximum_ttl: 70,
        vlan_id: 42,
        customer_vlan_id: 7,
        segment: Segment::vxlan(0xfedcba),
        interface: 3,
        direction: crate::metering::Direction::Ingress,
        end_reason: FlowEndReason::ForcedEnd,
        octets: 1600,
        packets: 3,
        start_ns: START,
        end_ns: START + SECOND,
        details: Details::default(),
        reverse: None,
    };
    assert_eq!(metered.out, [expected]);
    assert_eq!((expected.start_ms(), expected.end_ms()), (1_750_000_000_000, 1_750_000_001_000));
}

#[test]
fn a_gap_of_the_idle_timeout_belongs_to_the_flow_and_a_longer_one_does_not() {
    let mut metered = Metered::new(config());
    metered.packet(view(1), 0);
    metered.packet(view(1), SECOND);
    assert_eq!(metered.out, []);
    metered.packet(view(1), 2 * SECOND + 1);
    assert_eq!(metered.reasons(), [FlowEndReason::IdleTimeout]);
    assert_eq!(metered.out[0].packets, 2);
}

#[test]
fn packets_wait_for_some_more_and_not_beyond_what_asks_for_their_flows() {
    let cut_by_the_second = |asks: fn(&mut Metered)| {
        let mut metered = Metered::new(config());
        for pause in [0, 2 * SECOND] {
            metered.table.packet(&view(1), &packet(START + pause), &mut metered.out);
        }
        assert_eq!((metered.out.len(), metered.table.counters().packets), (0, 2));
        asks(&mut metered);
        metered.reasons()
    };
    let some_more = |metered: &mut Metered| {
        (2..).take(WAITING - 2).for_each(|port| {
            metered.table.packet(&view(port), &packet(START + 2 * SECOND), &mut metered.out);
        });
    };
    assert_eq!(cut_by_the_second(some_more), [FlowEndReason::IdleTimeout]);
    assert_eq!(cut_by_the_second(|metered| metered.table.settle(&mut metered.out)).len(), 1);
    let advances = |metered: &mut Metered| assert!(!metered.table.advance(START, &mut metered.out));
    assert_eq!(cut_by_the_second(advances).len(), 1);
    assert_eq!(cut_by_the_second(Metered::flush).len(), 2);
}

#[test]
fn a_flow_that_never_pauses_is_cut_by_its_age() {
    let mut metered = Metered::new(config());
    for tenth in 0..=62 {
        metered.packet(view(1), tenth * 100 * MILLISECOND);
    }
    assert_eq!(metered.reasons(), [FlowEndReason::ActiveTimeout; 2]);
    assert_eq!(metered.out[0].end_ns - metered.out[0].start_ns, 3 * SECOND);
    assert_eq!(metered.out[1].start_ns, START + 3_100 * MILLISECOND);
}

#[test]
fn a_flow_ends_without_a_further_packet() {
    let mut metered = Metered::new(config());
    metered.packet(view(1), 0);
    metered.packet(view(2), SECOND + 5 * MILLISECOND);
    assert_eq!(metered.reasons(), [FlowEndReason::IdleTimeout]);
    assert!(!metered.table.advance(START + 2 * SECOND, &mut metered.out));
    assert_eq!(metered.out.len(), 1);
    assert!(!metered.table.advance(START + 3 * SECOND, &mut metered.out));
    assert_eq!(metered.out.len(), 2);
    assert!(metered.table.is_empty());
}

#[test]
fn every_part_of_the_key_separates_flows() {
    let mut metered = Metered::new(config());
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));
    let mapped = |address: &str| address.parse().unwrap();
    for view in [
        view(1),
        view(2),
        PacketView { source: other, ..view(1) },
        PacketView { destination: other, ..view(1) },
        PacketView { destination_port: 80, ..view(1) },
        PacketView { protocol: protocol::UDP, ..view(1) },
        PacketView { vlan_id: 43, ..view(1) },
        PacketView { customer_vlan_id: 8, ..view(1) },
        PacketView { segment: Segment::geneve(0xfedcba), ..view(1) },
        PacketView { segment: Segment::NONE, ..view(1) },
        PacketView { interface: 4, ..view(1) },
        PacketView { source: mapped("::ffff:192.0.2.1"), destination: mapped("::ffff:192.0.2.2"), ..view(1) },
        PacketView { source: mapped("::c000:201"), destination: mapped("::c000:202"), ..view(1) },
    ] {
        metered.packet(view, 0);
    }
    assert_eq!(metered.table.len(), 13);
    metered.flush();
    assert_eq!(metered.out.iter().filter(|record| record.source.is_ipv6()).count(), 2);
}

#[test]
fn a_flow_has_the_direction_of_its_first_packet() {
    for (first, direction) in [(false, Direction::Ingress), (true, Direction::Egress)] {
        let mut metered = Metered::new(config());
        metered.packet(PacketView { outgoing: first, ..view(1) }, 0);
        metered.packet(PacketView { outgoing: !first, ..view(1) }, SECOND);
        metered.flush();
        assert_eq!((metered.out.len(), metered.out[0].direction), (1, direction));
    }
}

#[test]
fn a_full_table_ends_the_flow_that_is_nearest_to_its_end() {
    let mut metered = Metered::new(MeteringConfig { max_flows: 3, ..config() });
    for port in 1..=3 {
        metered.packet(view(port), u64::from(port) * 100 * MILLISECOND);
    }
    metered.packet(view(1), 350 * MILLISECOND);
    metered.packet(view(4), 400 * MILLISECOND);
    assert_eq!(metered.reasons(), [FlowEndReason::LackOfResources]);
    assert_eq!(metered.out[0].source_port, 2);
    assert_eq!(metered.table.len(), 3);
    assert_eq!(metered.table.counters().ended(FlowEndReason::LackOfResources), 1);
}

#[test]
fn the_end_of_tcp_ends_a_flow_only_where_that_is_configured() {
    let fin = PacketView { tcp_control_bits: 0x011, ..view(1) };
    let mut plain = Metered::new(config());
    plain.packet(fin, 0);
    plain.packet(view(1), 900 * MILLISECOND);
    plain.flush();
    assert_eq!(plain.out.len(), 1);

    let linger = Some(Duration::from_millis(200));
    let mut heeding = Metered::new(MeteringConfig { end_of_flow: linger, ..config() });
    heeding.packet(fin, 0);
    heeding.packet(view(1), 100 * MILLISECOND);
    heeding.packet(view(2), 400 * MILLISECOND);
    assert_eq!(heeding.reasons(), [FlowEndReason::EndOfFlow]);
    assert_eq!(heeding.out[0].packets, 2);
    heeding.packet(PacketView { tcp_control_bits: 0x014, ..view(2) }, 410 * MILLISECOND);
    heeding.packet(PacketView { tcp_control_bits: 0x002, ..view(2) }, 420 * MILLISECOND);
    assert_eq!(heeding.reasons(), [FlowEndReason::EndOfFlow; 2]);
    assert_eq!(heeding.table.len(), 1);
}

#[test]
fn one_stray_time_in_the_future_does_not_end_what_goes_on() {
    let mut metered = Metered::new(config());
    metered.packet(view(1), 0);
    metered.packet(view(2), 1_000_000 * SECOND);
    assert_eq!(metered.reasons(), [FlowEndReason::IdleTimeout]);
    for packet in 1..=5_000u64 {
        metered.packet(view(1), packet * MILLISECOND);
    }
    // Cut by age once; after the clock went back time-outs work again.
    metered.packet(view(3), 20 * SECOND);
    let ended = metered.out.iter().filter(|record| record.source_port == 1).count();
    assert_eq!(ended, 3, "{:?}", metered.out);
}

#[test]
fn times_at_both_ends_of_their_range_do_no_harm() {
    let hasty = MeteringConfig {
        idle_timeout: Duration::ZERO,
        active_timeout: Duration::ZERO,
        max_flows: 2,
        end_of_flow: Some(Duration::MAX),
        ..config()
    };
    let endless = MeteringConfig { idle_timeout: Duration::MAX, active_timeout: Duration::MAX, ..config() };
    for config in [hasty, endless] {
        let mut table = FlowTable::new(config, 1);
        let mut out = Vec::new();
        for timestamp in [0, u64::MAX, 1, u64::MAX - 1, START, 0, u64::MAX] {
            for port in 0..4 {
                table.packet(&view(port), &packet(timestamp), &mut out);
                table.packet(&PacketView { tcp_control_bits: 1, ..view(port) }, &packet(timestamp), &mut out);
            }
        }
        let _ = table.advance(u64::MAX, &mut out);
        while table.flush(FlowEndReason::ForcedEnd, &mut out) {}
        assert_eq!(out.iter().map(|record| record.packets).sum::<u64>(), 56);
    }
}

#[test]
fn a_batch_is_bounded_and_the_rest_follows() {
    let mut metered = Metered::new(config());
    for flow in 0..10_000u32 {
        let source = IpAddr::V4(Ipv4Addr::from_bits(flow));
        metered.packet(PacketView { source, ..view(1) }, 0);
    }
    assert!(metered.table.advance(START + 10 * SECOND, &mut metered.out));
    assert_eq!(metered.out.len(), BATCH);
    while metered.table.advance(START + 10 * SECOND, &mut metered.out) {}
    assert_eq!(metered.out.len(), 10_000);
}

/// The meter as one would first write it: one map, no expiry, cut by the next packet only.
#[derive(Default)]
struct Reference {
    open: HashMap<u16, FlowRecord>,
    ended: Vec<(u16, u64, u64, u64)>,
}

impl Reference {
    fn packet(&mut self, port: u16, time: u64) {
        let summary = |record: &FlowRecord| (port, record.packets, record.start_ns, record.end_ns);
        let record = self.open.entry(port).or_insert(FlowRecord {
            start_ns: time,
            end_ns: time,
            details: Details::default(),
            reverse: None,
            ..FlowRecord::empty(Default::default(), FlowEndReason::ForcedEnd)
        });
        if time - record.end_ns > SECOND || time - record.start_ns > 3 * SECOND {
            self.ended.push(summary(record));
            (record.packets, record.start_ns) = (0, time);
        }
        record.packets += 1;
        record.end_ns = time;
    }

    fn flows(mut self) -> Vec<(u16, u64, u64, u64)> {
        let open = self.open.iter();
        self.ended.extend(open.map(|(&port, flow)| (port, flow.packets, flow.start_ns, flow.end_ns)));
        self.ended.sort_unstable();
        self.ended
    }
}

proptest::proptest! {
    #[test]
    fn expiry_changes_when_records_come_and_not_what_is_in_them(
        packets in proptest::collection::vec((0u16..8, 0u64..1_500, proptest::bool::weighted(0.1)), 1..300),
    ) {
        let mut metered = Metered::new(config());
        let mut reference = Reference::default();
        let mut time = START;
        for (port, pause, settles) in packets {
            time += pause * MILLISECOND;
            metered.table.packet(&view(port), &packet(time), &mut metered.out);
            if settles {
                metered.table.settle(&mut metered.out);
            }
            reference.packet(port, time);
        }
        metered.flush();
        let record = |record: &FlowRecord| {
            (record.source_port, record.packets, record.start_ns, record.end_ns)
        };
        let mut flows: Vec<_> = metered.out.iter().map(record).collect();
        flows.sort_unstable();
        let counters = *metered.table.counters();
        proptest::prop_assert_eq!(counters.started, flows.len() as u64);
        let ended = FlowEndReason::ALL.map(|reason| counters.ended(reason));
        proptest::prop_assert_eq!(ended.iter().sum::<u64>(), counters.started);
        proptest::prop_assert_eq!(flows, reference.flows());
    }
}

#[test]
fn a_meter_counts_what_it_could_not_parse() {
    let mut meter = crate::metering::Meter::new(config(), 1);
    let mut out = Vec::new();
    let packet = crate::capture::Packet {
        timestamp: START,
        original_length: 60,
        octets: &[0; 60],
        interface: 0,
        link: crate::capture::LinkType::Ethernet,
        outgoing: false,
    };
    meter.packet(&packet, &mut out);
    assert_eq!(meter.unparsed(Unparsed::NotIp), 1);
    assert_eq!((meter.counters().packets, meter.active_flows()), (0, 0));
}
