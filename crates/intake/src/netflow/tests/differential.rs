//! Beside netflow_parser with its own templates and records: what both read alike.

use netflow_parser::FieldValue;
use netflow_parser::variable_versions::v9::FlowSetBody;

use super::*;

const DATAGRAMS: u32 = 100_000;

/// Types whose values the crate gives back as they came, with their octets; beside them times by uptime. Of a record with a
/// type it does not know it gives back nothing, without its feature for that.
const KINDS: [(u16, u16); 14] = [
    (1, 4),
    (2, 8),
    (7, 2),
    (8, 4),
    (10, 4),
    (11, 2),
    (14, 2),
    (15, 4),
    (16, 4),
    (27, 16),
    (56, 6),
    (5, 1),
    (21, 4),
    (22, 4),
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 32).unwrap()
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// The fields' octets of each record.
#[derive(Default)]
struct Ours(Vec<Vec<Vec<u8>>>);

impl Visitor for Ours {
    fn record(&mut self, record: &Record<'_>) {
        self.0.push(record.fields().map(|field| field.octets().to_vec()).collect());
    }
}

/// Returns our records of a datagram.
fn ours(world: &mut World, datagram: &[u8]) -> Vec<Vec<Vec<u8>>> {
    world.read(datagram).unwrap();
    let mut ours = Ours::default();
    for message in world.reader.messages() {
        world.session.decode(0, message, &mut ours).unwrap();
    }
    ours.0
}

fn octets(value: &FieldValue) -> Vec<u8> {
    let mut octets = Vec::new();
    value.write_be_bytes(&mut octets).unwrap();
    octets
}

#[test]
fn generated_datagrams_of_version_9_are_read_as_netflow_parser_reads_them() {
    let (mut world, mut random, mut records) = (World::new(), Random(42), 0);
    let mut parser = NetflowParser::default();
    let mut fields: Vec<Vec<(u16, u16)>> = vec![Vec::new(); 8];
    for sequence in 0..DATAGRAMS {
        let at = random.below(fields.len());
        let id = 256 + u16::try_from(at).unwrap();
        let mut sets = Vec::new();
        if fields[at].is_empty() || random.below(16) == 0 {
            fields[at] = (0..1 + random.below(8)).map(|_| KINDS[random.below(KINDS.len())]).collect();
            sets.push(template(id, &fields[at]));
        }
        let length: usize = fields[at].iter().map(|(_, length)| usize::from(*length)).sum();
        let count = 1 + random.below(4);
        // Padding is shorter than a record.
        let padding = random.below(length.min(4));
        let data = [random.octets(length * count), vec![0; padding]].concat();
        sets.push(set(id, &data));
        let datagram = v9_from(1, sequence, &sets);
        let ours = ours(&mut world, &datagram);
        let parsed = parser.parse_bytes(&datagram);
        let [NetflowPacket::V9(packet)] = &parsed.packets[..] else { panic!("{:?}", parsed.error) };
        let Some(FlowSetBody::Data(theirs)) = packet.flowsets.last().map(|set| &set.body) else {
            panic!("{packet:?}")
        };
        assert_eq!((ours.len(), theirs.fields.len()), (count, count));
        records += count;
        let clock = clock::Clock::new(SECONDS, 0, UPTIME);
        for (ours, theirs) in ours.iter().zip(&theirs.fields) {
            for ((ours, (_, theirs)), (kind, _)) in ours.iter().zip(theirs).zip(&fields[at]) {
                let theirs = octets(theirs);
                match (kind, <[u8; 4]>::try_from(theirs.clone())) {
                    // A field beyond the number of times that are made absolute stays as it is.
                    (21 | 22, Ok(uptime)) if ours.len() == 8 => {
                        assert_eq!(ours[..], clock.absolute(u32::from_be_bytes(uptime)).to_be_bytes());
                    }
                    _ => assert_eq!(*ours, theirs, "{kind}"),
                }
            }
        }
    }
    assert!(records > 200_000, "{records}");
}

#[test]
fn generated_datagrams_of_version_5_are_read_as_netflow_parser_reads_them() {
    let (mut world, mut random) = (World::new(), Random(7));
    let mut parser = NetflowParser::default();
    for sequence in 0..DATAGRAMS / 20 {
        let count = u16::try_from(1 + random.below(30)).unwrap();
        let mut datagram = v5(count, sequence, 0);
        let flows = random.octets(datagram.len() - 24);
        datagram[24..].copy_from_slice(&flows);
        let ours = ours(&mut world, &datagram);
        let parsed = parser.parse_bytes(&datagram);
        let [NetflowPacket::V5(packet)] = &parsed.packets[..] else { panic!("{:?}", parsed.error) };
        let clock = clock::Clock::new(SECONDS, 250_000_000, UPTIME);
        assert_eq!(ours.len(), packet.flowsets.len());
        for (ours, theirs) in ours.iter().zip(&packet.flowsets) {
            assert_eq!(ours[0], theirs.src_addr.octets());
            assert_eq!(
                ours[5..7],
                [theirs.d_pkts, theirs.d_octets].map(|count| count.to_be_bytes().to_vec())
            );
            let times = [theirs.first, theirs.last].map(|at| clock.absolute(at).to_be_bytes().to_vec());
            assert_eq!(ours[7..9], times);
            assert_eq!(ours[10], theirs.dst_port.to_be_bytes());
            assert_eq!(ours[12], [theirs.protocol_number]);
            assert_eq!(ours[17], [theirs.dst_mask]);
        }
    }
}
