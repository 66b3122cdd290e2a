//! Least Used with Degradation (RFC 5356 section 5.2): the lowest sum of load and degradation counter times
//! degradation first; the counter is zero after each registration.

use super::{Counts, Place, Rule};
use crate::wire::{Policy, PolicyType};

pub(super) struct LeastUsedDegradation;

impl Rule for LeastUsedDegradation {
    fn policy_type(&self) -> PolicyType {
        PolicyType::LEAST_USED_DEGRADATION
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::LeastUsedDegradation { load, degradation } => {
                Place::Rank { rank: u64::from(load.0), state: degradation.0 }
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
