//! Hash-based selection (RFC 5475 section 6.2): what stays the same along the path of a packet, and the hash function BOB over it.

use std::net::IpAddr;

use crate::capture::Packet;
use crate::packet::PacketView;

/// Which octets of the IP packet's payload are hashed (`hashIPPayloadOffset`, `hashIPPayloadSize`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HashedPayload {
    /// Octets left out before them; up to [`MAX_OFFSET`](Self::MAX_OFFSET).
    pub offset: u8,
    /// How many they are; from [`MIN_SIZE`](Self::MIN_SIZE) to [`MAX_SIZE`](Self::MAX_SIZE).
    pub size: u8,
}

impl HashedPayload {
    /// See [`offset`](Self::offset); bounds are those of RFC 5476 section 6.5.2.6.
    pub const MAX_OFFSET: u8 = 64;
    /// See [`size`](Self::size).
    pub const MIN_SIZE: u8 = 8;
    /// See [`size`](Self::size).
    pub const MAX_SIZE: u8 = 32;

    /// Returns them, or those of them that there are: what is missing is left out and not taken for zeroes.
    fn of(self, payload: &[u8]) -> &[u8] {
        let rest = payload.get(self.offset.into()..).unwrap_or_default();
        &rest[..rest.len().min(self.size.min(Self::MAX_SIZE).into())]
    }
}

impl Default for HashedPayload {
    /// The first 20 octets: a TCP header, or UDP's with some of what follows.
    fn default() -> Self {
        Self { offset: 0, size: 20 }
    }
}

/// Two addresses and a protocol, and the payload.
const INPUT: usize = 16 + 16 + 1 + HashedPayload::MAX_SIZE as usize;

/// Returns the hash of a packet; none if it cannot be parsed.
///
/// Of IPv4 identification, flags, fragment offset and addresses are hashed (RFC 5476 section 6.5.2.6). It says nothing of IPv6, which has
/// no identification: addresses, and the protocol behind the extension headers.
pub(super) fn hash(packet: &Packet<'_>, initialiser: u32, hashed: HashedPayload) -> Option<u32> {
    let (view, octets, headers) = PacketView::parse_with_octets(packet).ok()?;
    let mut input = [0; INPUT];
    let mut length = 0;
    let mut add = |octets: &[u8]| {
        input[length..length + octets.len()].copy_from_slice(octets);
        length += octets.len();
    };
    match (view.source, view.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            add(octets.get(4..8)?);
            add(&source.octets());
            add(&destination.octets());
        }
        (source, destination) => {
            for address in [source, destination] {
                match address {
                    IpAddr::V4(address) => add(&address.octets()),
                    IpAddr::V6(address) => add(&address.octets()),
                }
            }
            add(&[view.protocol]);
        }
    }
    add(hashed.of(octets.get(headers..).unwrap_or_default()));
    Some(bob(&input[..length], initialiser))
}

/// The hash function BOB (RFC 5475 appendix A.2; Bob Jenkins, "Hash functions for hash table lookup", 1997).
fn bob(octets: &[u8], initialiser: u32) -> u32 {
    const GOLDEN_RATIO: u32 = 0x9e37_79b9;
    let word = |octets: &[u8]| {
        let octets = octets.iter().rev();
        octets.fold(0, |word: u32, octet| word << 8 | u32::from(*octet))
    };
    let (mut a, mut b, mut c) = (GOLDEN_RATIO, GOLDEN_RATIO, initialiser);
    let (blocks, rest) = octets.as_chunks::<12>();
    for block in blocks {
        a = a.wrapping_add(word(&block[..4]));
        b = b.wrapping_add(word(&block[4..8]));
        c = c.wrapping_add(word(&block[8..]));
        (a, b, c) = mix(a, b, c);
    }
    let part = |from: usize| word(&rest[from.min(rest.len())..(from + 4).min(rest.len())]);
    a = a.wrapping_add(part(0));
    b = b.wrapping_add(part(4));
    // The lowest octet of c is the length's.
    c = c.wrapping_add(u32::try_from(octets.len()).unwrap_or(u32::MAX)).wrapping_add(part(8) << 8);
    mix(a, b, c).2
}

const fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    const ROUNDS: [(u32, u32, u32); 3] = [(13, 8, 13), (12, 16, 5), (3, 10, 15)];
    let mut round = 0;
    while round < ROUNDS.len() {
        let (x, y, z) = ROUNDS[round];
        a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> x);
        b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << y);
        c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> z);
        round += 1;
    }
    (a, b, c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::LinkType;

    /// Of Bob Jenkins' own program (lookup2.c, in the public domain), compiled from C.
    #[test]
    fn the_hash_is_bob_jenkins_own() {
        for (text, zero, other) in [
            ("", 0xbd49_d10d, 0xd8d9_c8ff),
            ("a", 0x29ee_c818, 0x4dcc_fb3d),
            ("abcdefghijk", 0xe52b_8e4c, 0xbc05_ba68),
            ("abcdefghijkl", 0x0b1b_3ea5, 0x7f81_a65d),
            ("abcdefghijklm", 0x3122_b031, 0x240e_865d),
            ("The quick brown fox jumps over the lazy dog", 0xfc15_58de, 0x04b1_55c0),
        ] {
            assert_eq!(bob(text.as_bytes(), 0), zero, "{text}");
            assert_eq!(bob(text.as_bytes(), 0x9a3f_9a3f), other, "{text}");
        }
    }

    /// UDP's header and 12 octets.
    const PAYLOAD: [u8; 20] = [0x9c, 0x40, 0, 53, 0, 20, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn ipv4() -> Vec<u8> {
        let header = [0x45, 0, 0, 40, 0x12, 0x34, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2];
        [header.as_slice(), &PAYLOAD].concat()
    }

    fn hashed(octets: &[u8], offset: u8, size: u8) -> Option<u32> {
        let packet = Packet {
            timestamp: 0,
            original_length: 60,
            octets,
            interface: 0,
            link: LinkType::RawIp,
            outgoing: false,
        };
        hash(&packet, 5, HashedPayload { offset, size })
    }

    /// The values are of the same program, over the fields that RFC 5476 section 6.5.2.6 names.
    #[test]
    fn of_a_packet_is_hashed_what_no_hop_changes() {
        assert_eq!(hashed(&ipv4(), 0, 20), Some(0x8f01_695e));
        assert_eq!(hashed(&ipv4(), 8, 8), Some(0x22ae_b416));
        assert_eq!(hashed(&ipv4(), 16, 8), Some(0x6463_5314), "four octets are there");
        let mut later = ipv4();
        // Class of service, time to live, header checksum; and padding behind the packet.
        (later[1], later[8], later[10]) = (0xb8, 61, 0xff);
        later.extend([0xee; 6]);
        assert_eq!(hashed(&later, 0, 32), hashed(&ipv4(), 0, 20), "no more octets are there");
        for (at, octet) in [(4, 0), (6, 0x20), (7, 1), (12, 10), (16, 10), (39, 0)] {
            let mut other = ipv4();
            other[at] = octet;
            assert_ne!(hashed(&other, 0, 20), hashed(&ipv4(), 0, 20), "octet {at}");
        }
    }

    #[test]
    fn of_ipv6_the_protocol_behind_extension_headers_is_hashed() {
        let address = |last| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let packet = |next, extension: &[u8]| {
            let length = u8::try_from(PAYLOAD.len() + extension.len()).unwrap();
            let header = [0x60, 0, 0, 0, 0, length, next, 64];
            [&header, address(1).as_slice(), &address(2), extension, &PAYLOAD].concat()
        };
        assert_eq!(hashed(&packet(17, &[]), 0, 20), Some(0xc917_a8c0));
        assert_eq!(hashed(&packet(0, &[17, 0, 5, 2, 0, 0, 0, 0]), 0, 20), Some(0xc917_a8c0));
    }
}
