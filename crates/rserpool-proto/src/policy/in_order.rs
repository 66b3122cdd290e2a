//! A pool user of the least used family: it "should try to use the pool elements returned from the list in the
//! order returned by the ENRP server" (RFC 5356 section 5.1.3).

use super::{Place, Rule};
use crate::wire::{Policy, PolicyType};

pub(super) struct InOrder;

impl Rule for InOrder {
    fn policy_type(&self) -> PolicyType {
        PolicyType::LEAST_USED
    }

    fn enter(&self, _: &Policy, _: Option<u64>) -> Place {
        Place::rank(0)
    }

    fn takes_turns(&self) -> bool {
        false
    }
}
