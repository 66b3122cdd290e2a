//! Least Used with Degradation (RFC 5356 section 5.2): the lowest sum of load and degradation counter times
//! degradation first; the counter is zero after each registration.

use super::{Counts, Place, Rule, degraded};
use crate::wire::{Policy, PolicyType};

pub(super) struct LeastUsedDegradation;

impl Rule for LeastUsedDegradation {
    fn policy_type(&self) -> PolicyType {
        PolicyType::LEAST_USED_DEGRADATION
    }

    fn enter(&self, values: &Policy, _: Option<u64>) -> Place {
        place(values, 0)
    }

    fn counts(&self) -> Counts {
        Counts::Everyone
    }

    fn selected(&self, values: &Policy, before: Place) -> Place {
        match before {
            Place::Out => Place::Out,
            Place::Rank { state, .. } | Place::Share { state, .. } => place(values, state.saturating_add(1)),
        }
    }
}

/// The place after `times` selections since the registration.
fn place(values: &Policy, times: u32) -> Place {
    match values {
        Policy::LeastUsedDegradation { load, degradation } => {
            Place::Rank { rank: degraded(*load, *degradation, times), state: times }
        }
        // A pool has elements of one policy only.
        _ => Place::Out,
    }
}
