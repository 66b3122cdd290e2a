//! Randomized Least Used with Degradation (private, 0xb0001002): drawn by the free capacity, which each selection
//! reduces by the degradation until the element registers again.

use super::{Counts, Place, Rule};
use crate::wire::{Policy, PolicyType};

pub(super) struct RandomizedLeastUsedDegradation;

impl Rule for RandomizedLeastUsedDegradation {
    fn policy_type(&self) -> PolicyType {
        PolicyType::RANDOMIZED_LEAST_USED_DEGRADATION
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::RandomizedLeastUsedDegradation { load, degradation } => {
                Place::free(u64::from(load.0), degradation.0)
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
