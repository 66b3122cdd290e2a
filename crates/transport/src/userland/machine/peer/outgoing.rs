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

impl Peer {
    pub(super) fn take_messages(&mut self) -> Request {
        let request = self.link.take(&mut self.taken);
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
        request
    }

    pub(super) fn outcome(&mut self, id: LifecycleId, outcome: Outcome) {
        self.live.entry(id.value()).and_modify(|live| live.outcome = outcome);
    }

    pub(super) fn finish(&mut self, id: u64) {
        if let Some(live) = self.live.remove(&id) {
            self.reliable -= usize::from(live.reliable);
            self.link.finished(live.octets, live.token, live.outcome);
        }
    }
}
