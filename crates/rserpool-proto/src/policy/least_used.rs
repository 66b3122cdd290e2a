//! Least Used (RFC 5356 section 4.6): the lowest load first, round robin among equals.

use super::Ranking;
use crate::wire::{Policy, PolicyType};

pub(super) struct LeastUsed;

impl Ranking for LeastUsed {
    fn policy_type(&self) -> PolicyType {
        PolicyType::LEAST_USED
    }

    fn rank(&self, values: &Policy) -> u64 {
        match values {
            Policy::LeastUsed { load } => u64::from(load.0),
            // A pool never holds elements of another policy; if it did, they would come last.
            _ => u64::MAX,
        }
    }
}
