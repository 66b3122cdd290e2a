//! What the crate netflow_parser reads in captures, with its own templates and records.

use netflow_parser::static_versions::v5::V5;
use netflow_parser::variable_versions::ipfix::FlowSetBody as IpfixBody;
use netflow_parser::variable_versions::ipfix::lookup::IPFixField;
use netflow_parser::variable_versions::v9::FlowSetBody as V9Body;
use netflow_parser::{AutoScopedParser, FieldValue, NetflowPacket};

use crate::captures::Datagram;
use crate::captures::fields::{END, FIELDS, Fields, START, TIMES};

/// Enterprise of reverse elements (RFC 5103).
const REVERSE: u32 = 29305;

/// Returns the common fields of all records.
pub(crate) fn fields(datagrams: &[Datagram]) -> Fields {
    let (mut parser, mut fields) = (AutoScopedParser::new(), Fields::default());
    for datagram in datagrams {
        for packet in parser.parse_from_source(datagram.source, &datagram.octets).packets {
            match packet {
                NetflowPacket::V5(packet) => of_v5(&mut fields, &packet),
                NetflowPacket::V9(packet) => {
                    let clock = Clock::new(packet.header.unix_secs, 0, packet.header.sys_up_time);
                    packet.flowsets.iter().for_each(|set| of_v9(&mut fields, &set.body, clock));
                }
                NetflowPacket::IPFix(packet) => {
                    packet.flowsets.iter().for_each(|set| of_ipfix(&mut fields, &set.body));
                }
                _ => panic!("no sample has such a version"),
            }
        }
    }
    fields
}

/// What a header says of the time: microseconds since the Unix epoch, and milliseconds of uptime.
#[derive(Clone, Copy)]
struct Clock(u64, u32);

impl Clock {
    fn new(seconds: u32, nanoseconds: u32, uptime: u32) -> Self {
        Self(u64::from(seconds) * 1_000_000 + u64::from(nanoseconds) / 1_000_000 * 1_000, uptime)
    }

    fn absolute(self, uptime: u32) -> String {
        let age = i64::from(self.1.wrapping_sub(uptime).cast_signed()) * 1_000;
        self.0.saturating_add_signed(-age).to_string()
    }
}

fn of_v5(fields: &mut Fields, packet: &V5) {
    let header = &packet.header;
    let clock = Clock::new(header.unix_secs, header.unix_nsecs, header.sys_up_time);
    for flow in &packet.flowsets {
        fields.add_octets(8, &flow.src_addr.octets());
        fields.add_octets(12, &flow.dst_addr.octets());
        fields.add_octets(7, &flow.src_port.to_be_bytes());
        fields.add_octets(11, &flow.dst_port.to_be_bytes());
        fields.add_octets(4, &[flow.protocol_number]);
        fields.add_octets(1, &flow.d_octets.to_be_bytes());
        fields.add_octets(2, &flow.d_pkts.to_be_bytes());
        fields.add(START, clock.absolute(flow.first));
        fields.add(END, clock.absolute(flow.last));
    }
}

fn of_v9(fields: &mut Fields, body: &V9Body, clock: Clock) {
    let records: Vec<_> = match body {
        V9Body::Data(data) => data.fields.iter().collect(),
        V9Body::OptionsData(data) => data.fields.iter().map(|record| &record.options_fields).collect(),
        _ => return,
    };
    for (field, value) in records.into_iter().flatten() {
        let octets = octets(value);
        match (u16::from(*field), <[u8; 4]>::try_from(octets.clone())) {
            (22, Ok(uptime)) => fields.add(START, clock.absolute(u32::from_be_bytes(uptime))),
            (21, Ok(uptime)) => fields.add(END, clock.absolute(u32::from_be_bytes(uptime))),
            (number, _) => fields.add_octets(number, &octets),
        }
    }
}

fn of_ipfix(fields: &mut Fields, body: &IpfixBody) {
    let records = match body {
        IpfixBody::Data(data) => &data.fields,
        IpfixBody::OptionsData(data) => &data.fields,
        _ => return,
    };
    let numbers = || FIELDS.iter().map(|field| field.1).chain(TIMES.iter().map(|time| time.1));
    let known: Vec<_> =
        numbers().flat_map(|id| [None, Some(REVERSE)].map(|pen| (IPFixField::new(id, pen), id))).collect();
    for (field, value) in records.iter().flatten() {
        if let Some((_, number)) = known.iter().find(|(known, _)| known == field) {
            fields.add_octets(*number, &octets(value));
        }
    }
}

fn octets(value: &FieldValue) -> Vec<u8> {
    let mut octets = Vec::new();
    value.write_be_bytes(&mut octets).unwrap();
    octets
}
