//! What waits to be sent, and who gives way where there is no room (RFC 7496 section 3.2).

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Instant;

use super::{OVERHEAD, Request};
use crate::{MsgOut, Reliability};

#[derive(Default)]
pub(super) struct Outbound {
    queue: VecDeque<Queued>,
    /// Messages at the front of the queue that the back end has seen waiting.
    seen: usize,
    /// Messages in the queue that may give way to others.
    yielding: usize,
    /// Octets and overhead of everything whose end is not known.
    pub(super) charged: usize,
    /// Messages whose end is not known.
    pub(super) live: usize,
    pub(super) closing: bool,
    pub(super) request: Request,
}

struct Queued {
    message: MsgOut,
    /// When its lifetime is over; told once the back end has seen it waiting.
    expires: Option<Instant>,
}

/// Stops once so many octets, or more, were taken.
pub(super) fn after(octets: usize) -> impl FnMut(&MsgOut) -> bool {
    let mut taken = 0;
    move |message| {
        let enough = taken >= octets;
        taken += message.data.len();
        enough
    }
}

/// Stops at a message that may give way, once the messages before it have so many octets or more.
#[cfg(feature = "kernel-sctp")]
pub(super) fn at_yielding_after(octets: usize) -> impl FnMut(&MsgOut) -> bool {
    let mut enough = after(octets);
    move |message| enough(message) && matches!(message.reliability, Reliability::Priority(_))
}

/// Whether a queued message gives way to a new one. Messages limited by retransmissions or time have no priority:
/// they neither give way nor make others.
const fn gives_way(queued: Reliability, new: Reliability) -> bool {
    match (queued, new) {
        (Reliability::Priority(_), Reliability::Full) => true,
        (Reliability::Priority(queued), Reliability::Priority(new)) => queued > new,
        (Reliability::Priority(_), Reliability::MaxRetransmits(_) | Reliability::Lifetime(_))
        | (Reliability::Full | Reliability::MaxRetransmits(_) | Reliability::Lifetime(_), _) => false,
    }
}

/// What leaves the account when the message ends: with a token, the overhead stays until its outcome was read.
fn released(message: &MsgOut) -> usize {
    message.data.len() + if message.token.is_some() { 0 } else { OVERHEAD }
}

impl Outbound {
    /// Appends a message. Returns whether it is the only one that waits.
    pub(super) fn push(&mut self, message: MsgOut) -> bool {
        let first = self.queue.is_empty();
        self.charged += message.data.len() + OVERHEAD;
        self.live += 1;
        self.yielding += usize::from(matches!(message.reliability, Reliability::Priority(_)));
        self.queue.push_back(Queued { message, expires: None });
        first
    }

    /// Takes out what must give way to a message with reliability `new` so that `octets` become free: the lowest
    /// priority first, of these the oldest first. Takes out nothing if all of it would not be enough.
    pub(super) fn make_room(&mut self, octets: usize, new: Reliability) -> Option<Vec<MsgOut>> {
        if self.yielding == 0 {
            return None;
        }
        let mut candidates: Vec<(Reverse<u32>, usize)> = Vec::new();
        for (at, queued) in self.queue.iter().enumerate() {
            let reliability = queued.message.reliability;
            if let Reliability::Priority(priority) = reliability
                && gives_way(reliability, new)
            {
                candidates.push((Reverse(priority), at));
            }
        }
        candidates.sort_unstable();
        let mut free = 0;
        let enough = candidates.iter().position(|&(_, at)| {
            free += released(&self.queue[at].message);
            free >= octets
        })?;
        let mut leaving: Vec<usize> = candidates[..=enough].iter().map(|&(_, at)| at).collect();
        leaving.sort_unstable();
        let mut given_up = Vec::with_capacity(leaving.len());
        // From the back, so that the places before stay what they are.
        for at in leaving.into_iter().rev() {
            given_up.extend(self.queue.remove(at).map(|queued| queued.message));
            self.seen -= usize::from(at < self.seen);
        }
        given_up.reverse();
        self.yielding -= given_up.len();
        self.live -= given_up.len();
        self.charged -= given_up.iter().map(released).sum::<usize>();
        Some(given_up)
    }

    /// Moves messages out, the oldest first, until `stop` says that one must stay; all of them once the association
    /// closes. Messages that have waited for longer than they live go to `expired`; of others with a lifetime, what
    /// is left of it is told. Returns whether some are left.
    pub(super) fn take(
        &mut self,
        into: &mut VecDeque<MsgOut>,
        expired: &mut Vec<MsgOut>,
        now: Instant,
        mut stop: impl FnMut(&MsgOut) -> bool,
    ) -> bool {
        for queued in self.queue.range_mut(self.seen..) {
            if let Reliability::Lifetime(lifetime) = queued.message.reliability {
                queued.expires = now.checked_add(lifetime);
            }
        }
        let closing = self.closing;
        while let Some(front) = self.queue.front()
            && (closing || !stop(&front.message))
            && let Some(Queued { mut message, expires }) = self.queue.pop_front()
        {
            self.yielding -= usize::from(matches!(message.reliability, Reliability::Priority(_)));
            match expires.map(|expires| expires.checked_duration_since(now)) {
                Some(None) => expired.push(message),
                Some(Some(left)) => {
                    message.reliability = Reliability::Lifetime(left);
                    into.push_back(message);
                }
                None => into.push_back(message),
            }
        }
        self.seen = self.queue.len();
        !self.queue.is_empty()
    }

    /// Takes out everything that waits.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = MsgOut> {
        self.yielding = 0;
        self.seen = 0;
        std::mem::take(&mut self.queue).into_iter().map(|queued| queued.message)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::{Ppid, Token};

    fn message(name: u8, reliability: Reliability) -> MsgOut {
        MsgOut { reliability, ..MsgOut::new(Ppid::IPFIX, Bytes::from(vec![name; 1_000])) }
    }

    fn outbound(messages: &[(u8, Reliability)]) -> Outbound {
        let mut outbound = Outbound::default();
        for &(name, reliability) in messages {
            outbound.push(message(name, reliability));
        }
        outbound
    }

    fn names(messages: Option<Vec<MsgOut>>) -> Option<Vec<u8>> {
        messages.map(|messages| messages.iter().map(|message| message.data[0]).collect())
    }

    const LOW: Reliability = Reliability::Priority(9);
    const HIGH: Reliability = Reliability::Priority(1);

    #[test]
    fn the_lowest_priority_gives_way_first_and_of_it_the_oldest() {
        let mut queue =
            outbound(&[(0, HIGH), (1, LOW), (2, Reliability::Full), (3, LOW), (4, LOW), (5, HIGH)]);
        assert_eq!(names(queue.make_room(1_500, Reliability::Full)), Some(vec![1, 3]));
        assert_eq!(names(queue.make_room(1_500, Reliability::Full)), Some(vec![0, 4]));
        assert_eq!((queue.live, queue.charged, queue.yielding), (2, 2 * 1_064, 1));
    }

    #[test]
    fn nothing_is_given_up_in_vain() {
        let mut queue = outbound(&[(0, LOW), (1, Reliability::Full), (2, HIGH)]);
        assert_eq!(names(queue.make_room(3_000, Reliability::Full)), None);
        assert_eq!(queue.live, 3);
    }

    #[test]
    fn only_lower_priorities_give_way() {
        let others = [
            Reliability::Full,
            Reliability::MaxRetransmits(0),
            Reliability::Lifetime(std::time::Duration::ZERO),
        ];
        for other in others {
            let mut queue = outbound(&[(0, other), (1, HIGH)]);
            assert_eq!(names(queue.make_room(1, HIGH)), None, "{other:?} has no priority to give way by");
            assert_eq!(names(queue.make_room(1, LOW)), None, "a higher priority stays");
        }
        let mut queue = outbound(&[(0, LOW)]);
        for limited in &others[1..] {
            assert_eq!(names(queue.make_room(1, *limited)), None, "{limited:?} makes nobody give way");
        }
        assert_eq!(names(queue.make_room(1, HIGH)), Some(vec![0]));
    }

    #[test]
    fn the_overhead_of_a_message_with_a_token_stays_charged() {
        let mut queue = Outbound::default();
        queue.push(MsgOut { token: Some(Token(1)), ..message(0, LOW) });
        assert!(queue.make_room(1_001, Reliability::Full).is_none());
        assert!(queue.make_room(1_000, Reliability::Full).is_some());
        assert_eq!(queue.charged, OVERHEAD);
    }

    #[expect(clippy::disallowed_methods, reason = "tests need some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_back_end_takes_as_much_as_it_asks_for_and_all_at_the_end() {
        let mut queue = outbound(&[(0, LOW), (1, LOW), (2, LOW), (3, LOW)]);
        let (mut taken, mut expired) = (VecDeque::new(), Vec::new());
        assert!(queue.take(&mut taken, &mut expired, start(), after(1_500)));
        assert_eq!((taken.len(), queue.yielding), (2, 2));
        queue.closing = true;
        assert!(!queue.take(&mut taken, &mut expired, start(), after(1)));
        assert_eq!((taken.len(), queue.yielding, expired.len()), (4, 0, 0));
    }

    #[test]
    fn a_message_that_waits_for_longer_than_it_lives_is_given_up() {
        let second = Duration::from_secs(1);
        let mut queue = outbound(&[(0, Reliability::Full), (1, Reliability::Lifetime(second)), (2, LOW)]);
        let (mut taken, mut expired, now) = (VecDeque::new(), Vec::new(), start());
        assert!(queue.take(&mut taken, &mut expired, now, after(1)));
        queue.push(message(3, Reliability::Lifetime(second)));
        // The one that gives way is not the one that has been waiting.
        assert_eq!(names(queue.make_room(1, Reliability::Full)), Some(vec![2]));
        assert!(!queue.take(&mut taken, &mut expired, now + second + Duration::from_millis(1), |_| false));
        assert_eq!(names(Some(expired)), Some(vec![1]), "it has been waiting for longer than a second");
        assert_eq!(names(Some(taken.into())), Some(vec![0, 3]));
    }
}
