//! Link layers: Ethernet with 802.1Q and 802.1ad tags, Linux cooked captures, BSD loopback, none.

use super::{Unparsed, be16};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
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
    /// The interface, where the link layer names it.
    pub(super) interface: Option<u32>,
}

impl<'a> Link<'a> {
    const fn untagged(payload: &'a [u8], version: u8) -> Self {
        Self { payload, version, vlan_id: 0, customer_vlan_id: 0, interface: None }
    }
}

#[inline]
pub(super) fn ethernet(octets: &[u8]) -> Result<Link<'_>, Unparsed> {
    let ethertype = be16(octets, 12).ok_or(Unparsed::Short)?;
    typed(ethertype, &octets[14..])
}

pub(super) fn linux_sll(octets: &[u8]) -> Result<Link<'_>, Unparsed> {
    let ethertype = be16(octets, 14).ok_or(Unparsed::Short)?;
    typed(ethertype, &octets[16..])
}

pub(super) fn linux_sll2(octets: &[u8]) -> Result<Link<'_>, Unparsed> {
    let header = octets.get(..20).ok_or(Unparsed::Short)?;
    let ethertype = u16::from_be_bytes([header[0], header[1]]);
    let interface = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    Ok(Link { interface: Some(interface), ..typed(ethertype, &octets[20..])? })
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

/// Goes through the tags to what an EtherType announces.
#[inline]
fn typed(mut ethertype: u16, mut payload: &[u8]) -> Result<Link<'_>, Unparsed> {
    let mut link = Link::untagged(payload, 0);
    let mut tags = 0;
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
            _ => return Err(Unparsed::NotIp),
        }
        link.payload = payload;
        return Ok(link);
    }
}
