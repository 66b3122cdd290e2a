//! Weighted Random (RFC 5356 section 4.4): drawn by weight; zero is never drawn.

use super::{Place, Rule};
use crate::wire::{Policy, PolicyType};

pub(super) struct WeightedRandom;

impl Rule for WeightedRandom {
    fn policy_type(&self) -> PolicyType {
        PolicyType::WEIGHTED_RANDOM
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::WeightedRandom { weight } => Place::weight(*weight),
            // A pool has elements of one policy only.
            _ => Place::Out,
        }
    }
}
