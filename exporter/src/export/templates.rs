//! Flow records as IPFIX data records: which information elements, in which template.
//!
//! A template holds only what its flows have: addresses of one IP version, and ports or an ICMP
//! type and code. Every class has its own group of template ids (docs/wire.md, "Streams").

use std::net::IpAddr;

use ipfix::{FieldSpecifier, TemplateRecord};

use crate::metering::{Direction, FlowRecord};

/// Template ids of one group; group `g` has the ids from `256 + 16 * g`.
const GROUP: u16 = 16;

const ICMP: u8 = 1;
const ICMP_IPV6: u8 = 58;

/// What a data record of flowpool describes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum FlowTemplate {
    /// IPv4 with ports (zero where the protocol has none).
    Ipv4 = 1,
    /// IPv4 and ICMP.
    Ipv4Icmp = 2,
    /// IPv6 with ports (zero where the protocol has none).
    Ipv6 = 3,
    /// IPv6 and ICMPv6.
    Ipv6Icmp = 4,
}

/// Template id of the statistics record; in the group of stream 0.
pub const STATISTICS_RECORD_ID: u16 = ipfix::FIRST_TEMPLATE_ID;

/// Returns the template id of the session record in the group of `stream`.
pub const fn session_record_id(stream: u16) -> u16 {
    ipfix::FIRST_TEMPLATE_ID + GROUP * stream
}

/// Returns the template id of the class record in the group of `stream`: no group has both.
pub const fn class_record_id(stream: u16) -> u16 {
    session_record_id(stream)
}

/// Returns the options template with these fields (enterprise number, element id, length), the first `scope_fields` of
/// which are scopes.
pub fn options_template(id: u16, fields: &[(u32, u16, u16)], scope_fields: u16) -> TemplateRecord {
    let fields = fields.iter().map(|&(pen, id, length)| FieldSpecifier { pen, id, length });
    TemplateRecord { id, scope_fields, fields: fields.collect() }
}

impl FlowTemplate {
    /// All of them, in the order of their ids.
    pub const ALL: [Self; 4] = [Self::Ipv4, Self::Ipv4Icmp, Self::Ipv6, Self::Ipv6Icmp];

    /// Returns the template a flow goes with.
    pub const fn of(flow: &FlowRecord) -> Self {
        match (flow.source, flow.protocol) {
            (IpAddr::V4(_), ICMP) => Self::Ipv4Icmp,
            (IpAddr::V4(_), _) => Self::Ipv4,
            (IpAddr::V6(_), ICMP_IPV6) => Self::Ipv6Icmp,
            (IpAddr::V6(_), _) => Self::Ipv6,
        }
    }

    /// Returns its template id in the group of `stream`.
    pub const fn id(self, stream: u16) -> u16 {
        session_record_id(stream) + self as u16
    }

    /// Returns its definition in the group of `stream`.
    pub fn record(self, stream: u16) -> TemplateRecord {
        let fields = FIELDS.iter().filter(|field| field.place.holds(self));
        TemplateRecord {
            id: self.id(stream),
            scope_fields: 0,
            fields: fields
                .map(|field| FieldSpecifier { pen: 0, id: field.id, length: field.length })
                .collect(),
        }
    }
}

/// Where a field is in the encoded records of a template, in octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FieldPlace {
    /// From the record's start.
    pub offset: usize,
    /// Of the field.
    pub length: usize,
}

impl FlowTemplate {
    /// Returns its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv4Icmp => "ipv4-icmp",
            Self::Ipv6 => "ipv6",
            Self::Ipv6Icmp => "ipv6-icmp",
        }
    }

    /// Returns where records of this template have an IANA element, if they have it.
    pub fn place_of(self, element: u16) -> Option<FieldPlace> {
        let mut offset = 0;
        for field in FIELDS.iter().filter(|field| field.place.holds(self)) {
            let length = usize::from(field.length);
            if field.id == element {
                return Some(FieldPlace { offset, length });
            }
            offset += length;
        }
        None
    }
}

/// Returns the IANA elements that flow records can have, with their lengths in octets.
pub fn elements() -> impl Iterator<Item = (&'static ipfix::ie::InformationElement, u16)> {
    FIELDS.iter().filter_map(|field| Some((ipfix::ie::lookup(0, field.id)?, field.length)))
}

/// Appends one field of a flow.
type Write = fn(&FlowRecord, &mut Vec<u8>);

/// Encodes flow records; made once, so that a record costs no look-ups.
#[derive(Debug)]
pub struct FlowEncoder {
    writers: [Vec<Write>; 4],
}

impl Default for FlowEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl FlowEncoder {
    /// Returns an encoder for all templates.
    pub fn new() -> Self {
        let writers = FlowTemplate::ALL.map(|template| {
            let fields = FIELDS.iter().filter(|field| field.place.holds(template));
            fields.map(|field| field.write).collect()
        });
        Self { writers }
    }

    /// Appends the data record of `flow` and returns its template.
    pub fn encode(&self, flow: &FlowRecord, out: &mut Vec<u8>) -> FlowTemplate {
        let template = FlowTemplate::of(flow);
        for write in &self.writers[template as usize - 1] {
            write(flow, out);
        }
        template
    }
}

/// Which templates have a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Everywhere,
    Ipv4,
    Ipv6,
    Ports,
    Only(FlowTemplate),
}

impl Place {
    fn holds(self, template: FlowTemplate) -> bool {
        use FlowTemplate::{Ipv4, Ipv4Icmp, Ipv6, Ipv6Icmp};
        match self {
            Self::Everywhere => true,
            Self::Ipv4 => matches!(template, Ipv4 | Ipv4Icmp),
            Self::Ipv6 => matches!(template, Ipv6 | Ipv6Icmp),
            Self::Ports => matches!(template, Ipv4 | Ipv6),
            Self::Only(only) => template == only,
        }
    }
}

struct FlowField {
    /// IANA element.
    id: u16,
    /// Octets on the wire.
    length: u16,
    place: Place,
    write: Write,
}

const fn field(id: u16, length: u16, place: Place, write: Write) -> FlowField {
    FlowField { id, length, place, write }
}

/// One line per information element, in the order on the wire; times are absolute, so that a record
/// can be sent again later as it is.
const FIELDS: &[FlowField] = &[
    // flowStartMilliseconds, flowEndMilliseconds
    field(152, 8, Place::Everywhere, |flow, out| out.extend_from_slice(&flow.start_ms().to_be_bytes())),
    field(153, 8, Place::Everywhere, |flow, out| out.extend_from_slice(&flow.end_ms().to_be_bytes())),
    // octetDeltaCount, packetDeltaCount
    field(1, 8, Place::Everywhere, |flow, out| out.extend_from_slice(&flow.octets.to_be_bytes())),
    field(2, 8, Place::Everywhere, |flow, out| out.extend_from_slice(&flow.packets.to_be_bytes())),
    // sourceIPv4Address, destinationIPv4Address, sourceIPv6Address, destinationIPv6Address
    field(8, 4, Place::Ipv4, |flow, out| address(flow.source, out)),
    field(12, 4, Place::Ipv4, |flow, out| address(flow.destination, out)),
    field(27, 16, Place::Ipv6, |flow, out| address(flow.source, out)),
    field(28, 16, Place::Ipv6, |flow, out| address(flow.destination, out)),
    // sourceTransportPort, destinationTransportPort, tcpControlBits
    field(7, 2, Place::Ports, |flow, out| out.extend_from_slice(&flow.source_port.to_be_bytes())),
    field(11, 2, Place::Ports, |flow, out| out.extend_from_slice(&flow.destination_port.to_be_bytes())),
    field(6, 2, Place::Ports, |flow, out| out.extend_from_slice(&flow.tcp_control_bits.to_be_bytes())),
    // icmpTypeCodeIPv4, icmpTypeCodeIPv6
    field(32, 2, Place::Only(FlowTemplate::Ipv4Icmp), |flow, out| {
        out.extend_from_slice(&flow.destination_port.to_be_bytes());
    }),
    field(139, 2, Place::Only(FlowTemplate::Ipv6Icmp), |flow, out| {
        out.extend_from_slice(&flow.destination_port.to_be_bytes());
    }),
    // protocolIdentifier, ipClassOfService, minimumTTL, maximumTTL
    field(4, 1, Place::Everywhere, |flow, out| out.push(flow.protocol)),
    field(5, 1, Place::Everywhere, |flow, out| out.push(flow.class_of_service)),
    field(52, 1, Place::Everywhere, |flow, out| out.push(flow.minimum_ttl)),
    field(53, 1, Place::Everywhere, |flow, out| out.push(flow.maximum_ttl)),
    // flowEndReason, flowDirection
    field(136, 1, Place::Everywhere, |flow, out| out.push(flow.end_reason as u8)),
    field(61, 1, Place::Everywhere, |flow, out| out.push(flow.direction as u8)),
    // ingressInterface, egressInterface: zero where the flow goes the other way
    field(10, 4, Place::Everywhere, |flow, out| interface(flow, Direction::Ingress, out)),
    field(14, 4, Place::Everywhere, |flow, out| interface(flow, Direction::Egress, out)),
    // dot1qVlanId, dot1qCustomerVlanId
    field(243, 2, Place::Everywhere, |flow, out| out.extend_from_slice(&flow.vlan_id.to_be_bytes())),
    field(245, 2, Place::Everywhere, |flow, out| out.extend_from_slice(&flow.customer_vlan_id.to_be_bytes())),
];

fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
}

fn interface(flow: &FlowRecord, direction: Direction, out: &mut Vec<u8>) {
    let index = if flow.direction == direction { flow.interface } else { 0 };
    out.extend_from_slice(&index.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::FlowEndReason;
    use crate::packet::Segment;

    fn flow(source: &str, destination: &str, protocol: u8) -> FlowRecord {
        FlowRecord {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            source_port: 40_000,
            destination_port: 0x0800,
            protocol,
            class_of_service: 0xb8,
            tcp_control_bits: 0x1b,
            minimum_ttl: 60,
            maximum_ttl: 64,
            vlan_id: 10,
            customer_vlan_id: 0,
            segment: Segment::NONE,
            interface: 3,
            direction: Direction::Ingress,
            end_reason: FlowEndReason::ActiveTimeout,
            octets: 4711,
            packets: 12,
            start_ns: 1_700_000_000_123_456_789,
            end_ns: 1_700_000_001_000_000_000,
        }
    }

    #[test]
    fn every_template_is_as_long_as_its_records() {
        let encoder = FlowEncoder::new();
        for (source, destination, protocol, expected) in [
            ("192.0.2.1", "192.0.2.2", 6, FlowTemplate::Ipv4),
            ("192.0.2.1", "192.0.2.2", 1, FlowTemplate::Ipv4Icmp),
            ("2001:db8::1", "2001:db8::2", 17, FlowTemplate::Ipv6),
            ("2001:db8::1", "2001:db8::2", 58, FlowTemplate::Ipv6Icmp),
        ] {
            let mut record = Vec::new();
            let template = encoder.encode(&flow(source, destination, protocol), &mut record);
            assert_eq!(template, expected);
            let fields = template.record(1).fields;
            assert_eq!(record.len(), fields.iter().map(|field| usize::from(field.length)).sum::<usize>());
        }
    }

    #[test]
    fn a_collector_reads_back_what_was_metered() {
        let mut record = Vec::new();
        let template = FlowEncoder::new().encode(&flow("192.0.2.1", "192.0.2.2", 1), &mut record);
        let definition = template.record(2);
        assert_eq!(definition.id, 256 + 32 + 2);
        let mut at = 0;
        let mut read = std::collections::BTreeMap::new();
        for field in &definition.fields {
            let end = at + usize::from(field.length);
            let value = record[at..end].iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
            let element = ipfix::ie::lookup(0, field.id).unwrap();
            read.insert(element.name, value);
            at = end;
        }
        assert_eq!(read["flowStartMilliseconds"], 1_700_000_000_123);
        assert_eq!(read["octetDeltaCount"], 4711);
        assert_eq!(read["sourceIPv4Address"], 0xc000_0201);
        assert_eq!(read["icmpTypeCodeIPv4"], 0x0800);
        assert_eq!((read["ingressInterface"], read["egressInterface"]), (3, 0));
        assert_eq!(read["dot1qVlanId"], 10);
        assert_eq!(read["flowEndReason"], 2);
        assert!(!read.contains_key("sourceTransportPort"));
    }

    #[test]
    fn groups_of_streams_share_no_template_id() {
        let ids = |stream| FlowTemplate::ALL.map(|template| template.id(stream));
        assert!(ids(1).iter().all(|id| !ids(2).contains(id) && *id > session_record_id(1)));
    }
}
