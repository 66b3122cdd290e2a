//! Least Used with Degradation and Distance Penalty Factor (private, 0xb0002003): the lowest sum of load,
//! degradation so far and distance first.

use super::{Counts, Place, Rule, distance::distant};
use crate::wire::{Policy, PolicyType};

pub(super) struct LeastUsedDegradationDpf;

impl Rule for LeastUsedDegradationDpf {
    fn policy_type(&self) -> PolicyType {
        PolicyType::LEAST_USED_DEGRADATION_DPF
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::LeastUsedDegradationDpf { load, degradation, load_dpf, distance } => {
                let rank = distant(u64::from(load.0), *load_dpf, *distance);
                Place::Rank { rank, state: degradation.0 }
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
