//! Round Robin (RFC 5356 section 4.1): the default, and mandatory. Elements take turns.

use super::{Place, Rule};
use crate::wire::{Policy, PolicyType};

pub(super) struct RoundRobin;

impl Rule for RoundRobin {
    fn policy_type(&self) -> PolicyType {
        PolicyType::ROUND_ROBIN
    }

    fn enter(&self, _: &Policy, _: Option<u64>) -> Place {
        Place::rank(0)
    }
}
