//! Ports of fragments: the first fragment of a packet has them (RFC 791 section 2.3, RFC 8200 section 4.5), the later ones only an
//! identification.
//!
//! What first fragments tell is remembered in a table of fixed size, so that a flood of them costs nothing but the memory of
//! others. A later fragment that comes before its first, or after it was forgotten, keeps its ports of zero and is counted.

use super::PacketView;
use std::net::IpAddr;

/// How long a packet's fragments are on their way at most: as long as Linux waits for them, in nanoseconds.
const LIFETIME: u64 = 30_000_000_000;
/// Sets of the table, a power of two.
const SETS: usize = 1_024;
/// Packets of one set; the oldest makes room.
const WAYS: usize = 4;

/// What the fragments of one packet have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    /// Of IPv4; in IPv6 fragments may begin with different headers.
    protocol: u8,
    vlan_id: u16,
    customer_vlan_id: u16,
    segment: u32,
    interface: u32,
}

/// A first fragment.
#[derive(Clone, Copy, Debug)]
struct First {
    key: Key,
    seen: u64,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
}

/// The first fragments seen of late.
#[derive(Debug)]
pub struct Fragments {
    /// Empty until the first one, then [`SETS`] sets.
    sets: Vec<[Option<First>; WAYS]>,
    seed: u64,
    unknown: u64,
}

impl Fragments {
    /// Remembers nothing yet; `seed` should be random, it keeps the places in the table unguessable.
    pub const fn new(seed: u64) -> Self {
        Self { sets: Vec::new(), seed, unknown: 0 }
    }

    /// Returns how many later fragments came whose first one was not known.
    pub const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Remembers a first fragment seen at `timestamp` (in nanoseconds), or gives a later one what its first told: the protocol
    /// and the ports.
    #[cold]
    pub fn resolve(&mut self, view: &mut PacketView, timestamp: u64) {
        let Some(identification) = view.fragment else { return };
        let key = Key::of(view, identification);
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let set = key.hash(self.seed) as usize % SETS;
        if view.later_fragment {
            let found = self.sets.get(set).and_then(|set| {
                set.iter().flatten().find(|first| first.key == key && first.is_fresh(timestamp))
            });
            match found {
                Some(first) => {
                    view.protocol = first.protocol;
                    (view.source_port, view.destination_port) = (first.source_port, first.destination_port);
                }
                None => self.unknown += 1,
            }
            return;
        }
        if self.sets.is_empty() {
            self.sets = vec![[None; WAYS]; SETS];
        }
        let PacketView { protocol, source_port, destination_port, .. } = *view;
        let first = First { key, seen: timestamp, protocol, source_port, destination_port };
        // The same packet's, for instance on another way; an empty place; the oldest one's.
        let place = self.sets[set].iter_mut().min_by_key(|place| match place {
            Some(other) if other.key == key => (0, 0),
            None => (1, 0),
            Some(other) => (2, other.seen),
        });
        if let Some(place) = place {
            *place = Some(first);
        }
    }
}

impl First {
    /// Packets of several interfaces may come a little out of order.
    const fn is_fresh(&self, now: u64) -> bool {
        now.abs_diff(self.seen) <= LIFETIME
    }
}

impl Key {
    fn of(view: &PacketView, identification: u32) -> Self {
        Self {
            source: view.source,
            destination: view.destination,
            identification,
            protocol: if view.source.is_ipv4() { view.protocol } else { 0 },
            vlan_id: view.vlan_id,
            customer_vlan_id: view.customer_vlan_id,
            segment: view.segment.bits(),
            interface: view.interface,
        }
    }

    /// Keyed folding multiplications.
    #[expect(clippy::cast_possible_truncation, reason = "takes apart")]
    fn hash(&self, seed: u64) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let bits = |address| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let (source, destination) = (bits(self.source), bits(self.destination));
        let words = [
            source as u64,
            (source >> 64) as u64,
            destination as u64,
            (destination >> 64) as u64,
            u64::from(self.identification) << 32 | u64::from(self.interface),
            u64::from(self.segment) << 32 | u64::from(self.vlan_id) << 16 | u64::from(self.protocol),
        ];
        words.iter().fold(seed, |hash, word| {
            let product = u128::from(hash ^ word) * u128::from(seed.rotate_left(32) ^ ODD | 1);
            (product >> 64) as u64 ^ product as u64 ^ ODD
        })
    }
}

#[cfg(test)]
mod tests;
