//! Which packets are metered at all: sampling and filtering before the meter (RFC 5475; names of RFC 5477).
//!
//! What is selected is metered as it is; nothing is multiplied here. Whoever reads the records scales them, by what the selector's
//! options record tells.

mod hash;

use std::ops::RangeInclusive;

use crate::capture::Packet;

pub use hash::HashedPayload;

/// How packets are selected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Selector {
    /// Some packets in a row, then some that are left out (`samplingPacketInterval`, `samplingPacketSpace`).
    Systematic {
        /// Packets selected in a row, at least 1.
        interval: u32,
        /// Packets left out after these.
        space: u32,
    },
    /// Of each `population` packets in a row, `size` at random (`samplingSize`, `samplingPopulation`).
    Random {
        /// Packets selected, from 1 to `population`.
        size: u32,
        /// Packets they are drawn from.
        population: u32,
    },
    /// Each with the same probability, whatever became of the others (`samplingProbability`).
    Uniform {
        /// Above 0, and at most 1.
        probability: f64,
    },
    /// Those whose hash is small enough: the same packets wherever they pass with the same settings (`selectorAlgorithm` BOB). Packets
    /// that cannot be parsed are left out.
    Hash {
        /// The part of all packets that is selected: above 0, and at most 1.
        probability: f64,
        /// `hashInitialiserValue`.
        initialiser: u32,
        /// What of the payload is hashed.
        payload: HashedPayload,
    },
}

impl Selector {
    /// Returns `selectorAlgorithm` (IANA's "PSAMP Parameters").
    pub const fn algorithm(self) -> u16 {
        match self {
            Self::Systematic { .. } => 1,
            Self::Random { .. } => 3,
            Self::Uniform { .. } => 4,
            Self::Hash { .. } => 6,
        }
    }

    /// Returns which hashes are selected (`hashSelectedRangeMin`, `hashSelectedRangeMax`), of all 32-bit numbers; none where there is no
    /// hash.
    pub fn selected_range(self) -> Option<RangeInclusive<u32>> {
        match self {
            Self::Hash { probability, .. } => {
                let last = part(probability, u32::MAX.into());
                Some(0..=u32::try_from(last).unwrap_or(u32::MAX))
            }
            Self::Systematic { .. } | Self::Random { .. } | Self::Uniform { .. } => None,
        }
    }
}

/// Returns `probability * (max + 1) - 1`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "saturates"
)]
fn part(probability: f64, max: u64) -> u64 {
    ((probability * (max as f64 + 1.0)) as u64).saturating_sub(1).min(max)
}

/// Selects packets, and counts them.
#[derive(Clone, Debug)]
pub struct Sampler {
    selector: Selector,
    /// Of the packets in a row, how many went by; and how many were selected.
    position: u64,
    taken: u64,
    random: u64,
    observed: u64,
    selected: u64,
}

impl Sampler {
    /// Returns a sampler that has seen nothing; `seed` should be random, so that nobody can send between the samples.
    pub const fn new(selector: Selector, seed: u64) -> Self {
        Self { selector, position: 0, taken: 0, random: seed, observed: 0, selected: 0 }
    }

    /// Returns how packets are selected.
    pub const fn selector(&self) -> Selector {
        self.selector
    }

    /// Returns `selectorIdTotalPktsObserved`.
    pub const fn observed(&self) -> u64 {
        self.observed
    }

    /// Returns `selectorIdTotalPktsSelected`.
    pub const fn selected(&self) -> u64 {
        self.selected
    }

    /// Tells whether the next packet is selected.
    pub fn select(&mut self, packet: &Packet<'_>) -> bool {
        let is_selected = match self.selector {
            Selector::Systematic { interval, space } => {
                let position = self.next_of(u64::from(interval) + u64::from(space));
                position < u64::from(interval)
            }
            Selector::Random { size, population } => self.is_drawn(size.into(), population.into()),
            Selector::Uniform { probability } => self.draw() <= part(probability, u64::MAX),
            Selector::Hash { initialiser, payload, .. } => {
                let hash = hash::hash(packet, initialiser, payload);
                hash.zip(self.selector.selected_range()).is_some_and(|(hash, range)| range.contains(&hash))
            }
        };
        self.observed += 1;
        self.selected += u64::from(is_selected);
        is_selected
    }

    /// Returns the position of the next packet among so many in a row, from 0.
    const fn next_of(&mut self, all: u64) -> u64 {
        let position = self.position;
        self.position = if position + 1 == all { 0 } else { position + 1 };
        position
    }

    /// Draws without replacement: each of the packets that are left is as likely, and exactly `size` come out (Knuth's algorithm S).
    fn is_drawn(&mut self, size: u64, population: u64) -> bool {
        let position = self.next_of(population);
        if position == 0 {
            self.taken = 0;
        }
        let is_drawn = self.below(population - position) < size - self.taken;
        self.taken += u64::from(is_drawn);
        is_drawn
    }

    /// Returns a random number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }

    /// splitmix64.
    const fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::LinkType;

    /// An IPv4 packet with UDP and 12 octets that tell its number.
    fn octets(number: u32, ttl: u8) -> Vec<u8> {
        let mut octets = vec![0x45, 0, 0, 40, 0, 0, 0, 0, ttl, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        octets.extend([0x9c, 0x40, 0, 53, 0, 20, 0, 0]);
        octets.extend(number.to_be_bytes());
        octets.extend([0; 8]);
        octets
    }

    fn packet(octets: &[u8]) -> Packet<'_> {
        Packet {
            timestamp: 0,
            original_length: 40,
            octets,
            interface: 0,
            link: LinkType::RawIp,
            outgoing: false,
        }
    }

    fn hashed(probability: f64, initialiser: u32) -> Selector {
        Selector::Hash { probability, initialiser, payload: HashedPayload::default() }
    }

    /// Which of so many packets are selected.
    fn selected(selector: Selector, packets: u32, seed: u64) -> Vec<u32> {
        let mut sampler = Sampler::new(selector, seed);
        let chosen: Vec<u32> =
            (0..packets).filter(|number| sampler.select(&packet(&octets(*number, 64)))).collect();
        assert_eq!((sampler.observed(), sampler.selected()), (packets.into(), chosen.len() as u64));
        chosen
    }

    #[test]
    fn systematic_sampling_takes_some_in_a_row_and_leaves_some_out() {
        let selector = Selector::Systematic { interval: 2, space: 3 };
        assert_eq!(selected(selector, 12, 1), [0, 1, 5, 6, 10, 11]);
        assert_eq!(selected(Selector::Systematic { interval: 1, space: 0 }, 5, 1).len(), 5);
        assert_eq!(selector.algorithm(), 1);
    }

    #[test]
    fn random_sampling_takes_exactly_so_many_of_each_population() {
        let selector = Selector::Random { size: 3, population: 100 };
        for seed in 0..20 {
            let chosen = selected(selector, 1_000, seed);
            for block in 0..10 {
                assert_eq!(chosen.iter().filter(|number| *number / 100 == block).count(), 3, "seed {seed}");
            }
        }
        assert_ne!(selected(selector, 1_000, 1), selected(selector, 1_000, 2));
        // Every place of the population comes up.
        let places: std::collections::BTreeSet<u32> =
            selected(selector, 100_000, 1).iter().map(|number| number % 100).collect();
        assert_eq!(places.len(), 100);
    }

    #[test]
    fn uniform_sampling_takes_the_part_it_is_told() {
        let chosen = selected(Selector::Uniform { probability: 0.1 }, 100_000, 7).len();
        // Five standard deviations.
        assert!(chosen.abs_diff(10_000) < 475, "{chosen}");
        assert_eq!(selected(Selector::Uniform { probability: 1.0 }, 1_000, 7).len(), 1_000);
    }

    #[test]
    fn hash_based_sampling_takes_the_same_packets_everywhere() {
        let selector = hashed(0.1, 5);
        let (mut here, mut there) = (Sampler::new(selector, 1), Sampler::new(selector, 2));
        for number in 0..10_000 {
            let both =
                [here.select(&packet(&octets(number, 64))), there.select(&packet(&octets(number, 61)))];
            assert_eq!(both[0], both[1], "packet {number}, three hops on");
        }
        assert!(here.selected().abs_diff(1_000) < 150, "{}", here.selected());
        let other = hashed(0.1, 6);
        assert_ne!(selected(selector, 1_000, 1), selected(other, 1_000, 1));
        assert_eq!(selector.selected_range(), Some(0..=429_496_728));
    }

    #[test]
    fn a_packet_that_cannot_be_parsed_has_no_hash() {
        let mut sampler = Sampler::new(hashed(1.0, 0), 1);
        assert!(!sampler.select(&packet(&[0x45])) && sampler.select(&packet(&octets(1, 1))));
        assert_eq!((sampler.observed(), sampler.selected()), (2, 1));
    }
}
