//! Headers of a packet to a [`PacketView`]: what metering needs to know, without allocation.
//!
//! Link layers, and what may be between them and IP: `ethernet`. Packets in packets: `tunnel`.
//!
//! Nothing is assumed about the octets. What the capture cut off (snaplen) behind the IP header is
//! tolerated: ports and flags then read as zero. What makes the IP header itself unreadable is
//! an [`Unparsed`] reason, to be counted.

mod ethernet;
mod fragments;
mod ip;
mod transport;
mod tunnel;

pub use fragments::Fragments;

use crate::capture::{LinkType, Packet};
use ethernet::Link;
use ip::Network;
use std::net::IpAddr;

/// Protocol numbers (IANA) that are looked into.
pub mod protocol {
    /// IPv4's ICMP.
    pub const ICMP: u8 = 1;
    /// IPv4 in IP.
    pub const IPV4: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 in IP.
    pub const IPV6: u8 = 41;
    /// Generic Routing Encapsulation.
    pub const GRE: u8 = 47;
    /// IPv6's ICMP.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// UDP-Lite.
    pub const UDP_LITE: u8 = 136;
    /// DCCP.
    pub const DCCP: u8 = 33;
}

/// What the headers of one packet say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacketView {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same version.
    pub destination: IpAddr,
    /// Source port; 0 where the protocol has none, in later fragments and where it was not captured.
    pub source_port: u16,
    /// Destination port, as above; for ICMP and ICMPv6 the type times 256 plus the code.
    pub destination_port: u16,
    /// IPv4's protocol; for IPv6 the one after all extension headers that were captured.
    pub protocol: u8,
    /// IPv4's type of service or IPv6's traffic class.
    pub class_of_service: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Octets 12 and 13 of the TCP header without the data offset: tcpControlBits; 0 for other protocols.
    pub tcp_control_bits: u16,
    /// VLAN identifier of the outermost tag; 0 for none and for priority tags.
    pub vlan_id: u16,
    /// VLAN identifier of the tag inside it; 0 for none.
    pub customer_vlan_id: u16,
    /// The top entry of MPLS's label stack without its TTL (20 bits label, 3 bits traffic class, bottom); 0 for none.
    pub mpls_top_label: u32,
    /// The network in a tunnel that it is of, where it was taken out of one that tells.
    pub segment: Segment,
    /// The interface it was seen on.
    pub interface: u32,
    /// Whether it left by that interface, as far as the capture tells.
    pub outgoing: bool,
    /// Octets of the IP packet, header included, as the header tells.
    pub octets: u32,
    /// The identification of the packet that it is a fragment of; none for a whole one.
    pub fragment: Option<u32>,
    /// Whether it is a fragment other than the first.
    pub later_fragment: bool,
    /// Whether the octets end before what is read of its transport header, so that ports or control bits are missing.
    pub cut: bool,
}

/// A virtual network that shares a link with others: what kind of tunnel tells it, and its number there.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Segment(u32);

impl Segment {
    /// No tunnel, or one that tells none.
    pub const NONE: Self = Self(0);

    const fn new(kind: u32, number: u32) -> Self {
        Self(kind << 24 | number & 0x00ff_ffff)
    }

    /// A VXLAN network identifier (RFC 7348).
    pub const fn vxlan(vni: u32) -> Self {
        Self::new(1, vni)
    }

    /// A virtual subnet identifier of NVGRE (RFC 7637).
    pub const fn nvgre(vsid: u32) -> Self {
        Self::new(2, vsid)
    }

    /// A virtual network identifier of Geneve (RFC 8926).
    pub const fn geneve(vni: u32) -> Self {
        Self::new(3, vni)
    }

    /// Returns it in 28 bits.
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Takes back [`Segment::bits`].
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns IANA's layer2SegmentId: the kind in the upper 8 bits (1 VXLAN, 2 NVGRE; 3, Geneve, is not assigned there), the
    /// number in the lower 24; 0 for none.
    pub const fn layer2_segment_id(self) -> u64 {
        (self.0 as u64 >> 24) << 56 | self.0 as u64 & 0x00ff_ffff
    }
}

/// Which packet is metered where one travels in another (in a tunnel).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Layers {
    /// The one on the wire.
    #[default]
    Outer,
    /// The innermost one that can be read.
    Inner,
    /// Each of them, so that a packet in a tunnel counts more than once.
    Both,
}

/// Packets in one another that are looked into.
const MAX_TUNNELS: usize = 4;

/// Why a packet has no [`PacketView`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Unparsed {
    /// The link layer carries something that is not IP (ARP, LLDP, …).
    NotIp,
    /// The captured octets end before the IP header does.
    Short,
    /// The version in the IP header is not the one announced, or neither 4 nor 6.
    Version,
    /// IPv4's header length is below 20 octets.
    HeaderLength,
    /// IPv4's total length is below its header length.
    TotalLength,
}

impl Unparsed {
    /// All reasons; `self as usize` is the index.
    pub const ALL: [Self; 5] =
        [Self::NotIp, Self::Short, Self::Version, Self::HeaderLength, Self::TotalLength];

    /// Returns the reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::Short => "short",
            Self::Version => "version",
            Self::HeaderLength => "header_length",
            Self::TotalLength => "total_length",
        }
    }
}

impl PacketView {
    /// Reads the headers of a packet; of the one on the wire, if there are others in it.
    #[inline]
    pub fn parse(packet: &Packet<'_>) -> Result<Self, Unparsed> {
        network(packet).map(|network| network.view)
    }

    /// Reads the headers of the packet on the wire; returns its octets as well, from the IP header on, as far as they were captured and
    /// without the link layer's padding, and how many of them are IP's headers. Later fragments of IPv6 are nothing else.
    pub fn parse_with_octets<'a>(packet: &Packet<'a>) -> Result<(Self, &'a [u8], usize), Unparsed> {
        let link = link(packet)?;
        let Network { view, headers, .. } = ip(&link, on_wire(packet, &link))?;
        Ok((view, &link.payload[..link.payload.len().min(view.octets as usize)], headers as usize))
    }

    /// Reads the headers of a packet and of those in it, and hands over the ones that `layers` asks for. Returns how many were handed
    /// over, which is at least one.
    ///
    /// Fails if the packet on the wire cannot be read; of one inside that cannot, the one around it counts.
    pub fn each(packet: &Packet<'_>, layers: Layers, mut take: impl FnMut(&Self)) -> Result<usize, Unparsed> {
        let mut outer = network(packet)?;
        let (mut count, depth) = (1, if layers == Layers::Outer { 0 } else { MAX_TUNNELS });
        for _ in 0..depth {
            let Some(inner) = tunnel::inside(&outer) else { break };
            if layers == Layers::Both {
                take(&outer.view);
                count += 1;
            }
            outer = inner;
        }
        take(&outer.view);
        Ok(count)
    }
}

/// Reads link layer and IP header.
#[inline]
fn network<'a>(packet: &Packet<'a>) -> Result<Network<'a>, Unparsed> {
    let link = link(packet)?;
    ip(&link, on_wire(packet, &link))
}

/// Reads the link layer.
#[inline]
fn link<'a>(packet: &Packet<'a>) -> Result<Link<'a>, Unparsed> {
    let mut link = match packet.link {
        LinkType::Ethernet => ethernet::ethernet(packet.octets)?,
        LinkType::LinuxSll => ethernet::linux_sll(packet.octets)?,
        LinkType::LinuxSll2 => ethernet::linux_sll2(packet.octets)?,
        LinkType::RawIp => ethernet::raw(packet.octets)?,
        LinkType::Null => ethernet::null(packet.octets)?,
    };
    link.interface = link.interface.or(Some(packet.interface));
    link.outgoing |= packet.outgoing;
    Ok(link)
}

/// Returns how long what the link layer carries was on the wire.
#[inline]
fn on_wire(packet: &Packet<'_>, link: &Link<'_>) -> u32 {
    let before = u32::try_from(packet.octets.len() - link.payload.len()).unwrap_or(u32::MAX);
    packet.original_length.saturating_sub(before)
}

/// Reads the IP header of a packet; `on_wire` is its length by the wire, for headers that leave it open.
#[inline]
fn ip<'a>(link: &Link<'a>, on_wire: u32) -> Result<Network<'a>, Unparsed> {
    match link.version {
        4 => ip::ipv4(link, on_wire),
        6 => ip::ipv6(link, on_wire),
        _ => Err(Unparsed::Version),
    }
}

#[inline]
fn be16(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2).map(|field| u16::from_be_bytes([field[0], field[1]]))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tunnel_tests;
