//! How an association ends, and who is told.

use std::time::Instant;

use dcsctp::api::{DcSctpSocket, ErrorKind};

use super::super::Outbox;
use super::{Peer, Stage};
use crate::{ConnectError, LossReason, Outcome};

/// How an association ended.
pub(super) enum End {
    Lost(LossReason),
    Connect(ConnectError),
}

impl Peer {
    pub(super) fn aborted(&mut self, kind: ErrorKind, text: String) {
        let address = self.address();
        let end = match (&self.stage, kind) {
            (Stage::Connecting { .. }, ErrorKind::PeerReported) => {
                End::Connect(ConnectError::Refused(address))
            }
            (Stage::Connecting { .. }, _) => End::Connect(ConnectError::Protocol(address, text)),
            // Everything the peer had to say, and we to it, was said.
            (_, _) if self.peer_closing && self.reliable == 0 => End::Lost(LossReason::PeerClosed),
            (_, ErrorKind::PeerReported) => End::Lost(LossReason::PeerAborted(text)),
            (_, _) => End::Lost(LossReason::Protocol(text)),
        };
        self.end.get_or_insert(end);
    }

    /// Ends the association from outside.
    pub(crate) fn close(&mut self, reason: LossReason, now: Instant, out: &mut Outbox) {
        self.deliver_all();
        self.socket.close();
        self.end.get_or_insert(End::Lost(reason));
        self.poll(now, out);
    }

    /// Tells the handle, or whoever waits for it, how it ended.
    pub(crate) fn finale(mut self, now: Instant, out: &mut Outbox) -> Option<LossReason> {
        let end = self.end.take()?;
        self.deliver_all();
        // Says ABORT if the socket is not closed yet.
        self.socket.close();
        self.poll(now, out);
        let reason = match end {
            End::Lost(reason) => reason,
            End::Connect(error) => match std::mem::replace(&mut self.stage, Stage::Up) {
                Stage::Connecting { reply, .. } => {
                    // The caller may have gone.
                    let _ = reply.send(Err(error));
                    return None;
                }
                // COOKIE ACK and ABORT came together: the handle was given out after the refusal was seen.
                Stage::Accepting(_) | Stage::Up => LossReason::PeerAborted(error.to_string()),
            },
        };
        let reason = match reason {
            LossReason::Silent(_) | LossReason::Unreachable(_) if self.peer_closing && self.reliable == 0 => {
                LossReason::PeerClosed
            }
            reason => reason,
        };
        self.link.take(&mut self.taken);
        for message in std::mem::take(&mut self.taken) {
            self.link.finished(message.data.len(), message.token, Outcome::Unknown);
        }
        self.forget_waiting();
        let mut live: Vec<u64> = self.live.keys().copied().collect();
        live.sort_unstable();
        for id in live {
            if let Some(live) = self.live.get_mut(&id) {
                live.outcome = Outcome::Unknown;
            }
            self.finish(id);
        }
        self.link.end(reason.clone());
        Some(reason)
    }
}
