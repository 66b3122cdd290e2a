//! Priority Least Used with Degradation (private, 0xb0001003): like Least Used with Degradation, counting one
//! selection more.

use super::{Counts, Place, Rule, degraded};
use crate::wire::{Policy, PolicyType};

pub(super) struct PriorityLeastUsedDegradation;

impl Rule for PriorityLeastUsedDegradation {
    fn policy_type(&self) -> PolicyType {
        PolicyType::PRIORITY_LEAST_USED_DEGRADATION
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
        Policy::PriorityLeastUsedDegradation { load, degradation } => {
            Place::Rank { rank: degraded(*load, *degradation, times.saturating_add(1)), state: times }
        }
        // A pool has elements of one policy only.
        _ => Place::Out,
    }
}
