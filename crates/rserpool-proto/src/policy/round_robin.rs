//! Round Robin (RFC 5356 section 4.1): the default, and mandatory. Elements take turns.

use super::Ranking;
use crate::wire::{Policy, PolicyType};

pub(super) struct RoundRobin;

impl Ranking for RoundRobin {
    fn policy_type(&self) -> PolicyType {
        PolicyType::ROUND_ROBIN
    }

    fn rank(&self, _: &Policy) -> u64 {
        0
    }
}
