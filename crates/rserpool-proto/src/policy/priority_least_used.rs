//! Priority Least Used (RFC 5356 section 5.3): the lowest sum of load and degradation first, round robin among
//! equals.

use super::{Place, Rule, degraded};
use crate::wire::{Policy, PolicyType};

pub(super) struct PriorityLeastUsed;

impl Rule for PriorityLeastUsed {
    fn policy_type(&self) -> PolicyType {
        PolicyType::PRIORITY_LEAST_USED
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::PriorityLeastUsed { load, degradation } => Place::rank(degraded(*load, *degradation)),
            // A pool has elements of one policy only.
            _ => Place::Out,
        }
    }
}
