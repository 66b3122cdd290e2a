//! Random (RFC 5356 section 4.3): all have the same chance.

use super::{Place, Rule};
use crate::wire::{Policy, PolicyType};

pub(super) struct Random;

impl Rule for Random {
    fn policy_type(&self) -> PolicyType {
        PolicyType::RANDOM
    }

    fn enter(&self, _: &Policy, _: Option<u64>) -> Place {
        Place::weight(1)
    }
}
