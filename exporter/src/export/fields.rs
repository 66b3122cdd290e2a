//! The information elements of flow records, and which of them are asked for.

use std::net::IpAddr;

use ipfix::FieldSpecifier;
use ipfix::ie::{self, InformationElement, REVERSE_PEN};

use super::flows::FlowKind;
use crate::metering::{Direction, FlowRecord, Keys, Reverse};

/// Sets of fields that belong together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Preset {
    /// Keys, counts, times, TCP's control bits, class of service, TTLs, why it ended.
    #[default]
    Basic,
    /// These, and lengths of packets, MAC addresses, the network in a tunnel, the top MPLS label.
    Full,
    /// Those of `Basic`, for both directions in one record (RFC 5103).
    Biflow,
}

/// How times are told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TimeUnit {
    /// flowStartMilliseconds and the like.
    #[default]
    Milliseconds,
    /// flowStartNanoseconds and the like.
    Nanoseconds,
}

/// The `selectorId` of this exporter's only selector.
pub const SELECTOR_ID: u64 = 1;

/// Which fields flow records have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FieldSelection {
    /// The set to begin with.
    pub preset: Preset,
    /// IANA elements beside it, each one of [`addable`].
    pub added: Vec<u16>,
    /// How times are told.
    pub times: TimeUnit,
    /// What tells flows apart; fields of the rest are left out.
    pub keys: Keys,
    /// Whether packets are sampled, so that records name the selector that tells how.
    pub sampled: bool,
}

impl FieldSelection {
    /// Tells whether both directions are one record.
    pub fn biflows(&self) -> bool {
        self.preset == Preset::Biflow
    }

    /// Tells whether fields are asked for that the metering process does not keep otherwise
    /// ([`MeteringConfig::details`](crate::metering::MeteringConfig::details)).
    pub fn details(&self) -> bool {
        FIELDS.iter().any(|field| field.needs_details && self.has(field))
    }

    /// Returns the fields of a kind of flow, in order; `reverse`: of one with packets both ways.
    pub(super) fn fields(&self, kind: FlowKind, reverse: bool) -> impl Iterator<Item = &'static FlowField> {
        FIELDS.iter().filter(move |field| {
            let direction = reverse || field.part != Part::Reverse;
            direction && self.has(field) && field.place.holds(kind)
        })
    }

    /// Tells whether a field is asked for.
    fn has(&self, field: &FlowField) -> bool {
        let is_key = match field.key {
            Key::None => true,
            Key::Ports => self.keys.ports,
            Key::Vlan => self.keys.vlan,
            Key::Segment => self.keys.segment,
            Key::Interface => self.keys.interface,
        };
        let is_chosen = match field.part {
            Part::Basic => true,
            Part::Full => self.preset == Preset::Full,
            Part::Reverse => self.preset == Preset::Biflow,
            Part::Selector => self.sampled,
            Part::Added | Part::Responder => false,
        };
        let is_added = field.part.is_addable() && field.pen == 0 && self.added.contains(&field.id);
        is_key && (is_chosen || is_added) && field.times.is_none_or(|times| times == self.times)
    }
}

/// Returns the IANA elements that flow records can have, with their lengths in octets.
pub fn elements() -> impl Iterator<Item = (&'static InformationElement, u16)> {
    let fields = FIELDS.iter().filter(|field| field.pen == 0);
    fields.filter_map(|field| Some((ie::lookup(0, field.id)?, field.length)))
}

/// Returns the IANA elements that [`FieldSelection::added`] can name.
pub fn addable() -> impl Iterator<Item = &'static InformationElement> {
    let fields = FIELDS.iter().filter(|field| field.part.is_addable() && field.pen == 0);
    fields.filter_map(|field| ie::lookup(0, field.id))
}

/// Tells whether an addable element needs biflows.
pub fn needs_biflows(element: u16) -> bool {
    FIELDS.iter().any(|field| field.part == Part::Responder && field.id == element)
}

/// Appends one field of a flow.
pub(super) type Write = fn(&FlowRecord, &mut Vec<u8>);

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

/// By what a field comes into records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    /// Every preset has it.
    Basic,
    /// The preset `full` has it.
    Full,
    /// The preset `biflow` has it, in flows with packets both ways.
    Reverse,
    /// It is there where packets are sampled.
    Selector,
    /// Only where it is added.
    Added,
    /// The same; both directions have to be one flow.
    Responder,
}

impl Part {
    const fn is_addable(self) -> bool {
        match self {
            Self::Full | Self::Added | Self::Responder => true,
            Self::Basic | Self::Reverse | Self::Selector => false,
        }
    }
}

/// Which key a field shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Key {
    None,
    Ports,
    Vlan,
    Segment,
    Interface,
}

/// One field of flow records.
pub(super) struct FlowField {
    /// 0: IANA.
    pen: u32,
    id: u16,
    /// Octets on the wire.
    length: u16,
    place: Place,
    part: Part,
    key: Key,
    times: Option<TimeUnit>,
    needs_details: bool,
    pub(super) write: Write,
}

impl FlowField {
    pub(super) const fn specifier(&self) -> FieldSpecifier {
        FieldSpecifier { pen: self.pen, id: self.id, length: self.length }
    }

    const fn key(self, key: Key) -> Self {
        Self { key, ..self }
    }

    const fn times(self, times: TimeUnit) -> Self {
        Self { times: Some(times), ..self }
    }

    const fn part(self, part: Part) -> Self {
        Self { part, ..self }
    }

    const fn detail(self, part: Part) -> Self {
        Self { part, needs_details: true, ..self }
    }
}

const fn field(id: u16, length: u16, place: Place, write: Write) -> FlowField {
    let (pen, part, key, times, needs_details) = (0, Part::Basic, Key::None, None, false);
    FlowField { pen, id, length, place, part, key, times, needs_details, write }
}

const fn reverse(id: u16, length: u16, place: Place, write: Write) -> FlowField {
    FlowField { pen: REVERSE_PEN, part: Part::Reverse, ..field(id, length, place, write) }
}

use Place::{Everywhere, Ports};

/// One line per information element, in the order on the wire; times are absolute, so that a record
/// can be sent again later as it is.
const FIELDS: &[FlowField] = &[
    // flowStartMilliseconds, flowEndMilliseconds, flowStartNanoseconds, flowEndNanoseconds
    field(152, 8, Everywhere, |flow, out| milliseconds(flow.start_ns, out)).times(TimeUnit::Milliseconds),
    field(153, 8, Everywhere, |flow, out| milliseconds(flow.end_ns, out)).times(TimeUnit::Milliseconds),
    field(156, 8, Everywhere, |flow, out| timestamp(flow.start_ns, out)).times(TimeUnit::Nanoseconds),
    field(157, 8, Everywhere, |flow, out| timestamp(flow.end_ns, out)).times(TimeUnit::Nanoseconds),
    // octetDeltaCount, packetDeltaCount
    field(1, 8, Everywhere, |flow, out| out.extend_from_slice(&flow.octets.to_be_bytes())),
    field(2, 8, Everywhere, |flow, out| out.extend_from_slice(&flow.packets.to_be_bytes())),
    // sourceIPv4Address, destinationIPv4Address, sourceIPv6Address, destinationIPv6Address
    field(8, 4, Place::Ipv4, |flow, out| address(flow.source, out)),
    field(12, 4, Place::Ipv4, |flow, out| address(flow.destination, out)),
    field(27, 16, Place::Ipv6, |flow, out| address(flow.source, out)),
    field(28, 16, Place::Ipv6, |flow, out| address(flow.destination, out)),
    // sourceTransportPort, destinationTransportPort, tcpControlBits
    field(7, 2, Ports, |flow, out| out.extend_from_slice(&flow.source_port.to_be_bytes())).key(Key::Ports),
    field(11, 2, Ports, |flow, out| out.extend_from_slice(&flow.destination_port.to_be_bytes()))
        .key(Key::Ports),
    field(6, 2, Ports, |flow, out| out.extend_from_slice(&flow.tcp_control_bits.to_be_bytes())),
    // icmpTypeCodeIPv4, icmpTypeCodeIPv6
    field(32, 2, Place::Only(FlowKind::Ipv4Icmp), |flow, out| {
        out.extend_from_slice(&flow.destination_port.to_be_bytes());
    })
    .key(Key::Ports),
    field(139, 2, Place::Only(FlowKind::Ipv6Icmp), |flow, out| {
        out.extend_from_slice(&flow.destination_port.to_be_bytes());
    })
    .key(Key::Ports),
    // protocolIdentifier, ipClassOfService, minimumTTL, maximumTTL
    field(4, 1, Everywhere, |flow, out| out.push(flow.protocol)),
    field(5, 1, Everywhere, |flow, out| out.push(flow.class_of_service)),
    field(52, 1, Everywhere, |flow, out| out.push(flow.minimum_ttl)),
    field(53, 1, Everywhere, |flow, out| out.push(flow.maximum_ttl)),
    // flowEndReason, flowDirection
    field(136, 1, Everywhere, |flow, out| out.push(flow.end_reason as u8)),
    field(61, 1, Everywhere, |flow, out| out.push(flow.direction as u8)),
    // ingressInterface, egressInterface: zero where the flow goes the other way
    field(10, 4, Everywhere, |flow, out| interface(flow, Direction::Ingress, out)).key(Key::Interface),
    field(14, 4, Everywhere, |flow, out| interface(flow, Direction::Egress, out)).key(Key::Interface),
    // dot1qVlanId, dot1qCustomerVlanId
    field(243, 2, Everywhere, |flow, out| out.extend_from_slice(&flow.vlan_id.to_be_bytes())).key(Key::Vlan),
    field(245, 2, Everywhere, |flow, out| out.extend_from_slice(&flow.customer_vlan_id.to_be_bytes()))
        .key(Key::Vlan),
    // minimumIpTotalLength, maximumIpTotalLength (reduced: RFC 7011 section 6.2)
    field(25, 4, Everywhere, |flow, out| out.extend_from_slice(&flow.details.minimum_length.to_be_bytes()))
        .detail(Part::Full),
    field(26, 4, Everywhere, |flow, out| out.extend_from_slice(&flow.details.maximum_length.to_be_bytes()))
        .detail(Part::Full),
    // sourceMacAddress, destinationMacAddress
    field(56, 6, Everywhere, |flow, out| out.extend_from_slice(&flow.details.source_mac)).detail(Part::Full),
    field(80, 6, Everywhere, |flow, out| out.extend_from_slice(&flow.details.destination_mac))
        .detail(Part::Full),
    // layer2SegmentId, mplsTopLabelStackSection
    field(351, 8, Everywhere, |flow, out| {
        out.extend_from_slice(&flow.segment.layer2_segment_id().to_be_bytes());
    })
    .key(Key::Segment)
    .part(Part::Full),
    field(70, 3, Everywhere, |flow, out| {
        out.extend_from_slice(&flow.details.mpls_top_label.to_be_bytes()[1..]);
    })
    .detail(Part::Full),
    // flowId
    field(148, 8, Everywhere, |flow, out| out.extend_from_slice(&flow.details.flow_id.to_be_bytes()))
        .detail(Part::Added),
    // initiatorOctets, responderOctets, initiatorPackets, responderPackets
    field(231, 8, Everywhere, |flow, out| out.extend_from_slice(&flow.octets.to_be_bytes()))
        .part(Part::Responder),
    field(232, 8, Everywhere, |flow, out| out.extend_from_slice(&other(flow).octets.to_be_bytes()))
        .part(Part::Responder),
    field(298, 8, Everywhere, |flow, out| out.extend_from_slice(&flow.packets.to_be_bytes()))
        .part(Part::Responder),
    field(299, 8, Everywhere, |flow, out| out.extend_from_slice(&other(flow).packets.to_be_bytes()))
        .part(Part::Responder),
    // selectorId
    field(302, 8, Everywhere, |_, out| out.extend_from_slice(&SELECTOR_ID.to_be_bytes()))
        .part(Part::Selector),
    // The reverse of times, counts, control bits, class of service and TTLs; biflowDirection
    reverse(152, 8, Everywhere, |flow, out| milliseconds(other(flow).start_ns, out))
        .times(TimeUnit::Milliseconds),
    reverse(153, 8, Everywhere, |flow, out| milliseconds(other(flow).end_ns, out))
        .times(TimeUnit::Milliseconds),
    reverse(156, 8, Everywhere, |flow, out| timestamp(other(flow).start_ns, out))
        .times(TimeUnit::Nanoseconds),
    reverse(157, 8, Everywhere, |flow, out| timestamp(other(flow).end_ns, out)).times(TimeUnit::Nanoseconds),
    reverse(1, 8, Everywhere, |flow, out| out.extend_from_slice(&other(flow).octets.to_be_bytes())),
    reverse(2, 8, Everywhere, |flow, out| out.extend_from_slice(&other(flow).packets.to_be_bytes())),
    reverse(6, 2, Ports, |flow, out| out.extend_from_slice(&other(flow).tcp_control_bits.to_be_bytes())),
    reverse(5, 1, Everywhere, |flow, out| out.push(other(flow).class_of_service)),
    reverse(52, 1, Everywhere, |flow, out| out.push(other(flow).minimum_ttl)),
    reverse(53, 1, Everywhere, |flow, out| out.push(other(flow).maximum_ttl)),
    field(239, 1, Everywhere, |flow, out| out.push(other(flow).direction as u8)).part(Part::Reverse),
];

/// Returns the other direction, or one without packets.
fn other(flow: &FlowRecord) -> Reverse {
    flow.reverse.unwrap_or_default()
}

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

fn milliseconds(nanoseconds: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(nanoseconds / 1_000_000).to_be_bytes());
}

/// Appends dateTimeNanoseconds: seconds since 1900 and their fraction of 32 bits (RFC 7011 section 6.1.9).
fn timestamp(nanoseconds: u64, out: &mut Vec<u8>) {
    const SECOND: u64 = 1_000_000_000;
    /// Seconds from 1900 to 1970.
    const EPOCH: u64 = 2_208_988_800;
    let (seconds, rest) = (nanoseconds / SECOND + EPOCH, nanoseconds % SECOND);
    // Rounded up, so that it gives the same nanosecond back.
    let fraction = (rest << 32).div_ceil(SECOND);
    out.extend_from_slice(&(seconds << 32 | fraction).to_be_bytes());
}

#[cfg(test)]
mod tests;
