//! What became of the messages the kernel has.
//!
//! The kernel never tells that a message was delivered (RFC 6458 section 6.1.11 only knows: nothing waits
//! any more). But it tells how much memory the send queue takes, and frees messages in the order in which
//! they were sent: when everything up to them was acknowledged. So a message is settled once what was sent
//! after it needs at least as much as is left: delivered, unless it was reported failed.
//!
//! Linux reports a message given up only if it was never sent; those given up after they were sent it only
//! counts, by stream and policy. Then as many messages are called abandoned, the longest ones, so that never
//! more is called delivered than was. What Linux counts are messages that had used up their retransmissions
//! when the next SACK came, whether it acknowledged them or not. Without any retransmission allowed that is
//! every message, so the count is believed only if something hints at a loss.

use std::collections::{HashMap, VecDeque};

use super::{SCTP_PR_SCTP_PRIO, SCTP_PR_SCTP_RTX};
use crate::{Outcome, Token, link};

/// Memory a message takes in the send queue beyond its octets, at least: the kernel's structures for it.
const OVERHEAD: usize = 512;

/// A stream and a policy of RFC 7496.
pub(super) type Lane = (u16, u16);

/// A message the kernel has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) octets: usize,
    pub(super) token: Option<Token>,
    /// None for a fully reliable message.
    pub(super) lane: Option<Lane>,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// The context of the first of `entries`; contexts count up.
    first: u32,
    /// None where the outcome is known already.
    entries: VecDeque<Option<Entry>>,
    octets: usize,
    lanes: HashMap<Lane, LaneBooks>,
}

/// What was given up on a lane.
#[derive(Default)]
struct LaneBooks {
    /// How many of those the kernel counted were told, one by one or at a settlement.
    told: u64,
}

impl Ledger {
    /// The context the next message is sent with.
    pub(super) fn next_context(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the send queue; contexts wrap")]
        self.first.wrapping_add(self.entries.len() as u32)
    }

    /// The kernel took a message.
    pub(super) fn sent(&mut self, entry: Entry) {
        self.octets += entry.octets;
        self.entries.push_back(Some(entry));
    }

    /// The kernel gave up a message, or a fragment of one: none if that was known.
    pub(super) fn failed(&mut self, context: u32) -> Option<Entry> {
        let at = context.wrapping_sub(self.first) as usize;
        let entry = self.entries.get_mut(at)?.take()?;
        self.octets -= entry.octets;
        if let Some(lane) = entry.lane {
            self.lanes.entry(lane).or_default().told += 1;
        }
        Some(entry)
    }

    /// What the messages in the kernel take of the send queue.
    pub(super) fn charge(&self) -> usize {
        self.octets + self.entries.len() * link::OVERHEAD
    }

    /// Octets of the messages in the kernel.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The context of the first message that may still wait, when the send queue takes `memory`.
    pub(super) fn waiting_from(&self, memory: usize) -> u32 {
        let mut waiting = self.entries.len();
        let mut taken = 0;
        for (at, entry) in self.entries.iter().enumerate().rev() {
            if taken >= memory {
                break;
            }
            if let Some(entry) = entry {
                taken += entry.octets + OVERHEAD;
            }
            waiting = at;
        }
        let out_of_order = |entry: &Entry| entry.lane.is_some_and(|lane| lane.1 == SCTP_PR_SCTP_PRIO);
        if memory > 0 && self.entries.iter().flatten().any(out_of_order) {
            // These are freed without a word when they give way.
            waiting = 0;
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the send queue; contexts wrap")]
        self.first.wrapping_add(waiting as u32)
    }

    /// Whether there is anything before `context` whose outcome is not known.
    pub(super) fn settles(&self, context: u32) -> bool {
        context != self.first && !self.entries.is_empty()
    }

    /// Nothing before `context` waits any more. `abandoned` tells how many messages the kernel gave up on a
    /// lane since the association began; none if it does not say. `lossless` says that since the last
    /// settlement no acknowledgement had a gap and no retransmission was due.
    pub(super) fn settle(
        &mut self,
        context: u32,
        lossless: bool,
        mut abandoned: impl FnMut(Lane) -> Option<u64>,
        mut finished: impl FnMut(Entry, Outcome),
    ) {
        let count = (context.wrapping_sub(self.first) as usize).min(self.entries.len());
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the send queue; contexts wrap")]
        let first = self.first.wrapping_add(count as u32);
        self.first = first;
        let mut limited: HashMap<Lane, Vec<Entry>> = HashMap::new();
        for entry in self.entries.drain(..count).flatten() {
            self.octets -= entry.octets;
            match entry.lane {
                None => finished(entry, Outcome::Delivered),
                Some(lane) => limited.entry(lane).or_default().push(entry),
            }
        }
        for (lane, mut entries) in limited {
            let books = self.lanes.entry(lane).or_default();
            let Some(counted) = abandoned(lane) else {
                entries.into_iter().for_each(|entry| finished(entry, Outcome::Unknown));
                continue;
            };
            let given_up = counted.saturating_sub(books.told).min(entries.len() as u64);
            books.told += given_up;
            let nothing_lost = lossless && lane.1 == SCTP_PR_SCTP_RTX;
            if given_up > 0 {
                entries.sort_by_key(|entry| std::cmp::Reverse(entry.octets));
            }
            for (at, entry) in entries.into_iter().enumerate() {
                let abandoned = (at as u64) < given_up && !nothing_lost;
                finished(entry, if abandoned { Outcome::Abandoned } else { Outcome::Delivered });
            }
        }
    }

    /// Everything whose outcome is not known; the ledger is empty then.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        self.first = self.next_context();
        self.octets = 0;
        self.entries.drain(..).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(token: u64, octets: usize, lane: Option<Lane>) -> Entry {
        Entry { octets, token: Some(Token(token)), lane }
    }

    fn settled(ledger: &mut Ledger, counted: u64) -> Vec<(u64, Outcome)> {
        settled_after(false, ledger, counted)
    }

    fn settled_after(lossless: bool, ledger: &mut Ledger, counted: u64) -> Vec<(u64, Outcome)> {
        let mut outcomes = Vec::new();
        let end = ledger.next_context();
        ledger.settle(
            end,
            lossless,
            |_| Some(counted),
            |entry, outcome| outcomes.push((entry.token.unwrap().0, outcome)),
        );
        outcomes.sort_unstable_by_key(|outcome| outcome.0);
        outcomes
    }

    #[test]
    fn what_was_not_reported_failed_is_delivered() {
        let mut ledger = Ledger::default();
        let contexts: Vec<u32> = (0..3)
            .map(|token| {
                let context = ledger.next_context();
                ledger.sent(entry(token, 10, None));
                context
            })
            .collect();
        assert_eq!(ledger.failed(contexts[1]), Some(entry(1, 10, None)));
        assert_eq!(ledger.failed(contexts[1]), None, "each fragment is reported");
        assert_eq!(ledger.octets(), 20);
        assert_eq!(settled(&mut ledger, 0), [(0, Outcome::Delivered), (2, Outcome::Delivered)]);
        assert!(ledger.is_empty());
        assert_eq!(ledger.failed(contexts[2]), None);
    }

    #[test]
    fn as_many_messages_as_the_kernel_counts_are_abandoned_the_longest_ones() {
        let mut ledger = Ledger::default();
        let lane = Some((3, 0x20));
        for (token, octets) in [(0, 10), (1, 30), (2, 20)] {
            ledger.sent(entry(token, octets, lane));
        }
        let outcomes = settled(&mut ledger, 2);
        assert_eq!(outcomes, [(0, Outcome::Delivered), (1, Outcome::Abandoned), (2, Outcome::Abandoned)]);
        ledger.sent(entry(3, 10, lane));
        assert_eq!(settled(&mut ledger, 2), [(3, Outcome::Delivered)], "counted once");
    }

    #[test]
    fn a_message_reported_is_not_counted_again() {
        let mut ledger = Ledger::default();
        let lane = Some((3, 0x10));
        let context = ledger.next_context();
        ledger.sent(entry(0, 10, lane));
        ledger.sent(entry(1, 10, lane));
        assert!(ledger.failed(context).is_some());
        assert_eq!(settled(&mut ledger, 1), [(1, Outcome::Delivered)]);
    }

    #[test]
    fn without_a_hint_at_a_loss_nothing_ran_out_of_retransmissions() {
        let mut ledger = Ledger::default();
        ledger.sent(entry(0, 10, Some((3, 0x20))));
        assert_eq!(settled_after(true, &mut ledger, 1), [(0, Outcome::Delivered)]);
        ledger.sent(entry(1, 10, Some((3, 0x20))));
        assert_eq!(settled(&mut ledger, 1), [(1, Outcome::Delivered)], "the count was noted");
        ledger.sent(entry(2, 10, Some((3, 0x10))));
        assert_eq!(settled_after(true, &mut ledger, 1), [(2, Outcome::Abandoned)], "a lifetime ends anyhow");
    }

    #[test]
    fn what_still_waits_is_what_was_sent_last() {
        let mut ledger = Ledger::default();
        for token in 0..10 {
            ledger.sent(entry(token, 1_000, None));
        }
        assert_eq!(ledger.waiting_from(0), 10);
        assert_eq!(ledger.waiting_from(1), 9);
        assert_eq!(ledger.waiting_from(3 * 1_512), 7);
        assert_eq!(ledger.waiting_from(1 << 20), 0);
        let mut outcomes = Vec::new();
        ledger.settle(7, true, |_| None, |entry, _| outcomes.push(entry.token.unwrap().0));
        assert_eq!(outcomes, (0..7).collect::<Vec<_>>());
        assert_eq!((ledger.waiting_from(1), ledger.octets()), (9, 3_000));
        assert_eq!(ledger.failed(8), Some(entry(8, 1_000, None)), "contexts stay");
    }

    #[test]
    fn a_message_that_may_give_way_keeps_the_order_from_being_believed() {
        let mut ledger = Ledger::default();
        ledger.sent(entry(0, 1_000, None));
        ledger.sent(entry(1, 1_000, Some((0, 0x30))));
        assert_eq!((ledger.waiting_from(1), ledger.waiting_from(0)), (0, 2));
    }
}
