//! The crate netflow_parser as an oracle, where it is right: one domain, template ids from 256,
//! at most 1,024 records in a set, no withdrawals, no empty strings.

use ipfix::{Record, Value, Visitor};
use netflow_parser::variable_versions::ipfix::FlowSetBody;
use netflow_parser::{FieldValue, NetflowPacket, NetflowParser};

use crate::softflowd::captured;
use crate::support::{collecting, message, set, template_set};

/// One field of either decoder: what both can tell.
#[derive(Debug, PartialEq)]
enum Common {
    Number(u64),
    Address(std::net::IpAddr),
    Octets(Vec<u8>),
}

#[derive(Default)]
struct Ours(Vec<Vec<Common>>);

impl Visitor for Ours {
    fn record(&mut self, record: &Record<'_>) {
        let common = |value: Value<'_>, octets: &[u8]| match value {
            Value::Unsigned(number) | Value::Milliseconds(number) => Common::Number(number),
            Value::Seconds(number) => Common::Number(number.into()),
            Value::Ipv4(address) => Common::Address(address.into()),
            Value::Ipv6(address) => Common::Address(address.into()),
            _ => Common::Octets(octets.to_vec()),
        };
        if !record.template.is_options() {
            self.0.push(record.fields().map(|field| common(field.value(), field.octets())).collect());
        }
    }
}

fn theirs(parser: &mut NetflowParser, message: &[u8]) -> Vec<Vec<Common>> {
    let parsed = parser.parse_bytes(message);
    assert!(parsed.error.is_none(), "{:?}", parsed.error);
    let [NetflowPacket::IPFix(packet)] = &parsed.packets[..] else { panic!("{:?}", parsed.packets) };
    let bodies = packet.flowsets.iter().filter_map(|set| match &set.body {
        FlowSetBody::Data(data) => Some(data),
        _ => None,
    });
    let common = |value: &FieldValue| match value {
        FieldValue::Ip4Addr(address) => Common::Address((*address).into()),
        FieldValue::Ip6Addr(address) => Common::Address((*address).into()),
        value => value.as_u64().map_or_else(
            || {
                let mut octets = Vec::new();
                value.write_be_bytes(&mut octets).unwrap();
                Common::Octets(octets)
            },
            Common::Number,
        ),
    };
    bodies
        .flat_map(|data| &data.fields)
        .map(|record| record.iter().map(|(_, value)| common(value)).collect())
        .collect()
}

/// Compares field by field. What they read as an enumeration or as flags, we read as the number in its octets.
#[track_caller]
fn agree(messages: &[Vec<u8>]) -> usize {
    let mut parser = NetflowParser::default();
    let mut session = collecting();
    let mut compared = 0;
    for message in messages {
        let mut ours = Ours::default();
        session.decode(0, message, &mut ours).unwrap();
        let theirs = theirs(&mut parser, message);
        assert_eq!(ours.0.len(), theirs.len());
        for (ours, theirs) in ours.0.iter().zip(&theirs) {
            assert_eq!(ours.len(), theirs.len());
            for pair in ours.iter().zip(theirs) {
                compared += 1;
                match pair {
                    (Common::Number(number), Common::Octets(octets)) if octets.len() <= 8 => {
                        let theirs = octets.iter().fold(0, |value, octet| value << 8 | u64::from(*octet));
                        assert_eq!(*number, theirs);
                    }
                    (ours, theirs) => assert_eq!(ours, theirs),
                }
            }
        }
    }
    compared
}

#[test]
fn both_read_the_messages_of_softflowd_alike() {
    assert!(agree(&captured("softflowd-uni.hex")) > 300);
    assert!(agree(&captured("softflowd-bi.hex")) > 500);
}

#[test]
fn both_read_generated_messages_alike() {
    let fields = [(8, 4), (27, 16), (1, 8), (2, 4), (10, 4), (7, 2), (152, 8), (56, 6), (58, 2), (82, 65535)];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut octet = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        random.to_be_bytes()[0]
    };
    let messages: Vec<Vec<u8>> = (0..50_u32)
        .map(|number| {
            let mut data = Vec::new();
            for _ in 0..20 {
                data.extend((0..54).map(|_| octet()));
                data.extend([3, b'a', b'b', octet() & 0x7f | 0x40]);
            }
            message(1, number * 20, &[template_set(256, &fields), set(256, &data)])
        })
        .collect();
    assert_eq!(agree(&messages), 50 * 20 * 10);
}
