//! Randomized Least Used with Degradation (private, 0xb0001002): drawn by the free capacity, which each selection
//! reduces by the degradation until the element registers again.

use super::{Counts, Place, Rule, degraded};
use crate::wire::{Policy, PolicyType};

pub(super) struct RandomizedLeastUsedDegradation;

impl Rule for RandomizedLeastUsedDegradation {
    fn policy_type(&self) -> PolicyType {
        PolicyType::RANDOMIZED_LEAST_USED_DEGRADATION
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
        Policy::RandomizedLeastUsedDegradation { load, degradation } => {
            Place::free(degraded(*load, *degradation, times), times)
        }
        // A pool has elements of one policy only.
        _ => Place::Out,
    }
}
