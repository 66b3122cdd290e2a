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
