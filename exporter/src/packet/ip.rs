//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, with options, extension headers and fragments.

use super::ethernet::Link;
use super::transport::{Transport, transport};
use super::{PacketView, Segment, Unparsed, protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// An IP packet.
pub(super) struct Network<'a> {
    pub(super) view: PacketView,
    /// What it carries, as far as it was captured; nothing in a later fragment.
    pub(super) payload: &'a [u8],
    /// How many octets before the payload are the packet's.
    pub(super) headers: u32,
}

#[inline]
pub(super) fn ipv4<'a>(link: &Link<'a>, on_wire: u32) -> Result<Network<'a>, Unparsed> {
    let header: &[u8; 20] = link.payload.first_chunk().ok_or(Unparsed::Short)?;
    if header[0] >> 4 != 4 {
        return Err(Unparsed::Version);
    }
    let header_length = usize::from(header[0] & 0x0f) * 4;
    if header_length < 20 {
        return Err(Unparsed::HeaderLength);
    }
    let octets = match u16::from_be_bytes([header[2], header[3]]) {
        // The kernel leaves it to the device when it hands over more than 64 KiB at once.
        0 => on_wire,
        total => u32::from(total),
    };
    if (octets as usize) < header_length {
        return Err(Unparsed::TotalLength);
    }
    const MORE_AND_OFFSET: u16 = 0x3fff;
    const OFFSET: u16 = 0x1fff;
    let place = u16::from_be_bytes([header[6], header[7]]);
    let later_fragment = place & OFFSET != 0;
    let identification = u32::from(u16::from_be_bytes([header[4], header[5]]));
    let fragment = if place & MORE_AND_OFFSET == 0 { None } else { Some(identification) };
    let protocol = header[9];
    // What follows the packet is padding of the link layer, not its payload.
    let packet = &link.payload[..link.payload.len().min(octets as usize)];
    let payload = packet.get(header_length..).filter(|_| !later_fragment);
    let upper = match payload {
        Some(payload) => transport(protocol, payload),
        None => Transport { cut: !later_fragment, ..Transport::default() },
    };
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let view = PacketView {
        source: IpAddr::V4(address(12)),
        destination: IpAddr::V4(address(16)),
        source_port: upper.source_port,
        destination_port: upper.destination_port,
        protocol,
        class_of_service: header[1],
        ttl: header[8],
        tcp_control_bits: upper.tcp_control_bits,
        vlan_id: link.vlan_id,
        customer_vlan_id: link.customer_vlan_id,
        mpls_top_label: link.mpls_top_label,
        segment: Segment::NONE,
        interface: link.interface.unwrap_or(0),
        outgoing: link.outgoing,
        octets,
        fragment,
        later_fragment,
        cut: upper.cut,
    };
    #[expect(clippy::cast_possible_truncation, reason = "60 at most")]
    Ok(Network { view, payload: payload.unwrap_or_default(), headers: header_length as u32 })
}

#[inline]
pub(super) fn ipv6<'a>(link: &Link<'a>, on_wire: u32) -> Result<Network<'a>, Unparsed> {
    let header: &[u8; 40] = link.payload.first_chunk().ok_or(Unparsed::Short)?;
    if header[0] >> 4 != 6 {
        return Err(Unparsed::Version);
    }
    let octets = match u16::from_be_bytes([header[4], header[5]]) {
        // A jumbogram (RFC 2675), or more than 64 KiB handed over at once.
        0 if matches!(header[6], HOP_BY_HOP | protocol::TCP) => on_wire.max(40),
        payload => 40 + u32::from(payload),
    };
    let packet = &link.payload[..link.payload.len().min(octets as usize)];
    let chain = extensions(header[6], &packet[40..]);
    let payload = chain.payload.filter(|_| !chain.later_fragment);
    let upper = match payload {
        Some(payload) => transport(chain.protocol, payload),
        None => Transport { cut: !chain.later_fragment, ..Transport::default() },
    };
    let (source, destination) = (address(&header[8..24]), address(&header[24..40]));
    let view = PacketView {
        source,
        destination,
        source_port: upper.source_port,
        destination_port: upper.destination_port,
        protocol: chain.protocol,
        class_of_service: header[0] << 4 | header[1] >> 4,
        ttl: header[7],
        tcp_control_bits: upper.tcp_control_bits,
        vlan_id: link.vlan_id,
        customer_vlan_id: link.customer_vlan_id,
        mpls_top_label: link.mpls_top_label,
        segment: Segment::NONE,
        interface: link.interface.unwrap_or(0),
        outgoing: link.outgoing,
        octets,
        fragment: chain.fragment,
        later_fragment: chain.later_fragment,
        cut: upper.cut,
    };
    let payload = payload.unwrap_or_default();
    let headers = u32::try_from(packet.len() - payload.len()).unwrap_or(u32::MAX);
    Ok(Network { view, payload, headers })
}

#[inline]
fn address(octets: &[u8]) -> IpAddr {
    let mut address = [0; 16];
    address.copy_from_slice(octets);
    IpAddr::V6(Ipv6Addr::from(address))
}

/// Where a chain of extension headers ends.
struct Chain<'a> {
    /// The protocol after the last header that was captured.
    protocol: u8,
    /// What follows, if it was captured.
    payload: Option<&'a [u8]>,
    fragment: Option<u32>,
    later_fragment: bool,
}

/// Follows the chain. Each header is at least 8 octets, so what was captured bounds the work.
#[inline]
fn extensions(mut protocol: u8, mut rest: &[u8]) -> Chain<'_> {
    let (mut fragment, mut later_fragment) = (None, false);
    loop {
        let length = match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HIP | SHIM6 => {
                rest.get(1).map(|&eights| (usize::from(eights) + 1) * 8)
            }
            AUTHENTICATION => rest.get(1).map(|&words| (usize::from(words) + 2) * 4),
            FRAGMENT => {
                const MORE_AND_OFFSET: u16 = 0xfff9;
                const OFFSET: u16 = 0xfff8;
                let header: Option<&[u8; 8]> = rest.first_chunk();
                let place = super::be16(rest, 2).unwrap_or(0);
                later_fragment = place & OFFSET != 0;
                // A packet in one part (RFC 6946) is whole.
                fragment = header
                    .filter(|_| place & MORE_AND_OFFSET != 0)
                    .map(|header| u32::from_be_bytes([header[4], header[5], header[6], header[7]]));
                super::be16(rest, 2).map(|_| 8)
            }
            _ => return Chain { protocol, payload: Some(rest), fragment, later_fragment },
        };
        let Some((length, &next)) = length.zip(rest.first()) else {
            return Chain { protocol, payload: None, fragment, later_fragment };
        };
        protocol = next;
        match rest.get(length..) {
            // The header after a later fragment's is data from the middle of the packet.
            Some(after) if !later_fragment => rest = after,
            _ => return Chain { protocol, payload: None, fragment, later_fragment },
        }
    }
}
