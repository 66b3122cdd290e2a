//! What is known of a flow when it ends.

use crate::packet::{Segment, protocol};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// One flow, in the words of the IANA information elements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlowRecord {
    /// sourceIPv4Address or sourceIPv6Address.
    pub source: IpAddr,
    /// destinationIPv4Address or destinationIPv6Address, of the same version.
    pub destination: IpAddr,
    /// sourceTransportPort; 0 where there is none.
    pub source_port: u16,
    /// destinationTransportPort; for ICMP and ICMPv6 icmpTypeCodeIPv4 or icmpTypeCodeIPv6.
    pub destination_port: u16,
    /// protocolIdentifier.
    pub protocol: u8,
    /// ipClassOfService of the first packet.
    pub class_of_service: u8,
    /// tcpControlBits of all packets.
    pub tcp_control_bits: u16,
    /// minimumTTL.
    pub minimum_ttl: u8,
    /// maximumTTL.
    pub maximum_ttl: u8,
    /// dot1qVlanId: the outermost tag; 0 for none.
    pub vlan_id: u16,
    /// dot1qCustomerVlanId: the tag inside it; 0 for none.
    pub customer_vlan_id: u16,
    /// layer2SegmentId: the network in a tunnel that it is of.
    pub segment: Segment,
    /// ingressInterface or egressInterface, by `direction`: the index in the capture.
    pub interface: u32,
    /// flowDirection.
    pub direction: Direction,
    /// flowEndReason.
    pub end_reason: FlowEndReason,
    /// octetDeltaCount: lengths of the IP packets.
    pub octets: u64,
    /// packetDeltaCount.
    pub packets: u64,
    /// Time of the first packet, in nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// Time of the last packet, in nanoseconds since the Unix epoch.
    pub end_ns: u64,
    /// What is kept of flows where it is asked for ([`MeteringConfig::details`](super::MeteringConfig::details)); zero otherwise.
    pub details: Details,
    /// What went the other way, in a biflow with packets both ways (RFC 5103).
    pub reverse: Option<Reverse>,
}

/// What only some exporters tell of a flow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Details {
    /// flowId: flows of one start of the exporter are numbered; what goes on after an active time-out keeps its number.
    pub flow_id: u64,
    /// minimumIpTotalLength.
    pub minimum_length: u32,
    /// maximumIpTotalLength.
    pub maximum_length: u32,
    /// mplsTopLabelStackSection of the first packet, as 24 bits: label, traffic class, bottom of stack; 0 for none.
    pub mpls_top_label: u32,
    /// sourceMacAddress of the frame the first packet came in; zero where it had none.
    pub source_mac: [u8; 6],
    /// destinationMacAddress of that frame.
    pub destination_mac: [u8; 6],
}

/// The other direction of a biflow, in the words of the reverse information elements (RFC 5103 section 6.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reverse {
    /// reverseOctetDeltaCount.
    pub octets: u64,
    /// reversePacketDeltaCount, at least 1.
    pub packets: u64,
    /// Time of the first packet, in nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// Time of the last packet, in nanoseconds since the Unix epoch.
    pub end_ns: u64,
    /// reverseTcpControlBits.
    pub tcp_control_bits: u16,
    /// reverseIpClassOfService of the first packet.
    pub class_of_service: u8,
    /// reverseMinimumTTL.
    pub minimum_ttl: u8,
    /// reverseMaximumTTL.
    pub maximum_ttl: u8,
    /// biflowDirection.
    pub direction: BiflowDirection,
}

/// biflowDirection (RFC 5103 section 6.3): how source and destination of a biflow were told apart.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum BiflowDirection {
    /// The source began: its packet was the first, and none that answers another.
    #[default]
    Initiator = 1,
    /// The destination began: the first packet accepted a connection, or the flow goes on after an active time-out with a packet of
    /// the other side.
    ReverseInitiator = 2,
}

impl FlowRecord {
    /// Returns flowStartMilliseconds.
    pub const fn start_ms(&self) -> u64 {
        self.start_ns / 1_000_000
    }

    /// Returns flowEndMilliseconds.
    pub const fn end_ms(&self) -> u64 {
        self.end_ns / 1_000_000
    }

    /// Tells whether it is of ICMP or ICMPv6, whose type and code are where others have a port.
    pub const fn is_icmp(&self) -> bool {
        matches!(self.protocol, protocol::ICMP | protocol::ICMPV6)
    }

    /// Returns the octets of both directions.
    pub const fn octets_both_ways(&self) -> u64 {
        match self.reverse {
            Some(reverse) => self.octets + reverse.octets,
            None => self.octets,
        }
    }

    /// Returns the packets of both directions.
    pub const fn packets_both_ways(&self) -> u64 {
        match self.reverse {
            Some(reverse) => self.packets + reverse.packets,
            None => self.packets,
        }
    }

    pub(crate) const fn empty(direction: Direction, end_reason: FlowEndReason) -> Self {
        Self {
            source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            source_port: 0,
            destination_port: 0,
            protocol: 0,
            class_of_service: 0,
            tcp_control_bits: 0,
            minimum_ttl: 0,
            maximum_ttl: 0,
            vlan_id: 0,
            customer_vlan_id: 0,
            segment: Segment::NONE,
            interface: 0,
            direction,
            end_reason,
            octets: 0,
            packets: 0,
            start_ns: 0,
            end_ns: 0,
            details: Details {
                flow_id: 0,
                minimum_length: 0,
                maximum_length: 0,
                mpls_top_label: 0,
                source_mac: [0; 6],
                destination_mac: [0; 6],
            },
            reverse: None,
        }
    }
}

/// flowDirection (IANA element 61): that of the first packet, as far as the capture tells.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum Direction {
    /// Into the observed device.
    #[default]
    Ingress = 0,
    /// Out of it.
    Egress = 1,
}

/// flowEndReason (IANA element 136).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum FlowEndReason {
    /// No packet within the idle time-out.
    IdleTimeout = 1,
    /// It lasted longer than the active time-out.
    ActiveTimeout = 2,
    /// TCP said that it ends.
    EndOfFlow = 3,
    /// The metering process was told to stop.
    ForcedEnd = 4,
    /// The table was full.
    LackOfResources = 5,
}

impl FlowEndReason {
    /// All reasons in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::IdleTimeout, Self::ActiveTimeout, Self::EndOfFlow, Self::ForcedEnd, Self::LackOfResources];

    /// Returns the reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle_timeout",
            Self::ActiveTimeout => "active_timeout",
            Self::EndOfFlow => "end_of_flow",
            Self::ForcedEnd => "forced_end",
            Self::LackOfResources => "lack_of_resources",
        }
    }
}

impl fmt::Display for FlowEndReason {
    /// IANA's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdleTimeout => "idle timeout",
            Self::ActiveTimeout => "active timeout",
            Self::EndOfFlow => "end of Flow detected",
            Self::ForcedEnd => "forced end",
            Self::LackOfResources => "lack of resources",
        })
    }
}
