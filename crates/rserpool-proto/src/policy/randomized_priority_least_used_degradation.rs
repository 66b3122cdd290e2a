//! Randomized Priority Least Used with Degradation (private, 0xb0001004): like Randomized Least Used with
//! Degradation, counting one selection more.

use super::{Counts, Place, Rule, degraded};
use crate::wire::{Policy, PolicyType};

pub(super) struct RandomizedPriorityLeastUsedDegradation;

impl Rule for RandomizedPriorityLeastUsedDegradation {
    fn policy_type(&self) -> PolicyType {
        PolicyType::RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::RandomizedPriorityLeastUsedDegradation { load, degradation } => {
                Place::free(degraded(*load, *degradation), degradation.0)
            }
            // A pool has elements of one policy only.
            _ => Place::Out,
        }
    }

    fn counts(&self) -> Counts {
        Counts::Everyone
    }

    fn selected(&self, place: Place, _: &dyn Fn() -> Option<Policy>) -> Place {
        place.degraded()
    }
}
