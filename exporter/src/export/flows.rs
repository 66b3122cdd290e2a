//! Flow records as IPFIX data records: which information elements, in which template.
//!
//! A template holds only what its flows have: addresses of one IP version, and ports or an ICMP
//! type and code.

use std::net::IpAddr;

use ipfix::FieldSpecifier;

use super::templates::{TemplateIndex, Templates};
use crate::metering::{Direction, FlowRecord};

const ICMP: u8 = 1;
const ICMP_IPV6: u8 = 58;

/// What a flow has beside what every flow has; each kind has its template.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum FlowKind {
    /// IPv4 with ports (zero where the protocol has none).
    Ipv4,
    /// IPv4 and ICMP.
    Ipv4Icmp,
    /// IPv6 with ports (zero where the protocol has none).
    Ipv6,
    /// IPv6 and ICMPv6.
    Ipv6Icmp,
}

impl FlowKind {
    /// All of them, in the order of their templates.
    pub const ALL: [Self; 4] = [Self::Ipv4, Self::Ipv4Icmp, Self::Ipv6, Self::Ipv6Icmp];

    /// Returns the kind of a flow.
    pub const fn of(flow: &FlowRecord) -> Self {
        match (flow.source, flow.protocol) {
            (IpAddr::V4(_), ICMP) => Self::Ipv4Icmp,
            (IpAddr::V4(_), _) => Self::Ipv4,
            (IpAddr::V6(_), ICMP_IPV6) => Self::Ipv6Icmp,
            (IpAddr::V6(_), _) => Self::Ipv6,
        }
    }

    /// Returns its name, which is that of its template in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv4Icmp => "ipv4-icmp",
            Self::Ipv6 => "ipv6",
            Self::Ipv6Icmp => "ipv6-icmp",
        }
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
    templates: Templates,
    /// By kind.
    writers: [(TemplateIndex, Vec<Write>); FlowKind::ALL.len()],
}

impl Default for FlowEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl FlowEncoder {
    /// Returns an encoder for all kinds of flows.
    pub fn new() -> Self {
        let mut templates = Templates::default();
        let writers = FlowKind::ALL.map(|kind| {
            let fields = || FIELDS.iter().filter(|field| field.place.holds(kind));
            let specifiers =
                fields().map(|field| FieldSpecifier { pen: 0, id: field.id, length: field.length });
            let index = templates.add(Some(kind.name()), specifiers.collect());
            (index.expect("there is room for some"), fields().map(|field| field.write).collect())
        });
        Self { templates, writers }
    }

    /// Returns the templates of its records.
    pub const fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Appends the data record of `flow` and returns its template.
    pub fn encode(&self, flow: &FlowRecord, out: &mut Vec<u8>) -> TemplateIndex {
        let (template, writers) = &self.writers[FlowKind::of(flow) as usize];
        for write in writers {
            write(flow, out);
        }
        *template
    }
}

/// Which kinds of flows have a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Everywhere,
    Ipv4,
    Ipv6,
    Ports,
    Only(FlowKind),
}

impl Place {
    fn holds(self, kind: FlowKind) -> bool {
        use FlowKind::{Ipv4, Ipv4Icmp, Ipv6, Ipv6Icmp};
        match self {
            Self::Everywhere => true,
            Self::Ipv4 => matches!(kind, Ipv4 | Ipv4Icmp),
            Self::Ipv6 => matches!(kind, Ipv6 | Ipv6Icmp),
            Self::Ports => matches!(kind, Ipv4 | Ipv6),
            Self::Only(only) => kind == only,
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
    field(32, 2, Place::Only(FlowKind::Ipv4Icmp), |flow, out| {
        out.extend_from_slice(&flow.destination_port.to_be_bytes());
    }),
    field(139, 2, Place::Only(FlowKind::Ipv6Icmp), |flow, out| {
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
            ("192.0.2.1", "192.0.2.2", 6, FlowKind::Ipv4),
            ("192.0.2.1", "192.0.2.2", 1, FlowKind::Ipv4Icmp),
            ("2001:db8::1", "2001:db8::2", 17, FlowKind::Ipv6),
            ("2001:db8::1", "2001:db8::2", 58, FlowKind::Ipv6Icmp),
        ] {
            let mut record = Vec::new();
            let template = encoder.encode(&flow(source, destination, protocol), &mut record);
            assert_eq!(encoder.templates().find(expected.name()), Some(template));
            let fields = encoder.templates().get(template).fields();
            assert_eq!(record.len(), fields.iter().map(|field| usize::from(field.length)).sum::<usize>());
        }
    }

    #[test]
    fn a_collector_reads_back_what_was_metered() {
        let mut record = Vec::new();
        let encoder = FlowEncoder::new();
        let template = encoder.encode(&flow("192.0.2.1", "192.0.2.2", 1), &mut record);
        let mut at = 0;
        let mut read = std::collections::BTreeMap::new();
        for field in encoder.templates().get(template).fields() {
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
}
