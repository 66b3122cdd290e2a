//! Pool member selection (RFC 5356): one file per policy, and one line in `ALL`.
//!
//! Every policy here gives each element a rank; the lowest rank is chosen first, equal ranks
//! take turns. The pool keeps its elements ordered by (rank, turn), see `handlespace::Pool`.

mod least_used;
mod round_robin;

use crate::wire::{Policy, PolicyType};

/// How a policy orders the elements of a pool.
pub(crate) trait Ranking: Sync {
    /// The policy's type on the wire.
    fn policy_type(&self) -> PolicyType;

    /// The rank of an element with these policy values; lower is chosen first.
    fn rank(&self, values: &Policy) -> u64;
}

/// The policies we can select by.
const ALL: [&dyn Ranking; 2] = [&round_robin::RoundRobin, &least_used::LeastUsed];

/// Returns how to select by this policy, `None` when we cannot.
pub(crate) fn ranking(policy_type: PolicyType) -> Option<&'static dyn Ranking> {
    ALL.into_iter().find(|ranking| ranking.policy_type() == policy_type)
}

/// Returns whether a pool can have this policy.
pub fn is_supported(policy_type: PolicyType) -> bool {
    ranking(policy_type).is_some()
}
