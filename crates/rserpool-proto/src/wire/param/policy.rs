//! Pool member selection policy parameter (RFC 5354 section 3.8, RFC 5356 section 4).
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x0008         |            Length             |
//! +-------------------------------+-------------------------------+
//! |                          Policy Type                          |
//! +---------------------------------------------------------------+
//! :               Policy data: 32-bit unsigned fields             :
//! +---------------------------------------------------------------+
//! ```

use std::fmt;

use super::ParameterType;
use crate::wire::unknown::Found;
use crate::wire::{EncodeError, WireError, writer};

/// A policy type (RFC 5356 section 5.1); bit 31 marks private ones, bit 30 adaptive ones.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PolicyType(pub u32);

impl PolicyType {
    /// Round Robin.
    pub const ROUND_ROBIN: PolicyType = PolicyType(0x0000_0001);
    /// Weighted Round Robin.
    pub const WEIGHTED_ROUND_ROBIN: PolicyType = PolicyType(0x0000_0002);
    /// Random.
    pub const RANDOM: PolicyType = PolicyType(0x0000_0003);
    /// Weighted Random.
    pub const WEIGHTED_RANDOM: PolicyType = PolicyType(0x0000_0004);
    /// Priority.
    pub const PRIORITY: PolicyType = PolicyType(0x0000_0005);
    /// Least Used.
    pub const LEAST_USED: PolicyType = PolicyType(0x4000_0001);
    /// Least Used with Degradation.
    pub const LEAST_USED_DEGRADATION: PolicyType = PolicyType(0x4000_0002);
    /// Priority Least Used.
    pub const PRIORITY_LEAST_USED: PolicyType = PolicyType(0x4000_0003);
    /// Randomized Least Used.
    pub const RANDOMIZED_LEAST_USED: PolicyType = PolicyType(0x4000_0004);
}

impl fmt::Display for PolicyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            PolicyType::ROUND_ROBIN => "round-robin",
            PolicyType::WEIGHTED_ROUND_ROBIN => "weighted-round-robin",
            PolicyType::RANDOM => "random",
            PolicyType::WEIGHTED_RANDOM => "weighted-random",
            PolicyType::PRIORITY => "priority",
            PolicyType::LEAST_USED => "least-used",
            PolicyType::LEAST_USED_DEGRADATION => "least-used-degradation",
            PolicyType::PRIORITY_LEAST_USED => "priority-least-used",
            PolicyType::RANDOMIZED_LEAST_USED => "randomized-least-used",
            PolicyType(other) => return write!(f, "policy {other:#010x}"),
        })
    }
}

/// A load or an increase of load: `0` is idle, `u32::MAX` is fully used (RFC 5356 section 4.6.4).
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Load(pub u32);

impl Load {
    /// Fully used.
    pub const FULL: Load = Load(u32::MAX);

    /// Returns `used` of `capacity` as a load; more than the capacity, or no capacity, is full.
    pub fn of(used: u64, capacity: u64) -> Load {
        if used >= capacity {
            return Load::FULL;
        }
        let share = u128::from(used) * u128::from(u32::MAX) / u128::from(capacity);
        Load(u32::try_from(share).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}%", f64::from(self.0) * 100.0 / f64::from(u32::MAX))
    }
}

/// A policy and its values for one pool element.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Policy {
    /// In turn; the default (RFC 5356 section 4.1).
    RoundRobin,
    /// In turn, by weight (section 4.2).
    WeightedRoundRobin {
        /// Share of the element; zero means no service.
        weight: u32,
    },
    /// By chance (section 4.3).
    Random,
    /// By chance, by weight (section 4.4).
    WeightedRandom {
        /// Share of the element; zero means no service.
        weight: u32,
    },
    /// Highest priority first (section 4.5).
    Priority {
        /// Larger is first.
        priority: u32,
    },
    /// Lowest load first (section 4.6).
    LeastUsed {
        /// Load of the element.
        load: Load,
    },
    /// Lowest load first, each selection adding to it (section 4.7).
    LeastUsedDegradation {
        /// Load of the element.
        load: Load,
        /// What one selection adds.
        degradation: Load,
    },
    /// Lowest sum of load and degradation first (section 4.8).
    PriorityLeastUsed {
        /// Load of the element.
        load: Load,
        /// What one selection would add.
        degradation: Load,
    },
    /// By chance, weighted with the free capacity (section 4.9).
    RandomizedLeastUsed {
        /// Load of the element.
        load: Load,
    },
    /// A policy we do not know, kept as it is.
    Other {
        /// Its type.
        policy_type: PolicyType,
        /// Its data.
        data: Vec<u8>,
    },
}

impl Policy {
    /// Returns the policy's type.
    pub fn policy_type(&self) -> PolicyType {
        match self {
            Policy::RoundRobin => PolicyType::ROUND_ROBIN,
            Policy::WeightedRoundRobin { .. } => PolicyType::WEIGHTED_ROUND_ROBIN,
            Policy::Random => PolicyType::RANDOM,
            Policy::WeightedRandom { .. } => PolicyType::WEIGHTED_RANDOM,
            Policy::Priority { .. } => PolicyType::PRIORITY,
            Policy::LeastUsed { .. } => PolicyType::LEAST_USED,
            Policy::LeastUsedDegradation { .. } => PolicyType::LEAST_USED_DEGRADATION,
            Policy::PriorityLeastUsed { .. } => PolicyType::PRIORITY_LEAST_USED,
            Policy::RandomizedLeastUsed { .. } => PolicyType::RANDOMIZED_LEAST_USED,
            Policy::Other { policy_type, .. } => *policy_type,
        }
    }

    pub(crate) fn decode(found: &Found<'_>) -> Result<Policy, WireError> {
        let mut value = found.value.clone();
        let policy_type = PolicyType(value.u32()?);
        let mut field = || value.u32();
        let policy = match policy_type {
            PolicyType::ROUND_ROBIN => Policy::RoundRobin,
            PolicyType::WEIGHTED_ROUND_ROBIN => Policy::WeightedRoundRobin { weight: field()? },
            PolicyType::RANDOM => Policy::Random,
            PolicyType::WEIGHTED_RANDOM => Policy::WeightedRandom { weight: field()? },
            PolicyType::PRIORITY => Policy::Priority { priority: field()? },
            PolicyType::LEAST_USED => Policy::LeastUsed { load: Load(field()?) },
            PolicyType::LEAST_USED_DEGRADATION => {
                Policy::LeastUsedDegradation { load: Load(field()?), degradation: Load(field()?) }
            }
            PolicyType::PRIORITY_LEAST_USED => {
                Policy::PriorityLeastUsed { load: Load(field()?), degradation: Load(field()?) }
            }
            PolicyType::RANDOMIZED_LEAST_USED => Policy::RandomizedLeastUsed { load: Load(field()?) },
            other => Policy::Other { policy_type: other, data: value.rest().to_vec() },
        };
        if value.left() > 0 {
            return Err(found.wrong_length());
        }
        Ok(policy)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::POLICY, |out| {
            out.extend(self.policy_type().0.to_be_bytes());
            match self {
                Policy::RoundRobin | Policy::Random => {}
                Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => {
                    out.extend(weight.to_be_bytes());
                }
                Policy::Priority { priority } => out.extend(priority.to_be_bytes()),
                Policy::LeastUsed { load } | Policy::RandomizedLeastUsed { load } => {
                    out.extend(load.0.to_be_bytes());
                }
                Policy::LeastUsedDegradation { load, degradation }
                | Policy::PriorityLeastUsed { load, degradation } => {
                    out.extend(load.0.to_be_bytes());
                    out.extend(degradation.0.to_be_bytes());
                }
                Policy::Other { data, .. } => out.extend(data),
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::reader::Reader;
    use crate::wire::unknown::{Report, parameters};

    fn decode(octets: &[u8]) -> Result<Policy, WireError> {
        let mut policy = None;
        parameters(Reader::new(octets), &mut Report::default(), |found, _| {
            found.once(&mut policy, Policy::decode(found)?)
        })?;
        Ok(policy.unwrap())
    }

    #[test]
    fn a_captured_least_used_policy_decodes() {
        let captured = [0, 8, 0, 0x0c, 0x40, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(decode(&captured).unwrap(), Policy::LeastUsed { load: Load(0) });
    }

    #[test]
    fn every_policy_survives_encoding_and_decoding() {
        let (load, degradation) = (Load(0x1234_5678), Load(7));
        for policy in [
            Policy::RoundRobin,
            Policy::WeightedRoundRobin { weight: 3 },
            Policy::Random,
            Policy::WeightedRandom { weight: 0 },
            Policy::Priority { priority: u32::MAX },
            Policy::LeastUsed { load },
            Policy::LeastUsedDegradation { load, degradation },
            Policy::PriorityLeastUsed { load, degradation },
            Policy::RandomizedLeastUsed { load },
            Policy::Other { policy_type: PolicyType(0xb000_2002), data: vec![1, 2, 3, 4, 5] },
        ] {
            let mut out = Vec::new();
            policy.encode(&mut out).unwrap();
            assert_eq!(decode(&out).unwrap(), policy);
        }
    }

    #[test]
    fn a_round_robin_policy_with_data_is_refused_with_its_offset() {
        let error = decode(&[0, 8, 0, 0x0c, 0, 0, 0, 1, 0, 0, 0, 0]).unwrap_err();
        assert_eq!(error, WireError::ParameterLength { offset: 0, kind: ParameterType::POLICY, length: 12 });
    }

    #[test]
    fn a_load_is_a_share_of_the_largest_number() {
        assert_eq!(Load::of(0, 100), Load(0));
        assert_eq!(Load::of(50, 100).to_string(), "50.0%");
        assert_eq!(Load::of(200, 100), Load::FULL);
        assert_eq!(Load::of(0, 0), Load::FULL);
    }
}
