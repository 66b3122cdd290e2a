//! Pool member selection policy parameter (RFC 5354 section 3.8, RFC 5356 sections 4 and 5).
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
//!
//! Beside the nine policies of the RFC there are seven of the reference implementation's, in the range for
//! private use (RFC 5356 section 7.1). Those with a distance are the family of the delay measurement draft.

use std::fmt;

use super::ParameterType;
use crate::wire::unknown::Found;
use crate::wire::{EncodeError, WireError, writer};

/// A policy type (RFC 5356 section 7.1); bit 31 marks private ones, bit 30 adaptive ones.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PolicyType(pub u32);

/// A load or an increase of load: `0` is idle, `u32::MAX` is fully used (RFC 5356 section 3.1).
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

    /// Returns the load as a part of 1, to four places.
    pub fn share(self) -> f64 {
        (f64::from(self.0) / f64::from(u32::MAX) * 10_000.0).round() / 10_000.0
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}%", f64::from(self.0) * 100.0 / f64::from(u32::MAX))
    }
}

impl From<u32> for Load {
    fn from(share: u32) -> Load {
        Load(share)
    }
}

impl From<Load> for u32 {
    fn from(load: Load) -> u32 {
        load.0
    }
}

/// The fields of a policy in the order of the wire.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Fields {
    values: [u32; Fields::MAX],
    length: u8,
}

impl Fields {
    /// The most fields a policy has.
    pub(crate) const MAX: usize = 4;

    fn push(&mut self, value: u32) {
        self.values[usize::from(self.length)] = value;
        self.length += 1;
    }

    /// The fields, and zeros up to the most a policy has.
    pub(crate) const fn values(self) -> [u32; Fields::MAX] {
        self.values
    }

    /// The fields alone.
    pub(crate) fn as_slice(&self) -> &[u32] {
        &self.values[..usize::from(self.length)]
    }
}

/// Priority is a policy and its field.
fn write_field(
    f: &mut fmt::Formatter<'_>,
    policy: &str,
    field: &str,
    value: impl fmt::Display,
) -> fmt::Result {
    if field == policy {
        return write!(f, " {value}");
    }
    write!(f, " {} {value}", field.replace('_', "-"))
}

macro_rules! policies {
    ($($(#[$doc:meta])* $variant:ident, $name:ident = $value:literal, $text:literal
        $({ $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })?;)*
    ) => {
        impl PolicyType {
            $($(#[$doc])* pub const $name: PolicyType = PolicyType($value);)*

            /// The policies whose fields are known.
            pub const KNOWN: &'static [PolicyType] = &[$(PolicyType::$name),*];
        }

        impl fmt::Display for PolicyType {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match *self {
                    $(PolicyType::$name => $text,)*
                    PolicyType(other) => return write!(f, "policy {other:#010x}"),
                })
            }
        }

        /// A policy and its values for one pool element.
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum Policy {
            $($(#[$doc])* $variant $({ $($(#[$field_doc])* $field: $kind,)* })?,)*
            /// A policy we do not know, kept as it is.
            Other {
                /// Its type.
                policy_type: PolicyType,
                /// Its data.
                data: Vec<u8>,
            },
        }

        /// Prints the policy with its values: `weighted-round-robin weight 3`.
        impl fmt::Display for Policy {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.policy_type().fmt(f)?;
                match self {
                    $(Policy::$variant $({ $($field,)* })? => {
                        $($(write_field(f, $text, stringify!($field), $field)?;)*)?
                    })*
                    Policy::Other { .. } => {}
                }
                Ok(())
            }
        }

        impl Policy {
            /// Returns the policy's type.
            pub fn policy_type(&self) -> PolicyType {
                match self {
                    $(Policy::$variant $({ $($field: _,)* })? => PolicyType::$name,)*
                    Policy::Other { policy_type, .. } => *policy_type,
                }
            }

            /// Returns the fields, none of a policy we do not know.
            pub(crate) fn fields(&self) -> Fields {
                let mut fields = Fields::default();
                match self {
                    $(Policy::$variant $({ $($field,)* })? => { $($(fields.push(u32::from(*$field));)*)? })*
                    Policy::Other { .. } => {}
                }
                fields
            }

            /// Returns the policy with what `next` returns as its fields, or `None` when we do not know it.
            fn build<E>(
                policy_type: PolicyType,
                mut next: impl FnMut() -> Result<u32, E>,
            ) -> Result<Option<Policy>, E> {
                // A policy without fields does not ask for any.
                let _ = &mut next;
                Ok(Some(match policy_type {
                    $(PolicyType::$name => Policy::$variant $({ $($field: next()?.into(),)* })?,)*
                    PolicyType(_) => return Ok(None),
                }))
            }
        }
    };
}

policies! {
    /// In turn; the default (RFC 5356 section 4.1).
    RoundRobin, ROUND_ROBIN = 0x0000_0001, "round-robin";
    /// In turn, by weight (section 4.2).
    WeightedRoundRobin, WEIGHTED_ROUND_ROBIN = 0x0000_0002, "weighted-round-robin" {
        /// Share of the element; zero means no service.
        weight: u32,
    };
    /// By chance (section 4.3).
    Random, RANDOM = 0x0000_0003, "random";
    /// By chance, by weight (section 4.4).
    WeightedRandom, WEIGHTED_RANDOM = 0x0000_0004, "weighted-random" {
        /// Share of the element; zero means no service.
        weight: u32,
    };
    /// Highest priority first (section 4.5).
    Priority, PRIORITY = 0x0000_0005, "priority" {
        /// Larger is first.
        priority: u32,
    };
    /// Lowest load first (section 5.1).
    LeastUsed, LEAST_USED = 0x4000_0001, "least-used" {
        /// Load of the element.
        load: Load,
    };
    /// Lowest load first, each selection adding to it (section 5.2).
    LeastUsedDegradation, LEAST_USED_DEGRADATION = 0x4000_0002, "least-used-degradation" {
        /// Load of the element.
        load: Load,
        /// What one selection adds.
        degradation: Load,
    };
    /// Lowest sum of load and degradation first (section 5.3).
    PriorityLeastUsed, PRIORITY_LEAST_USED = 0x4000_0003, "priority-least-used" {
        /// Load of the element.
        load: Load,
        /// What one selection would add.
        degradation: Load,
    };
    /// By chance, weighted with the free capacity (section 5.4).
    RandomizedLeastUsed, RANDOMIZED_LEAST_USED = 0x4000_0004, "randomized-least-used" {
        /// Load of the element.
        load: Load,
    };
    /// By chance, weighted with what would be free after one selection (private).
    RandomizedPriorityLeastUsed, RANDOMIZED_PRIORITY_LEAST_USED = 0xb000_1001,
    "randomized-priority-least-used" {
        /// Load of the element.
        load: Load,
        /// What one selection would add.
        degradation: Load,
    };
    /// By chance, weighted with the free capacity, which each selection reduces (private).
    RandomizedLeastUsedDegradation, RANDOMIZED_LEAST_USED_DEGRADATION = 0xb000_1002,
    "randomized-least-used-degradation" {
        /// Load of the element.
        load: Load,
        /// What one selection adds.
        degradation: Load,
    };
    /// Lowest load after one more selection first, each selection adding to it (private).
    PriorityLeastUsedDegradation, PRIORITY_LEAST_USED_DEGRADATION = 0xb000_1003,
    "priority-least-used-degradation" {
        /// Load of the element.
        load: Load,
        /// What one selection adds.
        degradation: Load,
    };
    /// By chance, weighted with what would be free after one more selection, which each selection reduces
    /// (private).
    RandomizedPriorityLeastUsedDegradation, RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION = 0xb000_1004,
    "randomized-priority-least-used-degradation" {
        /// Load of the element.
        load: Load,
        /// What one selection adds.
        degradation: Load,
    };
    /// By chance, by weight, which the distance reduces (private).
    WeightedRandomDpf, WEIGHTED_RANDOM_DPF = 0xb000_2001, "weighted-random-dpf" {
        /// Share of the element; zero means no service.
        weight: u32,
        /// What a millisecond of distance takes of the weight, as a share of it: `u32::MAX` is all.
        weight_dpf: Load,
        /// Milliseconds to the element, filled in by registrars.
        distance: u32,
    };
    /// Lowest sum of load and distance first (private).
    LeastUsedDpf, LEAST_USED_DPF = 0xb000_2002, "least-used-dpf" {
        /// Load of the element.
        load: Load,
        /// What a millisecond of distance adds.
        load_dpf: Load,
        /// Milliseconds to the element, filled in by registrars.
        distance: u32,
    };
    /// Lowest sum of load and distance first, each selection adding to it (private).
    LeastUsedDegradationDpf, LEAST_USED_DEGRADATION_DPF = 0xb000_2003, "least-used-degradation-dpf" {
        /// Load of the element.
        load: Load,
        /// What one selection adds.
        degradation: Load,
        /// What a millisecond of distance adds.
        load_dpf: Load,
        /// Milliseconds to the element, filled in by registrars.
        distance: u32,
    };
}

impl Policy {
    /// Returns the policy of this type with these [`Fields::values`], which another one of it had.
    pub(crate) fn from_values(policy_type: PolicyType, values: [u32; Fields::MAX]) -> Policy {
        let mut values = values.into_iter();
        let built = Policy::build(policy_type, || values.next().ok_or(()));
        built.ok().flatten().unwrap_or(Policy::Other { policy_type, data: Vec::new() })
    }

    /// Returns the load the element told, for policies that have one.
    pub fn load(&self) -> Option<Load> {
        match self {
            Policy::LeastUsed { load }
            | Policy::LeastUsedDegradation { load, .. }
            | Policy::PriorityLeastUsed { load, .. }
            | Policy::RandomizedLeastUsed { load }
            | Policy::RandomizedPriorityLeastUsed { load, .. }
            | Policy::RandomizedLeastUsedDegradation { load, .. }
            | Policy::PriorityLeastUsedDegradation { load, .. }
            | Policy::RandomizedPriorityLeastUsedDegradation { load, .. }
            | Policy::LeastUsedDpf { load, .. }
            | Policy::LeastUsedDegradationDpf { load, .. } => Some(*load),
            Policy::RoundRobin
            | Policy::WeightedRoundRobin { .. }
            | Policy::Random
            | Policy::WeightedRandom { .. }
            | Policy::Priority { .. }
            | Policy::WeightedRandomDpf { .. }
            | Policy::Other { .. } => None,
        }
    }

    /// Sets the load, of policies that have one; returns whether this one has.
    pub fn set_load(&mut self, new: Load) -> bool {
        match self {
            Policy::LeastUsed { load }
            | Policy::LeastUsedDegradation { load, .. }
            | Policy::PriorityLeastUsed { load, .. }
            | Policy::RandomizedLeastUsed { load }
            | Policy::RandomizedPriorityLeastUsed { load, .. }
            | Policy::RandomizedLeastUsedDegradation { load, .. }
            | Policy::PriorityLeastUsedDegradation { load, .. }
            | Policy::RandomizedPriorityLeastUsedDegradation { load, .. }
            | Policy::LeastUsedDpf { load, .. }
            | Policy::LeastUsedDegradationDpf { load, .. } => *load = new,
            Policy::RoundRobin
            | Policy::WeightedRoundRobin { .. }
            | Policy::Random
            | Policy::WeightedRandom { .. }
            | Policy::Priority { .. }
            | Policy::WeightedRandomDpf { .. }
            | Policy::Other { .. } => return false,
        }
        true
    }

    /// Returns the distance to the element in milliseconds, of policies that have one.
    pub fn distance_mut(&mut self) -> Option<&mut u32> {
        match self {
            Policy::WeightedRandomDpf { distance, .. }
            | Policy::LeastUsedDpf { distance, .. }
            | Policy::LeastUsedDegradationDpf { distance, .. } => Some(distance),
            Policy::RoundRobin
            | Policy::WeightedRoundRobin { .. }
            | Policy::Random
            | Policy::WeightedRandom { .. }
            | Policy::Priority { .. }
            | Policy::LeastUsed { .. }
            | Policy::LeastUsedDegradation { .. }
            | Policy::PriorityLeastUsed { .. }
            | Policy::RandomizedLeastUsed { .. }
            | Policy::RandomizedPriorityLeastUsed { .. }
            | Policy::RandomizedLeastUsedDegradation { .. }
            | Policy::PriorityLeastUsedDegradation { .. }
            | Policy::RandomizedPriorityLeastUsedDegradation { .. }
            | Policy::Other { .. } => None,
        }
    }

    pub(crate) fn decode(found: &Found<'_>) -> Result<Policy, WireError> {
        let mut value = found.value.clone();
        let policy_type = PolicyType(value.u32()?);
        let policy = match Policy::build(policy_type, || value.u32())? {
            Some(policy) => policy,
            None => Policy::Other { policy_type, data: value.rest().to_vec() },
        };
        if value.left() > 0 {
            return Err(found.wrong_length());
        }
        Ok(policy)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::POLICY, |out| {
            out.extend(self.policy_type().0.to_be_bytes());
            for field in self.fields().as_slice() {
                out.extend(field.to_be_bytes());
            }
            if let Policy::Other { data, .. } = self {
                out.extend(data);
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
            Policy::RandomizedPriorityLeastUsed { load, degradation },
            Policy::RandomizedLeastUsedDegradation { load, degradation },
            Policy::PriorityLeastUsedDegradation { load, degradation },
            Policy::RandomizedPriorityLeastUsedDegradation { load, degradation },
            Policy::WeightedRandomDpf { weight: 9, weight_dpf: load, distance: 50 },
            Policy::LeastUsedDpf { load, load_dpf: degradation, distance: 50 },
            Policy::LeastUsedDegradationDpf { load, degradation, load_dpf: Load(1), distance: 50 },
            Policy::Other { policy_type: PolicyType(0xb000_2004), data: vec![1, 2, 3, 4, 5] },
        ] {
            let mut out = Vec::new();
            policy.encode(&mut out).unwrap();
            assert_eq!(decode(&out).unwrap(), policy);
            if !matches!(policy, Policy::Other { .. }) {
                assert!(PolicyType::KNOWN.contains(&policy.policy_type()));
                assert_eq!(Policy::from_values(policy.policy_type(), policy.fields().values()), policy);
            }
        }
    }

    #[test]
    fn a_least_used_policy_with_distance_has_these_octets() {
        let octets = [0, 8, 0, 0x14, 0xb0, 0, 0x20, 2, 0x80, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 20];
        let policy = decode(&octets).unwrap();
        assert_eq!(policy, Policy::LeastUsedDpf { load: Load(1 << 31), load_dpf: Load(3), distance: 20 });
        assert_eq!(policy.to_string(), "least-used-dpf load 50.0% load-dpf 0.0% distance 20");
        assert_eq!(Policy::Priority { priority: 9 }.to_string(), "priority 9");
        let mut out = Vec::new();
        policy.encode(&mut out).unwrap();
        assert_eq!(out, octets);
    }

    #[test]
    fn a_policy_that_lacks_a_field_is_refused() {
        assert!(decode(&[0, 8, 0, 0x0c, 0xb0, 0, 0x20, 2, 0x80, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_load_can_be_set_where_there_is_one() {
        let mut policy = Policy::LeastUsedDegradation { load: Load(1), degradation: Load(2) };
        assert!(policy.set_load(Load(7)));
        assert_eq!(policy.load(), Some(Load(7)));
        assert!(!Policy::Priority { priority: 1 }.set_load(Load(7)));
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
