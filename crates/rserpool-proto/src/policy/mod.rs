//! Pool member selection (RFC 5356): one file per policy, and one line in `RULES`.
//!
//! A policy gives each element its place. Either elements are ordered by rank, the lowest first, and equal ranks
//! take turns; or they are drawn by chance, each with its share. How a pool keeps places: `handlespace::Pool`.
//!
//! Choices where the RFC leaves one:
//! * A resolution for several elements gives away the first one's turn only: "the head SHOULD be advanced by one
//!   element" (section 4.1.2). The degradation counter counts every element returned (section 5.2.2).
//! * A weight of zero means no service (section 3.2), in turn or by chance: such an element is never chosen.
//! * An element whose free capacity is zero is not drawn either (section 5.4.1), but when all are fully loaded
//!   they take turns: it is the capacity that is short, not the service.

mod distance;
mod in_order;
mod least_used;
mod least_used_degradation;
mod least_used_degradation_dpf;
mod least_used_dpf;
mod priority;
mod priority_least_used;
mod priority_least_used_degradation;
mod random;
mod randomized_least_used;
mod randomized_least_used_degradation;
mod randomized_priority_least_used;
mod randomized_priority_least_used_degradation;
mod round_robin;
mod weighted_random;
mod weighted_random_dpf;
mod weighted_round_robin;

pub use distance::{Distance, add_distance, set_distance};

use crate::wire::{Load, Policy, PolicyType};

/// Where an element stands among the others of its pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// It is not to be chosen.
    Out,
    /// Lower ranks are chosen first, equal ranks take turns; `state` is the policy's own.
    Rank { rank: u64, state: u32 },
    /// It is drawn with this probability, related to the sum of all; never zero.
    Share { share: u32, state: u32 },
}

impl Place {
    const fn rank(rank: u64) -> Place {
        Place::Rank { rank, state: 0 }
    }

    /// The place of an element that is drawn by `weight`.
    const fn weight(weight: u32) -> Place {
        match weight {
            0 => Place::Out,
            share => Place::Share { share, state: 0 },
        }
    }

    /// The place of an element that is drawn by what `load` leaves free; fully loaded ones take turns when there
    /// are no others.
    const fn free(load: u64, state: u32) -> Place {
        #[expect(clippy::cast_possible_truncation, reason = "the load is below the largest u32")]
        match Load::FULL.0 as u64 {
            full if load < full => Place::Share { share: (full - load) as u32, state },
            _ => Place::rank(0),
        }
    }

    /// The place of an element by load after one selection more, where `state` is what one adds; more than full is
    /// full.
    pub(crate) fn degraded(self) -> Place {
        let full = u64::from(Load::FULL.0);
        match self {
            Place::Out => Place::Out,
            Place::Rank { rank, state } => Place::Rank { rank: full.min(rank + u64::from(state)), state },
            Place::Share { share, state } => Place::free(full - u64::from(share) + u64::from(state), state),
        }
    }
}

/// Whose selections a policy counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Counts {
    /// Nobody's: a selection changes no place.
    Nobody,
    /// That of the element whose turn it was.
    Head,
    /// That of every element returned, until it registers again: its place is [`Place::degraded`].
    Everyone,
}

/// How a policy places the elements of a pool.
pub(crate) trait Rule: Sync {
    /// The policy's type on the wire.
    fn policy_type(&self) -> PolicyType;

    /// The place of an element that registers with these values; `head` is the lowest rank there is.
    fn enter(&self, values: &Policy, head: Option<u64>) -> Place;

    /// Whose selections change a place.
    fn counts(&self) -> Counts {
        Counts::Nobody
    }

    /// The place after a selection that is counted. Asking for the values costs a look at the element.
    fn selected(&self, place: Place, _values: &dyn Fn() -> Option<Policy>) -> Place {
        place
    }

    /// The place of an element that is chosen from again after a while.
    fn rejoins(&self, _values: &Policy, place: Place, _head: Option<u64>) -> Place {
        place
    }

    /// Whether equal ranks take turns.
    fn takes_turns(&self) -> bool {
        true
    }
}

/// The policies a pool can have.
const RULES: [&dyn Rule; 16] = [
    &round_robin::RoundRobin,
    &weighted_round_robin::WeightedRoundRobin,
    &random::Random,
    &weighted_random::WeightedRandom,
    &priority::Priority,
    &least_used::LeastUsed,
    &least_used_degradation::LeastUsedDegradation,
    &priority_least_used::PriorityLeastUsed,
    &randomized_least_used::RandomizedLeastUsed,
    &randomized_priority_least_used::RandomizedPriorityLeastUsed,
    &randomized_least_used_degradation::RandomizedLeastUsedDegradation,
    &priority_least_used_degradation::PriorityLeastUsedDegradation,
    &randomized_priority_least_used_degradation::RandomizedPriorityLeastUsedDegradation,
    &weighted_random_dpf::WeightedRandomDpf,
    &least_used_dpf::LeastUsedDpf,
    &least_used_degradation_dpf::LeastUsedDegradationDpf,
];

/// Returns how a registrar selects by this policy, `None` when it cannot.
pub(crate) fn rule(policy_type: PolicyType) -> Option<&'static dyn Rule> {
    RULES.into_iter().find(|rule| rule.policy_type() == policy_type)
}

/// Returns how a pool user uses the list it was told (the "Pool User Considerations" of RFC 5356): in turn, by
/// chance without weights, the highest priority, or from the first on. Policies nobody knows are used in turn.
pub(crate) fn pool_user_rule(policy_type: PolicyType) -> &'static dyn Rule {
    match policy_type {
        PolicyType::PRIORITY => &priority::Priority,
        PolicyType::RANDOM
        | PolicyType::WEIGHTED_RANDOM
        | PolicyType::RANDOMIZED_LEAST_USED
        | PolicyType::RANDOMIZED_PRIORITY_LEAST_USED
        | PolicyType::RANDOMIZED_LEAST_USED_DEGRADATION
        | PolicyType::RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION
        | PolicyType::WEIGHTED_RANDOM_DPF => &random::Random,
        PolicyType::LEAST_USED
        | PolicyType::LEAST_USED_DEGRADATION
        | PolicyType::PRIORITY_LEAST_USED
        | PolicyType::PRIORITY_LEAST_USED_DEGRADATION
        | PolicyType::LEAST_USED_DPF
        | PolicyType::LEAST_USED_DEGRADATION_DPF => &in_order::InOrder,
        _ => &round_robin::RoundRobin,
    }
}

/// Returns whether a pool can have this policy.
pub fn is_supported(policy_type: PolicyType) -> bool {
    rule(policy_type).is_some()
}

/// The load an element would have after one more selection; more than full is full.
fn degraded(load: Load, degradation: Load) -> u64 {
    u64::from(load.0.saturating_add(degradation.0))
}

#[cfg(test)]
mod tests;
