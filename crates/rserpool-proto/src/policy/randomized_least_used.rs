//! Randomized Least Used (RFC 5356 section 5.4): drawn by the free capacity.

use super::{Place, Rule};
use crate::wire::{Policy, PolicyType};

pub(super) struct RandomizedLeastUsed;

impl Rule for RandomizedLeastUsed {
    fn policy_type(&self) -> PolicyType {
        PolicyType::RANDOMIZED_LEAST_USED
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::RandomizedLeastUsed { load } => Place::free(u64::from(load.0), 0),
            // A pool has elements of one policy only.
            _ => Place::Out,
        }
    }
}
