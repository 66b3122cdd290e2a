//! Packets in packets: IP in IP (RFC 2003, RFC 2473, RFC 4213), GRE (RFC 2784, RFC 2890) with NVGRE (RFC 7637) and ERSPAN
//! (draft-foschiano-erspan), VXLAN (RFC 7348), Geneve (RFC 8926) and the user plane of GTP (3GPP TS 29.281).

use super::ethernet::{self, Link};
use super::ip::Network;
use super::{Segment, ip, protocol};

/// UDP ports (IANA) by which tunnels are told.
const VXLAN_PORT: u16 = 4789;
const GENEVE_PORT: u16 = 6081;
const GTP_U_PORT: u16 = 2152;
/// EtherTypes in headers of tunnels: an Ethernet frame, and ERSPAN's types II and III.
const TRANSPARENT_ETHERNET: u16 = 0x6558;
const ERSPAN_II: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;

/// What is in a tunnel, and its number there.
type Inside<'a> = (Link<'a>, Segment);

/// Returns the packet in this one; none if there is none that can be read.
#[inline]
pub(super) fn inside<'a>(outer: &Network<'a>) -> Option<Network<'a>> {
    let payload = outer.payload;
    let (mut link, segment) = match outer.view.protocol {
        protocol::TCP => return None,
        protocol::UDP => udp(outer.view.destination_port, payload.get(8..)?)?,
        protocol::IPV4 | protocol::IPV6 => (ethernet::raw(payload).ok()?, Segment::NONE),
        protocol::GRE => gre(payload)?,
        _ => return None,
    };
    link.interface = Some(outer.view.interface);
    link.outgoing = outer.view.outgoing;
    let before = u32::try_from(payload.len() - link.payload.len()).ok()?;
    let on_wire = outer.view.octets.checked_sub(outer.headers)?.checked_sub(before)?;
    let mut inner = ip(&link, on_wire).ok()?;
    inner.view.segment = if segment == Segment::NONE { outer.view.segment } else { segment };
    if inner.view.mpls_top_label == 0 {
        inner.view.mpls_top_label = outer.view.mpls_top_label;
    }
    Some(inner)
}

fn udp(port: u16, payload: &[u8]) -> Option<Inside<'_>> {
    match port {
        VXLAN_PORT => vxlan(payload),
        GENEVE_PORT => geneve(payload),
        GTP_U_PORT => Some((gtp(payload)?, Segment::NONE)),
        _ => None,
    }
}

fn vxlan(octets: &[u8]) -> Option<Inside<'_>> {
    const VNI_IS_VALID: u8 = 0x08;
    let (header, frame) = octets.split_first_chunk::<8>()?;
    if header[0] & VNI_IS_VALID == 0 {
        return None;
    }
    Some((ethernet::ethernet(frame).ok()?, Segment::vxlan(number(header[4], header[5], header[6]))))
}

fn geneve(octets: &[u8]) -> Option<Inside<'_>> {
    let (header, rest) = octets.split_first_chunk::<8>()?;
    let (version, options) = (header[0] >> 6, usize::from(header[0] & 0x3f) * 4);
    if version != 0 {
        return None;
    }
    let link = of_type(u16::from_be_bytes([header[2], header[3]]), rest.get(options..)?)?;
    Some((link, Segment::geneve(number(header[4], header[5], header[6]))))
}

fn gre(octets: &[u8]) -> Option<Inside<'_>> {
    const CHECKSUM: u8 = 0x80;
    const KEY: u8 = 0x20;
    const SEQUENCE: u8 = 0x10;
    const VERSION: u8 = 0x07;
    let &[flags, version, type0, type1] = octets.first_chunk()?;
    if version & VERSION != 0 {
        return None;
    }
    let ethertype = u16::from_be_bytes([type0, type1]);
    let has = |flag: u8| usize::from(flags & flag != 0) * 4;
    let key_at = 4 + has(CHECKSUM);
    let payload = octets.get(key_at + has(KEY) + has(SEQUENCE)..)?;
    match ethertype {
        // Type I of ERSPAN is a frame at once, and has no sequence number.
        ERSPAN_II => {
            let header = if flags & SEQUENCE == 0 { 0 } else { 8 };
            Some((ethernet::ethernet(payload.get(header..)?).ok()?, Segment::NONE))
        }
        ERSPAN_III => {
            const SUBHEADER: u8 = 0x01;
            let header = if payload.get(11)? & SUBHEADER == 0 { 12 } else { 20 };
            Some((ethernet::ethernet(payload.get(header..)?).ok()?, Segment::NONE))
        }
        TRANSPARENT_ETHERNET if flags & KEY != 0 => {
            let key: &[u8; 3] = octets.get(key_at..)?.first_chunk()?;
            Some((ethernet::ethernet(payload).ok()?, Segment::nvgre(number(key[0], key[1], key[2]))))
        }
        ethertype => Some((of_type(ethertype, payload)?, Segment::NONE)),
    }
}

/// The header of GTP version 1 (section 5.1), with its extension headers (section 5.2).
fn gtp(octets: &[u8]) -> Option<Link<'_>> {
    const VERSION_AND_TYPE: u8 = 0xf0;
    const GTP_VERSION_1: u8 = 0x30;
    const EXTENSION: u8 = 0x04;
    const ANY_OPTIONAL: u8 = 0x07;
    const G_PDU: u8 = 255;
    let (header, mut rest) = octets.split_first_chunk::<8>()?;
    if header[0] & VERSION_AND_TYPE != GTP_VERSION_1 || header[1] != G_PDU {
        return None;
    }
    if header[0] & ANY_OPTIONAL != 0 {
        let (&[_, _, _, mut next], after) = rest.split_first_chunk::<4>()?;
        rest = after;
        while header[0] & EXTENSION != 0 && next != 0 {
            // Its length counts 4 octets, and its last octet is the type of the next one.
            let length = usize::from(*rest.first()?) * 4;
            next = *rest.get(length.checked_sub(1)?)?;
            rest = &rest[length..];
        }
    }
    ethernet::raw(rest).ok()
}

fn of_type(ethertype: u16, payload: &[u8]) -> Option<Link<'_>> {
    match ethertype {
        TRANSPARENT_ETHERNET => ethernet::ethernet(payload).ok(),
        ethertype => ethernet::of_type(ethertype, payload).ok(),
    }
}

const fn number(high: u8, middle: u8, low: u8) -> u32 {
    u32::from_be_bytes([0, high, middle, low])
}
