//! What the handle sends: into dcsctp, and out of the books once its end is known.

use std::time::{Duration, Instant};

use dcsctp::api::{DcSctpSocket, LifecycleId, Message as RawMessage, PpId, SendOptions, StreamId};

use super::Peer;
use crate::link::Request;
use crate::{Outcome, Profile, Reliability, Token};

/// A message whose end is not known.
pub(super) struct Live {
    octets: usize,
    token: Option<Token>,
    reliable: bool,
    pub(super) outcome: Outcome,
    /// All of it is in flight; a restart of the peer loses it.
    pub(super) sent: bool,
}

/// Octets in dcsctp that were not sent yet, at most. The rest waits in the queue, where lifetimes end and where it
/// can give way to messages of a higher priority.
pub(super) const UNSENT: usize = 64 << 10;

impl Peer {
    /// Gives dcsctp what it has room for. Returns whether more waits although there is room.
    pub(super) fn take_messages(&mut self, now: Instant, profile: &Profile) -> (Request, bool) {
        let room = UNSENT.saturating_sub(self.unsent);
        let (request, left) = self.link.take_some(&mut self.taken, room, now);
        while let Some(message) = self.taken.pop_front() {
            let id = self.next_lifecycle;
            self.next_lifecycle += 1;
            let max_retransmissions = match message.reliability {
                // Its turn to give way is over once dcsctp has it.
                Reliability::Full | Reliability::Priority(_) => None,
                Reliability::MaxRetransmits(n) => Some(n),
                Reliability::Lifetime(lifetime) => Some(retransmissions_within(lifetime, profile)),
            };
            let reliable = matches!(message.reliability, Reliability::Full | Reliability::Priority(_));
            self.reliable += usize::from(reliable);
            let (octets, token) = (message.data.len(), message.token);
            self.unsent += octets;
            let outcome = Outcome::Unknown;
            self.live.insert(id, Live { octets, token, reliable, outcome, sent: false });
            let options = SendOptions {
                unordered: message.unordered,
                lifetime: None,
                max_retransmissions,
                lifecycle_id: LifecycleId::new(id),
            };
            let raw =
                RawMessage::new(StreamId(message.stream), PpId(message.ppid.0), Vec::from(message.data));
            if let Err(error) = self.socket.send(raw, &options) {
                tracing::debug!(%error, peer = %self.address(), "message refused by the association");
            }
        }
        (request, left)
    }

    /// All of a message is in flight.
    pub(super) fn fully_sent(&mut self, id: u64) {
        if let Some(live) = self.live.get_mut(&id)
            && !std::mem::replace(&mut live.sent, true)
        {
            self.unsent -= live.octets;
        }
    }

    pub(super) fn outcome(&mut self, id: LifecycleId, outcome: Outcome) {
        self.live.entry(id.value()).and_modify(|live| live.outcome = outcome);
    }

    pub(super) fn finish(&mut self, id: u64) {
        self.fully_sent(id);
        if let Some(live) = self.live.remove(&id) {
            self.reliable -= usize::from(live.reliable);
            self.link.finished(live.octets, live.token, live.outcome);
        }
    }
}

/// Returns how often a message can be retransmitted until `lifetime` is over, at the shortest time-outs of the profile.
///
/// dcsctp 0.1.16 has lifetimes of its own, but a message that expires when part of it was sent later takes a TSN between
/// the fragments of another message, which is never put together again: its stream stands still, be it reliable.
fn retransmissions_within(lifetime: Duration, profile: &Profile) -> u16 {
    let (mut count, mut rto, mut passed) = (0, profile.rto_min, profile.rto_min);
    while passed <= lifetime && count < u16::MAX - 1 {
        count += 1;
        rto = (rto * 2).min(profile.rto_max).max(Duration::from_millis(1));
        passed += rto;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_room_for_some_retransmissions() {
        // Time-outs of 250, 500, 700, 700 ms …
        let within =
            |milliseconds| retransmissions_within(Duration::from_millis(milliseconds), &Profile::fast());
        assert_eq!([1, 250, 500, 750, 1_449, 1_450].map(within), [0, 1, 1, 2, 2, 3]);
        assert_eq!(retransmissions_within(Duration::MAX / 2, &Profile::fast()), u16::MAX - 1);
    }
}
