//! Socket addresses as the octets the options of SCTP carry them in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Octets of `sockaddr_storage`.
pub(super) const STORAGE: usize = 128;
const V4: usize = 16;
const V6: usize = 28;

#[expect(clippy::cast_possible_truncation, reason = "2 and 10")]
const FAMILIES: (u16, u16) = (libc::AF_INET as u16, libc::AF_INET6 as u16);

/// A `sockaddr_in` or `sockaddr_in6`.
pub(super) fn encode(address: SocketAddr) -> Vec<u8> {
    let mut octets = Vec::with_capacity(V6);
    match address {
        SocketAddr::V4(address) => {
            octets.extend(FAMILIES.0.to_ne_bytes());
            octets.extend(address.port().to_be_bytes());
            octets.extend(address.ip().octets());
            octets.resize(V4, 0);
        }
        SocketAddr::V6(address) => {
            octets.extend(FAMILIES.1.to_ne_bytes());
            octets.extend(address.port().to_be_bytes());
            octets.extend(address.flowinfo().to_be_bytes());
            octets.extend(address.ip().octets());
            octets.extend(address.scope_id().to_ne_bytes());
        }
    }
    octets
}

/// The address at the start of `octets` and how many it takes. IPv4 mapped into IPv6 becomes IPv4.
pub(super) fn decode(octets: &[u8]) -> Option<(SocketAddr, usize)> {
    let family = u16::from_ne_bytes(octets.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?);
    if family == FAMILIES.0 {
        let ip: [u8; 4] = octets.get(..V4)?[4..8].try_into().ok()?;
        return Some((SocketAddr::new(Ipv4Addr::from(ip).into(), port), V4));
    }
    if family != FAMILIES.1 {
        return None;
    }
    let octets = octets.get(..V6)?;
    let ip: [u8; 16] = octets[8..24].try_into().ok()?;
    let scope = u32::from_ne_bytes(octets[24..28].try_into().ok()?);
    let address = match Ipv6Addr::from(ip).to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    };
    Some((address, V6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["127.0.0.1:4739", "[2001:db8::1]:9", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let octets = encode(address);
            assert_eq!(decode(&octets), Some((address, octets.len())), "{text}");
        }
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let octets = encode("[::ffff:192.0.2.1]:7".parse().unwrap());
        assert_eq!(decode(&octets), Some(("192.0.2.1:7".parse().unwrap(), V6)));
    }

    #[test]
    fn a_cut_or_foreign_address_is_none() {
        let octets = encode("127.0.0.1:1".parse().unwrap());
        assert_eq!(decode(&octets[..15]), None);
        assert_eq!(decode(&[0; 28]), None);
    }
}
