//! The member selection policy of a pool (RFC 5356), as configured: `policy.NAME = { ... }`.

use rserpool::{Load, Policy as Wire};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// One policy, by its name, and this collector's values for it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// In turn (RFC 5356 section 4.1). The default.
    RoundRobin(Nothing),
    /// In turn, by weight (section 4.2).
    WeightedRoundRobin(Weighted),
    /// By chance (section 4.3).
    Random(Nothing),
    /// By chance, by weight (section 4.4).
    WeightedRandom(Weighted),
    /// The highest priority (section 4.5).
    Priority(Prioritised),
    /// The lowest load (section 5.1).
    LeastUsed(Loaded),
    /// The lowest load, where each selection counts (section 5.2).
    LeastUsedDegradation(Degrading),
    /// The lowest load after one selection more (section 5.3).
    PriorityLeastUsed(Degrading),
    /// By chance, by what is free (section 5.4).
    RandomizedLeastUsed(Loaded),
    /// By chance, by what one selection more would leave free (of the reference implementation).
    RandomizedPriorityLeastUsed(Degrading),
    /// By chance, by what is free, where each selection counts (of the reference implementation).
    RandomizedLeastUsedDegradation(Degrading),
    /// The lowest load after one selection more, where each counts (of the reference implementation).
    PriorityLeastUsedDegradation(Degrading),
    /// By chance, by what one selection more would leave free, where each counts (of the reference implementation).
    RandomizedPriorityLeastUsedDegradation(Degrading),
    /// By chance, by weight, less with distance (of the reference implementation).
    WeightedRandomDpf(WeightedDistant),
    /// The lowest load and distance (of the reference implementation).
    LeastUsedDpf(Distant),
    /// The lowest load and distance, where each selection counts (of the reference implementation).
    LeastUsedDegradationDpf(DegradingDistant),
}

/// Reads a table with one policy; two are refused in words an operator understands.
pub(crate) fn one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
    struct One;

    impl<'de> Visitor<'de> for One {
        type Value = Policy;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a policy, such as `policy.round-robin = {}`")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut policies: A) -> Result<Policy, A::Error> {
            let policy = Policy::deserialize(MapAccessDeserializer::new(&mut policies))?;
            match policies.next_key::<IgnoredAny>()? {
                None => Ok(policy),
                Some(_) => Err(A::Error::custom("a pool has one policy, and here are more")),
            }
        }
    }

    deserializer.deserialize_map(One)
}

impl Default for Policy {
    fn default() -> Self {
        Policy::RoundRobin(Nothing {})
    }
}

/// Has no settings.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// This collector's share.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Weighted {
    /// Related to that of the others; 0 is never chosen.
    pub weight: u32,
}

/// This collector's rank.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Prioritised {
    /// Larger is first.
    pub priority: u32,
}

/// What load is measured by.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum LoadSource {
    /// Records received in a second, of the capacity.
    #[default]
    Rate,
    /// Octets waiting in the fullest output's queue, of the queue's size.
    Queue,
}

macro_rules! loaded {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident = $default:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub struct $name {
            /// What load is measured by.
            pub load: LoadSource,
            /// Records per second that count as full load.
            pub capacity: u32,
            $($(#[$field_doc])* pub $field: Percent,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { load: LoadSource::Rate, capacity: 100_000, $($field: Percent::of_millionths($default),)* }
            }
        }
    };
}

loaded! {
    /// A policy by load.
    Loaded {}
}

loaded! {
    /// A policy by load and what an exporter more adds to it.
    Degrading {
        /// What one selection adds.
        degradation = 10_000,
    }
}

loaded! {
    /// A policy by load and distance.
    Distant {
        /// What a millisecond of distance adds.
        load_dpf = 1_000,
    }
}

loaded! {
    /// A policy by load, what an exporter more adds to it, and distance.
    DegradingDistant {
        /// What one selection adds.
        degradation = 10_000,
        /// What a millisecond of distance adds.
        load_dpf = 1_000,
    }
}

/// A share that distance reduces.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WeightedDistant {
    /// Related to that of the others; 0 is never chosen.
    pub weight: u32,
    /// What a millisecond of distance takes of it.
    pub weight_dpf: Percent,
}

impl Default for Weighted {
    fn default() -> Self {
        Self { weight: 1 }
    }
}

impl Default for WeightedDistant {
    fn default() -> Self {
        Self { weight: 1, weight_dpf: Percent::of_millionths(1_000) }
    }
}

/// A share of full load: `"5%"`, `"0.1%"`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Percent(Load);

impl Percent {
    fn of_millionths(millionths: u64) -> Self {
        Self(Load::of(millionths, 1_000_000))
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = || format!("{text:?} is no share from \"0%\" to \"100%\", such as \"5%\" or \"0.1%\"");
        let number = text.strip_suffix('%').ok_or_else(wrong)?.trim();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.len() <= 4 && part.bytes().all(|digit| digit.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(wrong());
        }
        let millionths: u64 = format!("{whole}{fraction:0<4}").parse().map_err(|_| wrong())?;
        if millionths > 1_000_000 { Err(wrong()) } else { Ok(Self::of_millionths(millionths)) }
    }
}

impl Policy {
    /// Returns what is registered, before load is measured.
    pub(crate) fn wire(&self) -> Wire {
        let load = Load::default();
        match *self {
            Policy::RoundRobin(_) => Wire::RoundRobin,
            Policy::WeightedRoundRobin(Weighted { weight }) => Wire::WeightedRoundRobin { weight },
            Policy::Random(_) => Wire::Random,
            Policy::WeightedRandom(Weighted { weight }) => Wire::WeightedRandom { weight },
            Policy::Priority(Prioritised { priority }) => Wire::Priority { priority },
            Policy::LeastUsed(_) => Wire::LeastUsed { load },
            Policy::LeastUsedDegradation(Degrading { degradation, .. }) => {
                Wire::LeastUsedDegradation { load, degradation: degradation.0 }
            }
            Policy::PriorityLeastUsed(Degrading { degradation, .. }) => {
                Wire::PriorityLeastUsed { load, degradation: degradation.0 }
            }
            Policy::RandomizedLeastUsed(_) => Wire::RandomizedLeastUsed { load },
            Policy::RandomizedPriorityLeastUsed(Degrading { degradation, .. }) => {
                Wire::RandomizedPriorityLeastUsed { load, degradation: degradation.0 }
            }
            Policy::RandomizedLeastUsedDegradation(Degrading { degradation, .. }) => {
                Wire::RandomizedLeastUsedDegradation { load, degradation: degradation.0 }
            }
            Policy::PriorityLeastUsedDegradation(Degrading { degradation, .. }) => {
                Wire::PriorityLeastUsedDegradation { load, degradation: degradation.0 }
            }
            Policy::RandomizedPriorityLeastUsedDegradation(Degrading { degradation, .. }) => {
                Wire::RandomizedPriorityLeastUsedDegradation { load, degradation: degradation.0 }
            }
            Policy::WeightedRandomDpf(WeightedDistant { weight, weight_dpf }) => {
                Wire::WeightedRandomDpf { weight, weight_dpf: weight_dpf.0, distance: 0 }
            }
            Policy::LeastUsedDpf(Distant { load_dpf, .. }) => {
                Wire::LeastUsedDpf { load, load_dpf: load_dpf.0, distance: 0 }
            }
            Policy::LeastUsedDegradationDpf(DegradingDistant { degradation, load_dpf, .. }) => {
                Wire::LeastUsedDegradationDpf {
                    load,
                    degradation: degradation.0,
                    load_dpf: load_dpf.0,
                    distance: 0,
                }
            }
        }
    }

    /// Returns what load is measured by and the records per second that are full load, of policies by load.
    pub(crate) fn load(&self) -> Option<(LoadSource, u32)> {
        match *self {
            Policy::RoundRobin(_)
            | Policy::WeightedRoundRobin(_)
            | Policy::Random(_)
            | Policy::WeightedRandom(_)
            | Policy::Priority(_)
            | Policy::WeightedRandomDpf(_) => None,
            Policy::LeastUsed(Loaded { load, capacity })
            | Policy::RandomizedLeastUsed(Loaded { load, capacity })
            | Policy::LeastUsedDegradation(Degrading { load, capacity, .. })
            | Policy::PriorityLeastUsed(Degrading { load, capacity, .. })
            | Policy::RandomizedPriorityLeastUsed(Degrading { load, capacity, .. })
            | Policy::RandomizedLeastUsedDegradation(Degrading { load, capacity, .. })
            | Policy::PriorityLeastUsedDegradation(Degrading { load, capacity, .. })
            | Policy::RandomizedPriorityLeastUsedDegradation(Degrading { load, capacity, .. })
            | Policy::LeastUsedDpf(Distant { load, capacity, .. })
            | Policy::LeastUsedDegradationDpf(DegradingDistant { load, capacity, .. }) => {
                Some((load, capacity))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rserpool_proto::wire::PolicyType;

    fn parse(text: &str) -> Result<Policy, String> {
        #[derive(Deserialize)]
        struct File {
            #[serde(deserialize_with = "one")]
            policy: Policy,
        }
        toml(text).map(|file: File| file.policy)
    }

    fn toml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
        service::config::parse("test.toml", text, |_, _| {}).map_err(|error| error.to_string())
    }

    #[test]
    fn every_policy_is_configured_by_the_name_it_is_shown_by() {
        for &known in PolicyType::KNOWN {
            let policy = parse(&format!("policy.{known} = {{}}")).unwrap();
            assert_eq!(policy.wire().policy_type(), known);
            assert_eq!(policy.load().is_some(), policy.wire().load().is_some());
        }
    }

    #[test]
    fn values_arrive_on_the_wire() {
        let policy = parse("policy.weighted-round-robin = { weight = 3 }").unwrap();
        assert_eq!(policy.wire(), Wire::WeightedRoundRobin { weight: 3 });
        let text =
            "policy.least-used-degradation = { capacity = 5000, load = \"queue\", degradation = \"12.5%\" }";
        let policy = parse(text).unwrap();
        let wire = Wire::LeastUsedDegradation { load: Load(0), degradation: Load::of(1, 8) };
        assert_eq!(policy.wire(), wire);
        assert_eq!(policy.load(), Some((LoadSource::Queue, 5000)));
    }

    #[test]
    fn a_share_is_written_in_percent() {
        let share = |text: &str| Percent::try_from(text.to_owned());
        assert_eq!(share("5%").unwrap().0, Load::of(5, 100));
        assert_eq!(share("0.0001%").unwrap().0, Load::of(1, 1_000_000));
        assert_eq!(share("100%").unwrap().0, Load::FULL);
        for wrong in ["5", "100.1%", "-1%", "%", "1.2.3%", "0.00001%", "99999%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_policies_and_settings_of_another_policy_are_refused() {
        let two = parse("policy.random = {}\npolicy.priority = {}").unwrap_err();
        assert!(two.contains("has one policy"), "{two}");
        assert!(parse("policy.least-used = { degradation = \"5%\" }").is_err());
        assert!(parse("policy.fastest = {}").is_err());
    }
}
