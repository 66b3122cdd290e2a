//! What the handle sends: into dcsctp, and out of the books once its end is known.

use dcsctp::api::{DcSctpSocket, LifecycleId, Message as RawMessage, PpId, SendOptions, StreamId};

use super::Peer;
use crate::link::Request;
use crate::{Outcome, Reliability, Token};

/// A message whose end is not known.
pub(super) struct Live {
    octets: usize,
    token: Option<Token>,
    reliable: bool,
    pub(super) outcome: Outcome,
    /// All of it is in flight; a restart of the peer loses it.
    pub(super) sent: bool,
}

/// Octets in dcsctp that were not sent yet, at most: the rest waits in the queue, where it can give way to messages
/// of a higher priority.
pub(super) const UNSENT: usize = 256 << 10;

impl Peer {
    /// Gives dcsctp what it has room for. Returns whether more waits although there is room.
    pub(super) fn take_messages(&mut self) -> (Request, bool) {
        let room = UNSENT.saturating_sub(self.unsent);
        let (request, left) = self.link.take_some(&mut self.taken, room);
        while let Some(message) = self.taken.pop_front() {
            let id = self.next_lifecycle;
            self.next_lifecycle += 1;
            let (max_retransmissions, lifetime) = match message.reliability {
                // Its turn to give way is over once dcsctp has it.
                Reliability::Full | Reliability::Priority(_) => (None, None),
                Reliability::MaxRetransmits(n) => (Some(n), None),
                Reliability::Lifetime(lifetime) => (None, Some(lifetime)),
            };
            let reliable = matches!(message.reliability, Reliability::Full | Reliability::Priority(_));
            self.reliable += usize::from(reliable);
            let (octets, token) = (message.data.len(), message.token);
            self.unsent += octets;
            let outcome = Outcome::Unknown;
            self.live.insert(id, Live { octets, token, reliable, outcome, sent: false });
            let options = SendOptions {
                unordered: message.unordered,
                lifetime,
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
