//! Link layers: Ethernet with 802.1Q and 802.1ad tags, MPLS (RFC 3032; pseudowires of Ethernet, RFC 4448) and PPPoE (RFC
//! 2516) in it; Linux cooked captures, BSD loopback, none.

use super::{Unparsed, be16};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const MPLS: [u16; 2] = [0x8847, 0x8848];
/// The type of a packet in a Linux cooked capture that was sent by the host that captured it.
const OUTGOING: u8 = 4;
const PPPOE_SESSION: u16 = 0x8864;
/// PPP's numbers (RFC 1661, IANA) of what EtherTypes stand for.
const PPP: [(u16, u16); 4] = [(0x0021, IPV4), (0x0057, IPV6), (0x0281, MPLS[0]), (0x0283, MPLS[1])];
/// Ethernet headers in one another: a frame, and those of pseudowires.
const MAX_FRAMES: u32 = 4;
/// 802.1Q, 802.1ad, and the number used for stacked tags before it.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// What the link layer tells and carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link<'a> {
    pub(super) payload: &'a [u8],
    /// The IP version announced.
    pub(super) version: u8,
    pub(super) vlan_id: u16,
    pub(super) customer_vlan_id: u16,
    /// The top entry of MPLS's label stack without its TTL; 0 for none.
    pub(super) mpls_top_label: u32,
    /// The interface, where the link layer names it.
    pub(super) interface: Option<u32>,
    /// Whether the packet left by that interface.
    pub(super) outgoing: bool,
}

impl<'a> Link<'a> {
    const fn untagged(payload: &'a [u8], version: u8) -> Self {
        let (vlan_id, customer_vlan_id, mpls_top_label) = (0, 0, 0);
        Self { payload, version, vlan_id, customer_vlan_id, mpls_top_label, interface: None, outgoing: false }
    }
}

/// What a tunnel says that it carries, by an EtherType.
pub(super) fn of_type(ethertype: u16, payload: &[u8]) -> Result<Link<'_>, Unparsed> {
    typed(ethertype, payload)
}

#[inline]
pub(super) fn ethernet(octets: &[u8]) -> Result<Link<'_>, Unparsed> {
    let ethertype = be16(octets, 12).ok_or(Unparsed::Short)?;
    typed(ethertype, &octets[14..])
}

pub(super) fn linux_sll(octets: &[u8]) -> Result<Link<'_>, Unparsed> {
    let ethertype = be16(octets, 14).ok_or(Unparsed::Short)?;
    let outgoing = be16(octets, 0) == Some(OUTGOING.into());
    Ok(Link { outgoing, ..typed(ethertype, &octets[16..])? })
}

pub(super) fn linux_sll2(octets: &[u8]) -> Result<Link<'_>, Unparsed> {
    let header = octets.get(..20).ok_or(Unparsed::Short)?;
    let ethertype = u16::from_be_bytes([header[0], header[1]]);
    let interface = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let outgoing = header[10] == OUTGOING;
    Ok(Link { interface: Some(interface), outgoing, ..typed(ethertype, &octets[20..])? })
}

pub(super) fn raw(octets: &[u8]) -> Result<Link<'_>, Unparsed> {
    let first = *octets.first().ok_or(Unparsed::Short)?;
    Ok(Link::untagged(octets, first >> 4))
}

/// The family's number is small, so whichever end is zero tells the byte order.
pub(super) fn null(octets: &[u8]) -> Result<Link<'_>, Unparsed> {
    let header = octets.get(..4).ok_or(Unparsed::Short)?;
    let big = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    let version = match if big > 0xffff { big.swap_bytes() } else { big } {
        2 => 4,
        // AF_INET6 of NetBSD and OpenBSD, FreeBSD, Darwin; Linux writes its own 10.
        10 | 24 | 28 | 30 => 6,
        _ => return Err(Unparsed::NotIp),
    };
    Ok(Link::untagged(&octets[4..], version))
}

/// Goes through tags and labels to what an EtherType announces. Each is at least 4 octets, so what was captured bounds the work.
#[inline]
fn typed(mut ethertype: u16, mut payload: &[u8]) -> Result<Link<'_>, Unparsed> {
    let mut link = Link::untagged(payload, 0);
    let (mut tags, mut frames) = (0, 1);
    loop {
        match ethertype {
            IPV4 => link.version = 4,
            IPV6 => link.version = 6,
            tag if TAGS.contains(&tag) => {
                let (Some(control), Some(inner)) = (be16(payload, 0), be16(payload, 2)) else {
                    return Err(Unparsed::Short);
                };
                match tags {
                    0 => link.vlan_id = control & 0x0fff,
                    1 => link.customer_vlan_id = control & 0x0fff,
                    _ => {}
                }
                tags += 1;
                payload = &payload[4..];
                ethertype = inner;
                continue;
            }
            labels if MPLS.contains(&labels) && frames < MAX_FRAMES => {
                let (top, inner, rest) = mpls(payload)?;
                if link.mpls_top_label == 0 {
                    link.mpls_top_label = top;
                }
                (ethertype, payload) = (inner, rest);
                frames += 1;
                continue;
            }
            PPPOE_SESSION => {
                (ethertype, payload) = pppoe(payload)?;
                continue;
            }
            _ => return Err(Unparsed::NotIp),
        }
        link.payload = payload;
        return Ok(link);
    }
}

/// Goes through a label stack (RFC 3032 section 2.1). What is below it tells by its first bits what it is (RFC 4928): IPv4, IPv6,
/// or the control word of a pseudowire, taken for one of Ethernet. Returns the top entry, and the EtherType of what follows.
fn mpls(octets: &[u8]) -> Result<(u32, u16, &[u8]), Unparsed> {
    const BOTTOM: u8 = 1;
    let (entries, _) = octets.as_chunks::<4>();
    let top = entries.first().ok_or(Unparsed::Short)?;
    let top = u32::from_be_bytes([0, top[0], top[1], top[2]]);
    let below = entries.iter().position(|entry| entry[2] & BOTTOM != 0).ok_or(Unparsed::Short)? + 1;
    let payload = &octets[below * 4..];
    match payload.first().ok_or(Unparsed::Short)? >> 4 {
        4 => Ok((top, IPV4, payload)),
        6 => Ok((top, IPV6, payload)),
        0 => {
            let frame = payload.get(4..).ok_or(Unparsed::Short)?;
            let ethertype = be16(frame, 12).ok_or(Unparsed::Short)?;
            Ok((top, ethertype, &frame[14..]))
        }
        _ => Err(Unparsed::NotIp),
    }
}

/// Takes off the headers of PPPoE (RFC 2516 section 4) and PPP; returns the EtherType that PPP's number stands for.
fn pppoe(octets: &[u8]) -> Result<(u16, &[u8]), Unparsed> {
    const VERSION_AND_TYPE: u8 = 0x11;
    let (Some(protocol), Some(&first)) = (be16(octets, 6), octets.first()) else {
        return Err(Unparsed::Short);
    };
    let known = PPP.iter().find(|(number, _)| *number == protocol && first == VERSION_AND_TYPE);
    known.map(|(_, ethertype)| (*ethertype, &octets[8..])).ok_or(Unparsed::NotIp)
}
