//! Least Used (RFC 5356 section 5.1): the lowest load first, round robin among equals.

use super::{Place, Rule};
use crate::wire::{Policy, PolicyType};

pub(super) struct LeastUsed;

impl Rule for LeastUsed {
    fn policy_type(&self) -> PolicyType {
        PolicyType::LEAST_USED
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::LeastUsed { load } => Place::rank(u64::from(load.0)),
            // A pool has elements of one policy only.
            _ => Place::Out,
        }
    }
}
