//! Least Used with Degradation and Distance Penalty Factor (private, 0xb0002003): the lowest sum of load,
//! degradation so far and distance first.

use super::{Counts, Place, Rule, degraded, distance::distant};
use crate::wire::{Policy, PolicyType};

pub(super) struct LeastUsedDegradationDpf;

impl Rule for LeastUsedDegradationDpf {
    fn policy_type(&self) -> PolicyType {
        PolicyType::LEAST_USED_DEGRADATION_DPF
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        place(values, 0)
    }

    fn counts(&self) -> Counts {
        Counts::Everyone
    }

    fn selected(&self, values: &Policy, before: Place) -> Place {
        match before {
            Place::Out => Place::Out,
            Place::Rank { state, .. } | Place::Share { state, .. } => place(values, state.saturating_add(1)),
        }
    }
}

/// The place after `times` selections since the registration.
fn place(values: &Policy, times: u32) -> Place {
    match values {
        Policy::LeastUsedDegradationDpf { load, degradation, load_dpf, distance } => Place::Rank {
            rank: distant(degraded(*load, *degradation, times), *load_dpf, *distance),
            state: times,
        },
        // A pool has elements of one policy only.
        _ => Place::Out,
    }
}
