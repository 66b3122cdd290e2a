//! The flow key: which packets belong together, and its hash.
//!
//! Keys are chosen by whoever sends packets, so the hash is keyed: NH (RFC 4418 section 5.2, with
//! 64-bit words), whose collisions cannot be computed without the key, then one keyed folding multiplication.

use super::Keys;
use super::record::FlowRecord;
use crate::packet::{PacketView, Segment, protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const WORDS: usize = 6;

/// Addresses, IP version, protocol, ports (ICMP type and code), both VLAN identifiers, the segment of a tunnel, interface.
#[derive(Clone, Copy, Debug, Eq)]
pub struct FlowKey([u64; WORDS]);

impl PartialEq for FlowKey {
    /// Without branches: nearly all comparisons are of equal keys, and the derived one calls `memcmp`.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |difference, (own, other)| difference | (own ^ other)) == 0
    }
}

impl FlowKey {
    /// Returns the key of a packet.
    #[inline]
    pub fn of(view: &PacketView) -> Self {
        let (source, destination, version) = match (view.source, view.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ([0, u64::from(source.to_bits())], [0, u64::from(destination.to_bits())], 4)
            }
            (source, destination) => (halves(source), halves(destination), 6),
        };
        let transport = u64::from(view.source_port) << 48
            | u64::from(view.destination_port) << 32
            | u64::from(view.protocol) << 24
            | u64::from(view.vlan_id & 0xfff) << 12
            | u64::from(view.customer_vlan_id & 0xfff);
        let origin = u64::from(view.segment.bits()) << 36 | version << 32 | u64::from(view.interface);
        Self([source[0], source[1], destination[0], destination[1], transport, origin])
    }

    /// Returns its first word.
    #[inline]
    pub(super) const fn word(&self) -> u64 {
        self.0[0]
    }

    /// Tells whether it is of an ICMP or ICMPv6 message, whose type and code are where others have a port.
    const fn is_icmp(&self) -> bool {
        const ICMP: u64 = protocol::ICMP as u64;
        const ICMPV6: u64 = protocol::ICMPV6 as u64;
        matches!(self.0[4] >> 24 & 0xff, ICMP | ICMPV6)
    }

    /// Returns the key of packets that go the other way. A message of ICMP has none that goes with it.
    pub(super) const fn reversed(&self) -> Self {
        let Self([source_high, source_low, high, low, transport, origin]) = *self;
        if self.is_icmp() {
            return *self;
        }
        let ports = transport >> 48 | (transport >> 32 & 0xffff) << 16;
        Self([high, low, source_high, source_low, ports << 32 | transport & 0xffff_ffff, origin])
    }

    /// Makes the same key of both directions; tells whether that is the other direction's.
    pub(super) fn orient(&mut self) -> bool {
        let other = self.reversed();
        let is_reversed = other.0[..5] < self.0[..5];
        if is_reversed {
            *self = other;
        }
        is_reversed
    }

    /// Puts the key's fields into a record.
    #[expect(clippy::cast_possible_truncation, reason = "takes the fields apart again")]
    pub(super) fn fill(&self, record: &mut FlowRecord) {
        let Self([source_high, source_low, high, low, transport, origin]) = *self;
        record.source = address(origin, source_high, source_low);
        record.destination = address(origin, high, low);
        record.source_port = (transport >> 48) as u16;
        record.destination_port = (transport >> 32) as u16;
        record.protocol = (transport >> 24) as u8;
        record.vlan_id = (transport >> 12) as u16 & 0xfff;
        record.customer_vlan_id = transport as u16 & 0xfff;
        record.segment = Segment::from_bits((origin >> 36) as u32);
        record.interface = origin as u32;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "splits 128 bits into two halves")]
fn halves(address: IpAddr) -> [u64; 2] {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}

#[expect(clippy::cast_possible_truncation, reason = "an IPv4 address is in the lower half of the word")]
fn address(origin: u64, high: u64, low: u64) -> IpAddr {
    if origin >> 32 & 0xf == 4 {
        IpAddr::V4(Ipv4Addr::from_bits(low as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
    }
}

/// Which bits of a key tell flows apart.
#[derive(Clone, Copy)]
pub(super) struct KeyMask {
    transport: u64,
    origin: u64,
}

impl KeyMask {
    pub(super) const fn new(keys: Keys) -> Self {
        const fn bits(on: bool, mask: u64) -> u64 {
            if on { mask } else { 0 }
        }
        let protocol = 0xff << 24;
        let version = 0xf << 32;
        Self {
            transport: bits(keys.ports, 0xffff_ffff << 32) | protocol | bits(keys.vlan, 0xff_ffff),
            origin: bits(keys.segment, 0x0fff_ffff << 36) | version | bits(keys.interface, 0xffff_ffff),
        }
    }

    pub(super) const fn apply(self, key: &mut FlowKey) {
        key.0[4] &= self.transport;
        key.0[5] &= self.origin;
    }
}

/// Hashes flow keys under a secret.
pub(super) struct KeyHasher([u64; WORDS + 2]);

impl KeyHasher {
    pub(super) fn new(mut seed: u64) -> Self {
        Self(std::array::from_fn(|_| {
            // splitmix64
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }))
    }

    #[inline]
    pub(super) fn hash(&self, key: &FlowKey) -> u64 {
        let secret = &self.0;
        let product = |at: usize| {
            u128::from(key.0[at].wrapping_add(secret[at]))
                * u128::from(key.0[at + 1].wrapping_add(secret[at + 1]))
        };
        let (low, high) = split(product(0).wrapping_add(product(2)).wrapping_add(product(4)));
        let (low, high) =
            split(u128::from(low.wrapping_add(secret[WORDS])) * u128::from(high ^ secret[WORDS + 1]));
        low ^ high
    }
}

#[expect(clippy::cast_possible_truncation, reason = "splits 128 bits into two halves")]
const fn split(bits: u128) -> (u64, u64) {
    (bits as u64, (bits >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_in_one_bit_hash_apart_under_every_seed() {
        for seed in 0..64 {
            let hasher = KeyHasher::new(seed);
            let key = FlowKey([1, 2, 3, 4, 5, 6]);
            let mut hashes = vec![hasher.hash(&key)];
            for bit in 0..WORDS * 64 {
                let mut other = key;
                other.0[bit / 64] ^= 1 << (bit % 64);
                hashes.push(hasher.hash(&other));
            }
            hashes.sort_unstable();
            hashes.dedup();
            assert_eq!(hashes.len(), 1 + WORDS * 64, "seed {seed}");
        }
    }

    #[test]
    fn the_hash_depends_on_the_seed() {
        let key = FlowKey([0; WORDS]);
        assert_ne!(KeyHasher::new(1).hash(&key), KeyHasher::new(2).hash(&key));
    }
}
