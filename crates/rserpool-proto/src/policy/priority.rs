//! Priority (RFC 5356 section 4.5): the highest first, round robin among equals.

use super::{Place, Rule};
use crate::wire::{Policy, PolicyType};

pub(super) struct Priority;

impl Rule for Priority {
    fn policy_type(&self) -> PolicyType {
        PolicyType::PRIORITY
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::Priority { priority } => Place::rank(u64::from(u32::MAX - priority)),
            // A pool has elements of one policy only.
            _ => Place::Out,
        }
    }
}
