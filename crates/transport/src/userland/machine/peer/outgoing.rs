//! What the handle sends: into dcsctp, and out of the books once its end is known.

use std::collections::VecDeque;
use std::collections::btree_map::Entry;
use std::time::Instant;

use dcsctp::api::{DcSctpSocket, LifecycleId, Message as RawMessage, PpId, SendOptions, StreamId};

use super::Peer;
use crate::link::Request;
use crate::{MsgOut, Outcome, Profile, Reliability, Token};

/// Messages with a lifetime are given to dcsctp while fewer octets of their stream wait there: enough for the
/// packets that one acknowledgement lets go, few enough to leave soon.
const AHEAD: usize = 16 << 10;

/// A message whose end is not known.
pub(super) struct Live {
    octets: usize,
    token: Option<Token>,
    reliable: bool,
    pub(super) outcome: Outcome,
    /// All of it is in flight; a restart of the peer loses it.
    pub(super) sent: bool,
}

/// A message, and when its lifetime ends.
pub(super) type Waiting = (MsgOut, Option<Instant>);

/// Octets taken over and not sent yet, at most: the rest waits in the queue, where it can give way to messages of a
/// higher priority.
pub(super) const UNSENT: usize = 256 << 10;

impl Peer {
    /// Takes what there is room for. Returns whether more waits although there is room.
    pub(super) fn take_messages(&mut self, now: Instant, profile: &Profile) -> (Request, bool) {
        let room = UNSENT.saturating_sub(self.unsent);
        let (request, left) = self.link.take_some(&mut self.taken, room);
        while let Some(message) = self.taken.pop_front() {
            let deadline = match message.reliability {
                Reliability::Lifetime(lifetime) => Some(now + lifetime),
                Reliability::Full | Reliability::Priority(_) | Reliability::MaxRetransmits(_) => None,
            };
            self.unsent += message.data.len();
            // What follows a message that waits keeps its place behind it.
            match self.waiting.entry(message.stream) {
                Entry::Occupied(mut stream) => stream.get_mut().push_back((message, deadline)),
                Entry::Vacant(stream) if deadline.is_some() => {
                    stream.insert(VecDeque::from([(message, deadline)]));
                }
                Entry::Vacant(_) => self.hand_over(message, None),
            }
        }
        self.take_waiting(now, profile);
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

    /// Gives dcsctp as many messages with a lifetime as it will send soon, and drops those whose time is over.
    ///
    /// Its own lifetimes are not used: a message that expires when a piece of it was sent is dropped without
    /// telling the peer, which then waits for the rest for ever and delivers nothing more of that stream. So the
    /// lifetime ends here, or becomes the number of retransmissions that fit into what is left of it.
    fn take_waiting(&mut self, now: Instant, profile: &Profile) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|stream, messages| {
            while let Some((_, deadline)) = messages.front() {
                let left = deadline.map(|deadline| deadline.checked_duration_since(now));
                let ahead = self.socket.buffered_amount(StreamId(*stream));
                if matches!(left, Some(Some(_))) && ahead >= AHEAD {
                    break;
                }
                let Some((message, _)) = messages.pop_front() else { break };
                match left {
                    Some(None) => {
                        self.unsent -= message.data.len();
                        self.link.finished(message.data.len(), message.token, Outcome::Abandoned);
                    }
                    Some(Some(left)) => {
                        let fit = left.as_millis().div_ceil(profile.rto_min.as_millis().max(1));
                        self.hand_over(message, Some(u16::try_from(fit).unwrap_or(u16::MAX)));
                    }
                    None => self.hand_over(message, None),
                }
            }
            !messages.is_empty()
        });
        self.waiting = waiting;
    }

    /// Drops what dcsctp has not got.
    pub(super) fn forget_waiting(&mut self) {
        for (message, _) in std::mem::take(&mut self.waiting).into_values().flatten() {
            self.link.finished(message.data.len(), message.token, Outcome::Unknown);
        }
    }

    /// `fit`: how many retransmissions fit into the message's lifetime, if it has one.
    fn hand_over(&mut self, message: MsgOut, fit: Option<u16>) {
        let max_retransmissions = match message.reliability {
            // Its turn to give way is over once dcsctp has it.
            Reliability::Full | Reliability::Priority(_) => None,
            Reliability::MaxRetransmits(n) => Some(n),
            Reliability::Lifetime(_) => fit,
        };
        let id = self.next_lifecycle;
        self.next_lifecycle += 1;
        let reliable = max_retransmissions.is_none();
        self.reliable += usize::from(reliable);
        let (octets, token) = (message.data.len(), message.token);
        self.live.insert(id, Live { octets, token, reliable, outcome: Outcome::Unknown, sent: false });
        let options = SendOptions {
            unordered: message.unordered,
            lifetime: None,
            max_retransmissions,
            lifecycle_id: LifecycleId::new(id),
        };
        let raw = RawMessage::new(StreamId(message.stream), PpId(message.ppid.0), Vec::from(message.data));
        if let Err(error) = self.socket.send(raw, &options) {
            tracing::debug!(%error, peer = %self.address(), "message refused by the association");
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
