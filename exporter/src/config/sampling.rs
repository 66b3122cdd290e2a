//! `[sampling]`: which packets are metered.

use serde::Deserialize;
use service::config::Faults;

use crate::metering::Selector;

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
#[serde(deny_unknown_fields)]
pub struct Hash {
    /// Above 0, and at most 1.
    pub probability: f64,
    /// Exporters with the same number select the same packets.
    #[serde(default)]
    pub initialiser: u32,
}

const fn one() -> u32 {
    1
}

impl Sampling {
    /// Returns what it says.
    pub const fn selector(self) -> Selector {
        match self {
            Self::Systematic(Systematic { interval, space }) => Selector::Systematic { interval, space },
            Self::Random(Random { size, population }) => Selector::Random { size, population },
            Self::Uniform(Uniform { probability }) => Selector::Uniform { probability },
            Self::Hash(Hash { probability, initialiser }) => Selector::Hash { probability, initialiser },
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
            Self::Hash(Hash { probability, .. }) if improbable(probability) => {
                faults.add("sampling.hash.probability", odds);
            }
            Self::Systematic(_) | Self::Random(_) | Self::Uniform(_) | Self::Hash(_) => {}
        }
    }
}
