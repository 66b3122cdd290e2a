//! Randomized Priority Least Used (private, 0xb0001001): drawn by what would be free after one selection.

use super::{Place, Rule, degraded};
use crate::wire::{Policy, PolicyType};

pub(super) struct RandomizedPriorityLeastUsed;

impl Rule for RandomizedPriorityLeastUsed {
    fn policy_type(&self) -> PolicyType {
        PolicyType::RANDOMIZED_PRIORITY_LEAST_USED
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::RandomizedPriorityLeastUsed { load, degradation } => {
                Place::free(degraded(*load, *degradation), 0)
            }
            // A pool has elements of one policy only.
            _ => Place::Out,
        }
    }
}
