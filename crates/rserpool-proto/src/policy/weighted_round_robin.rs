//! Weighted Round Robin (RFC 5356 section 4.2): the circular list has each element as often as its weight says, "as
//! evenly distributed as possible"; zero is never in it.
//!
//! The list is not kept but computed. It is cut into rounds, and an element comes in each round half as often as
//! its weight: one of weight 1 in every second round, one of weight 3 once and twice in turn. Within a round its
//! occurrences have the same distance from each other. Weights 1, 2, 3 give `a1 a2 a3 a2 a3 a3`, and 1, 1, 5 give
//! `a1 a3 a3 a2 a3 a3 a3`: for small weights it is the sequence of the reference implementation.
//!
//! The weight is what an element may spend in one round; an occurrence costs two. `state` has the occurrences of
//! this round so far, whether the last one before it was half paid for in this round, and the weight where it fits,
//! so that a selection needs no look at the element.

use super::{Counts, Place, Rule};
use crate::wire::{Policy, PolicyType};

pub(super) struct WeightedRoundRobin;

/// A rank is a round and 16 bits of the way through it.
const ROUND: u64 = 1 << 16;

/// The bit of `state` for what is owed from the round before.
const OWED: u32 = 1 << 31;

/// The bit of `state` for a weight that is in it too, below the other bits. Such weights are below 2^15, and so are
/// the occurrences in a round.
const NARROW: u32 = 1 << 30;
const WEIGHT_BITS: u32 = 15;
const WEIGHT: u32 = (1 << WEIGHT_BITS) - 1;

impl Rule for WeightedRoundRobin {
    fn policy_type(&self) -> PolicyType {
        PolicyType::WEIGHTED_ROUND_ROBIN
    }

    /// An element begins in the round the pool is in.
    fn enter(&self, values: &Policy, head: Option<u64>) -> Place {
        let round = head.unwrap_or(0) / ROUND * ROUND;
        match weight(values) {
            0 => Place::Out,
            1 => Place::Rank { rank: round + ROUND, state: state(1, 0, 0) },
            weight => Place::Rank { rank: round, state: state(weight, 1, 0) },
        }
    }

    fn counts(&self) -> Counts {
        Counts::Head
    }

    fn selected(&self, place: Place, values: &dyn Fn() -> Option<Policy>) -> Place {
        let Place::Rank { rank, state } = place else { return place };
        let weight = match state & NARROW {
            0 => values().as_ref().map_or(0, weight),
            _ => state & WEIGHT,
        };
        if weight == 0 { place } else { next(rank, state, weight) }
    }

    /// The rounds it missed are not made up for.
    fn rejoins(&self, values: &Policy, place: Place, head: Option<u64>) -> Place {
        match (place, head) {
            (Place::Rank { rank, .. }, Some(head)) if rank / ROUND < head / ROUND => {
                self.enter(values, Some(head))
            }
            _ => place,
        }
    }
}

fn weight(values: &Policy) -> u32 {
    match values {
        Policy::WeightedRoundRobin { weight } => *weight,
        // A pool has elements of one policy only.
        _ => 0,
    }
}

fn state(weight: u32, owed: u32, done: u32) -> u32 {
    let rest = if weight <= WEIGHT { NARROW | (done << WEIGHT_BITS) | weight } else { done };
    (owed * OWED) | rest
}

/// The next occurrence.
fn next(rank: u64, before: u32, weight: u32) -> Place {
    let done = if weight <= WEIGHT { (before & !(OWED | NARROW)) >> WEIGHT_BITS } else { before & !OWED };
    let (round, owed, done) = (rank / ROUND * ROUND, before >> 31, done + 1);
    // For weights of more than 2^31 the bits of `state` are the limit.
    let in_round = (weight - owed).div_ceil(2).min(NARROW - 1);
    if done < in_round {
        let way = u64::from(done) * ROUND / u64::from(in_round);
        return Place::Rank { rank: round + way, state: state(weight, owed, done) };
    }
    match weight {
        1 => Place::Rank { rank: round + 2 * ROUND, state: state(1, 0, 0) },
        // Two are spent for each occurrence: the last one may have cost one of the next round.
        _ => {
            let owed = (weight - owed) % 2;
            Place::Rank { rank: round + ROUND, state: state(weight, owed, 0) }
        }
    }
}
