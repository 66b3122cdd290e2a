//! Weighted Random with Distance Penalty Factor (private, 0xb0002001): drawn by weight, of which the distance
//! takes a part, but never all; zero is never drawn.

use super::{Place, Rule, distance::reduced};
use crate::wire::{Policy, PolicyType};

pub(super) struct WeightedRandomDpf;

impl Rule for WeightedRandomDpf {
    fn policy_type(&self) -> PolicyType {
        PolicyType::WEIGHTED_RANDOM_DPF
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::WeightedRandomDpf { weight, weight_dpf, distance } => {
                Place::weight(reduced(*weight, *weight_dpf, *distance))
            }
            // A pool has elements of one policy only.
            _ => Place::Out,
        }
    }
}
