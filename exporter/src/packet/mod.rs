//! Headers of a packet to a [`PacketView`]: what metering needs to know, without allocation.
//!
//! Nothing is assumed about the octets. What the capture cut off (snaplen) behind the IP header is
//! tolerated: ports and flags then read as zero. What makes the IP header itself unreadable is
//! an [`Unparsed`] reason, to be counted.

mod ethernet;
mod ip;
mod transport;

use crate::capture::{LinkType, Packet};
use std::net::IpAddr;

/// Protocol numbers (IANA) that are looked into.
pub mod protocol {
    /// IPv4's ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
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
    /// The interface it was seen on.
    pub interface: u32,
    /// Octets of the IP packet, header included, as the header tells.
    pub octets: u32,
    /// Whether it is a fragment other than the first.
    pub later_fragment: bool,
}

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
    /// Reads the headers of a packet.
    #[inline]
    pub fn parse(packet: &Packet<'_>) -> Result<Self, Unparsed> {
        let mut link = match packet.link {
            LinkType::Ethernet => ethernet::ethernet(packet.octets)?,
            LinkType::LinuxSll => ethernet::linux_sll(packet.octets)?,
            LinkType::LinuxSll2 => ethernet::linux_sll2(packet.octets)?,
            LinkType::RawIp => ethernet::raw(packet.octets)?,
            LinkType::Null => ethernet::null(packet.octets)?,
        };
        link.interface = link.interface.or(Some(packet.interface));
        let cut = u32::try_from(packet.octets.len() - link.payload.len()).unwrap_or(u32::MAX);
        // The length of the IP packet by the wire, for headers that leave it open.
        let on_wire = packet.original_length.saturating_sub(cut);
        match link.version {
            4 => ip::ipv4(&link, on_wire),
            6 => ip::ipv6(&link, on_wire),
            _ => Err(Unparsed::Version),
        }
    }
}

#[inline]
fn be16(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2).map(|field| u16::from_be_bytes([field[0], field[1]]))
}

#[cfg(test)]
mod tests;
