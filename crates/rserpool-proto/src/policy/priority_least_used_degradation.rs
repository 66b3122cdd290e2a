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
        match values {
            Policy::PriorityLeastUsedDegradation { load, degradation } => {
                Place::Rank { rank: degraded(*load, *degradation), state: degradation.0 }
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
