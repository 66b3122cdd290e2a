//! Least Used with Distance Penalty Factor (private, 0xb0002002; the delay measurement draft): the lowest sum of
//! load and distance first, round robin among equals.

use super::{Place, Rule, distance::distant};
use crate::wire::{Policy, PolicyType};

pub(super) struct LeastUsedDpf;

impl Rule for LeastUsedDpf {
    fn policy_type(&self) -> PolicyType {
        PolicyType::LEAST_USED_DPF
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        match values {
            Policy::LeastUsedDpf { load, load_dpf, distance } => {
                Place::rank(distant(u64::from(load.0), *load_dpf, *distance))
            }
            // A pool has elements of one policy only.
            _ => Place::Out,
        }
    }
}
