//! Nothing is lost and nothing is invented: what is in the flow records is what was captured, less what was counted as left out, whatever the
//! input.

use exporter::capture::{LinkType, Packet, PacketSource, PcapFile};
use exporter::metering::sampling::HashedPayload;
use exporter::metering::{FlowEndReason, FlowRecord, Keys, Meter, MeteringConfig, Sampler, Selector};
use exporter::packet::{PacketView, Unparsed};
use pcap_fixtures::{ALL, fixture};
use proptest::prelude::*;
use std::sync::LazyLock;
use std::time::Duration;

/// A packet of a real capture.
#[derive(Clone)]
struct Captured {
    timestamp: u64,
    original_length: u32,
    octets: Vec<u8>,
    interface: u32,
    link: LinkType,
}

impl Captured {
    fn packet(&self) -> Packet<'_> {
        let &Self { timestamp, original_length, ref octets, interface, link } = self;
        Packet { timestamp, original_length, octets, interface, link, outgoing: false }
    }
}

/// Up to a hundred packets of every capture.
static PACKETS: LazyLock<Vec<Captured>> = LazyLock::new(|| {
    let mut packets = Vec::new();
    for name in ALL {
        let mut file = PcapFile::open(&fixture(name)).unwrap();
        for _ in 0..100 {
            let Some(packet) = file.next_packet().unwrap() else { break };
            let Packet { timestamp, original_length, octets, interface, link, .. } = packet;
            packets.push(Captured { timestamp, original_length, octets: octets.to_vec(), interface, link });
        }
    }
    packets
});

/// What is done to a packet.
#[derive(Clone, Debug)]
enum Mutation {
    None,
    /// An octet of its headers becomes another.
    Set(usize, u8),
    /// It is cut off.
    Cut(prop::sample::Index),
    /// It comes at another time.
    Time(u64),
    /// The wire says another length.
    Length(u32),
}

impl Mutation {
    fn apply(&self, packet: &mut Captured) {
        match *self {
            Self::Set(at, octet) => packet.octets.iter_mut().skip(at).take(1).for_each(|old| *old = octet),
            Self::None => {}
            Self::Cut(at) => packet.octets.truncate(at.index(packet.octets.len() + 1)),
            Self::Time(timestamp) => packet.timestamp = timestamp,
            Self::Length(length) => packet.original_length = length,
        }
    }
}

fn mutations() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => Just(Mutation::None),
        6 => (0..80_usize, any::<u8>()).prop_map(|(at, octet)| Mutation::Set(at, octet)),
        1 => any::<prop::sample::Index>().prop_map(Mutation::Cut),
        1 => any::<u64>().prop_map(Mutation::Time),
        1 => any::<u32>().prop_map(Mutation::Length),
    ]
}

fn selectors() -> impl Strategy<Value = Option<Selector>> {
    prop_oneof![
        Just(None),
        Just(Some(Selector::Systematic { interval: 1, space: 2 })),
        Just(Some(Selector::Random { size: 2, population: 5 })),
        Just(Some(Selector::Uniform { probability: 0.5 })),
        Just(Some(Selector::Hash { probability: 0.5, initialiser: 7, payload: HashedPayload::default() })),
    ]
}

prop_compose! {
    fn configs()(
        idle in 0_u64..3_000,
        active in 0_u64..5_000,
        max_flows in 1_usize..40,
        linger in prop::option::of(0_u64..1_000),
        [ports, vlan, biflows, details] in any::<[bool; 4]>(),
        sampling in selectors(),
    ) -> MeteringConfig {
        MeteringConfig {
            idle_timeout: Duration::from_millis(idle),
            active_timeout: Duration::from_millis(active),
            max_flows,
            end_of_flow: linger.map(Duration::from_millis),
            keys: Keys { ports, vlan, ..Keys::default() },
            biflows,
            details,
            sampling,
            ..MeteringConfig::default()
        }
    }
}

/// What the records say in all: flows, packets and octets of both directions.
fn sums(records: &[FlowRecord]) -> (u64, u64, u64) {
    let both =
        |record: &FlowRecord| record.reverse.map_or((0, 0), |reverse| (reverse.packets, reverse.octets));
    let packets = records.iter().map(|record| record.packets + both(record).0).sum();
    let octets = records.iter().map(|record| record.octets + both(record).1).sum();
    (records.len() as u64, packets, octets)
}

#[test]
fn scaled_by_the_selectors_ratio_the_records_are_what_was_captured() {
    // Of so many packets both select one in five, exactly.
    let all: Vec<&Captured> = PACKETS.iter().take(PACKETS.len() / 100 * 100).collect();
    for selector in
        [Selector::Systematic { interval: 2, space: 8 }, Selector::Random { size: 20, population: 100 }]
    {
        let config = MeteringConfig { sampling: Some(selector), ..MeteringConfig::default() };
        let (mut meter, mut records) = (Meter::new(config, 3), Vec::new());
        all.iter().for_each(|captured| meter.packet(&captured.packet(), &mut records));
        while meter.flush(FlowEndReason::ForcedEnd, &mut records) {}
        let (_, packets, _) = sums(&records);
        let left_out: u64 = Unparsed::ALL.iter().map(|reason| meter.unparsed(*reason)).sum();
        assert_eq!((packets + left_out) * 5, all.len() as u64, "{selector:?}");
        assert_eq!(meter.not_selected() * 5, all.len() as u64 * 4, "{selector:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn the_sums_over_flows_are_what_was_captured_less_what_was_counted_as_left_out(
        config in configs(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), mutations()), 0..400),
        seed in any::<u64>(),
    ) {
        let (mut meter, mut records) = (Meter::new(config, seed), Vec::new());
        let (mut parsed, mut octets) = (0_u64, 0_u64);
        for (at, mutation) in &changes {
            let mut captured = PACKETS[at.index(PACKETS.len())].clone();
            mutation.apply(&mut captured);
            let packet = captured.packet();
            let selected = meter.sampler().map_or(0, Sampler::selected);
            meter.packet(&packet, &mut records);
            let is_selected = meter.sampler().is_none_or(|sampler| sampler.selected() > selected);
            if let Ok(view) = PacketView::parse(&packet) && is_selected {
                parsed += 1;
                octets += u64::from(view.octets);
            }
            prop_assert!(meter.active_flows() <= config.max_flows);
        }
        while meter.flush(FlowEndReason::ForcedEnd, &mut records) {}
        let left_out: u64 = Unparsed::ALL.iter().map(|reason| meter.unparsed(*reason)).sum();
        let captured = changes.len() as u64;
        let not_selected = meter.sampler().map_or(0, |sampler| sampler.observed() - sampler.selected());
        prop_assert!(meter.sampler().is_none_or(|sampler| sampler.observed() == captured));
        let (flows, metered, metered_octets) = sums(&records);
        prop_assert_eq!(captured, metered + left_out + not_selected);
        prop_assert_eq!((metered, metered_octets), (parsed, octets));
        let counters = meter.counters();
        let ended: u64 = FlowEndReason::ALL.iter().map(|reason| counters.ended(*reason)).sum();
        prop_assert_eq!((counters.packets, counters.octets), (metered, metered_octets));
        prop_assert_eq!((counters.started, ended, meter.active_flows()), (flows, flows, 0));
    }
}
