//! `[sampling]`: which packets are metered.

use std::ops::RangeInclusive;

use serde::Deserialize;
use service::config::Faults;

use crate::metering::Selector;
use crate::metering::sampling::HashedPayload;

/// `[sampling]`: one of these.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Some packets in a row, then some that are left out.
    Systematic(Systematic),
    /// So many of each so many packets, at random.
    Random(Random),
    /// Each packet with a probability.
    Uniform(Uniform),
    /// Those with a small hash.
    Hash(Hash),
}

/// `systematic = { interval = 1, space = 99 }`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Systematic {
    /// Packets selected in a row.
    #[serde(default = "one")]
    pub interval: u32,
    /// Packets left out after these.
    pub space: u32,
}

/// `random = { size = 1, population = 100 }`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// Packets selected.
    #[serde(default = "one")]
    pub size: u32,
    /// Packets they are drawn from.
    pub population: u32,
}

/// `uniform = { probability = 0.01 }`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// Above 0, and at most 1.
    pub probability: f64,
}

/// `hash = { probability = 0.01 }`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Hash {
    /// Above 0, and at most 1.
    pub probability: f64,
    /// Exporters with the same number select the same packets.
    #[serde(default)]
    pub initialiser: u32,
    /// Where the octets of the IP payload begin that are hashed.
    #[serde(default = "offset")]
    pub payload_offset: u8,
    /// How many they are.
    #[serde(default = "size")]
    pub payload_size: u8,
}

const fn one() -> u32 {
    1
}

fn offset() -> u8 {
    HashedPayload::default().offset
}

fn size() -> u8 {
    HashedPayload::default().size
}

impl Sampling {
    /// Returns what it says.
    pub const fn selector(self) -> Selector {
        match self {
            Self::Systematic(Systematic { interval, space }) => Selector::Systematic { interval, space },
            Self::Random(Random { size, population }) => Selector::Random { size, population },
            Self::Uniform(Uniform { probability }) => Selector::Uniform { probability },
            Self::Hash(Hash { probability, initialiser, payload_offset, payload_size }) => Selector::Hash {
                probability,
                initialiser,
                payload: HashedPayload { offset: payload_offset, size: payload_size },
            },
        }
    }

    pub(super) fn validate(self, faults: &mut Faults) {
        // Not a number is refused, too.
        let improbable = |probability| !(probability > 0.0 && probability <= 1.0);
        let odds = "must be above 0 and at most 1";
        match self {
            Self::Systematic(Systematic { interval: 0, .. }) => {
                faults.add("sampling.systematic.interval", "must be at least 1");
            }
            Self::Random(Random { size, population }) if size == 0 || size > population => {
                faults.add("sampling.random.size", "must be from 1 to `population`");
            }
            Self::Uniform(Uniform { probability }) if improbable(probability) => {
                faults.add("sampling.uniform.probability", odds);
            }
            Self::Hash(hash) => hash.validate(improbable(hash.probability).then_some(odds), faults),
            Self::Systematic(_) | Self::Random(_) | Self::Uniform(_) => {}
        }
    }
}

impl Hash {
    /// `odds` is what is wrong with the probability.
    fn validate(self, odds: Option<&str>, faults: &mut Faults) {
        const MAX_OFFSET: u8 = HashedPayload::MAX_OFFSET;
        const SIZES: RangeInclusive<u8> = HashedPayload::MIN_SIZE..=HashedPayload::MAX_SIZE;
        if let Some(odds) = odds {
            faults.add("sampling.hash.probability", odds);
        }
        if self.payload_offset > MAX_OFFSET {
            faults.add("sampling.hash.payload-offset", format!("must be at most {MAX_OFFSET}"));
        }
        if !SIZES.contains(&self.payload_size) {
            let (least, most) = SIZES.into_inner();
            faults.add("sampling.hash.payload-size", format!("must be from {least} to {most}"));
        }
    }
}
