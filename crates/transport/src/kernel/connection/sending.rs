//! Messages on their way to the kernel.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use tokio::time::Instant;

use super::super::ledger::{Entry, Ledger};
use super::super::options;
use super::super::sys::{self, SendInfo};
use super::super::{SCTP_PR_SCTP_NONE, SCTP_PR_SCTP_PRIO, SCTP_PR_SCTP_RTX, SCTP_PR_SCTP_TTL};
use super::{Connection, State};
use crate::link::Request;
use crate::{LossReason, MsgOut, Outcome, Reliability};

const SCTP_UNORDERED: u16 = 1;
/// Asks the peer for a SACK at once (RFC 7053).
const SCTP_SACK_IMMEDIATELY: u16 = 8;
/// With so many octets unacknowledged, the last message queued asks for a SACK at once: then nothing waits
/// for the peer's delayed one.
const HURRY: usize = 64 << 10;
/// With so many octets in the kernel, messages that may give way to others wait in our queue, where they can.
/// Other messages do not, since the kernel takes nothing more once the peer has begun to close.
const UNYIELDING: usize = 256 << 10;
/// Of the send queue, the part that may be taken by messages of which nobody has looked whether they were acknowledged.
const UNSETTLED: usize = 4;
/// Room for so many messages is kept for the next ones.
const KEPT: usize = 64;
/// How often, at most, acknowledgements are looked for.
const BREATH: Duration = Duration::from_millis(1);

impl Connection {
    /// Goes on where the kernel had no room, and closes.
    pub(super) async fn write(&self) -> LossReason {
        let mut shut = false;
        loop {
            let request = self.pump();
            if request == Request::Abort {
                return LossReason::Aborted;
            }
            if request == Request::Shutdown && !shut {
                if self.link.is_dry() {
                    shut = true;
                    if let Err(error) = self.socket.shutdown(Shutdown::Write) {
                        tracing::debug!(%error, "shutdown refused; the association is over");
                    }
                } else {
                    self.be_told_when_dry(&mut self.state());
                }
            }
            let (full, pressed) = self.needs_writable();
            tokio::select! {
                // Each acknowledgement makes the socket writable anew.
                ready = self.socket.writable(), if full || pressed => {
                    if let Err(error) = ready {
                        return LossReason::Io(error.to_string());
                    }
                    self.look();
                    self.read.notify_one();
                    if !full {
                        tokio::time::sleep(BREATH).await;
                    }
                }
                () = self.write.notified() => {}
            }
        }
    }

    /// Whether to go on as soon as the kernel has room, and whether to look for acknowledgements.
    pub(super) fn needs_writable(&self) -> (bool, bool) {
        let state = self.state();
        let unsettled = self.shared.config.queues.send / UNSETTLED;
        (state.full, state.ledger.octets() >= HURRY || state.ledger.charge() >= unsettled)
    }

    fn be_told_when_dry(&self, state: &mut State) {
        if !std::mem::replace(&mut state.told_when_dry, true)
            && let Err(error) = options::subscribe_to_dry(&self.socket)
        {
            tracing::debug!(%error, "the association is over");
        }
    }

    /// Takes what was queued and gives the kernel as much as it takes.
    pub(super) fn pump(&self) -> Request {
        let mut state = self.state();
        let mut taken = std::mem::take(&mut state.taken);
        let now = Instant::now();
        let room = if state.queue.is_empty() { UNYIELDING.saturating_sub(state.ledger.octets()) } else { 0 };
        let (request, _) = self.link.take_unyielding(&mut taken, room, now.into_std());
        state.queue.extend(taken.drain(..).map(|message| {
            let until = match message.reliability {
                Reliability::Lifetime(lifetime) => now.checked_add(lifetime),
                _ => None,
            };
            (message, until)
        }));
        if taken.capacity() <= KEPT {
            state.taken = taken;
        }
        if request == Request::Abort {
            return request;
        }
        match self.hand_over(&mut state) {
            Ok(full) => state.full = full,
            Err(error) => {
                // The association is closing or over, and the reader will see why.
                let messages = state.queue.len();
                tracing::debug!(%error, messages, "kernel SCTP takes no more messages");
                state.full = false;
                self.link.close_sending();
                for (message, _) in state.queue.drain(..) {
                    self.link.finished(message.data.len(), message.token, Outcome::Unknown);
                }
            }
        }
        request
    }

    /// Gives the kernel what it takes. Returns whether it is full.
    fn hand_over(&self, state: &mut State) -> io::Result<bool> {
        while let Some((message, until)) = state.queue.front() {
            let (octets, token) = (message.data.len(), message.token);
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                state.queue.pop_front();
                self.link.finished(octets, token, Outcome::Abandoned);
                continue;
            }
            let info = send_info(message, left, &state.ledger, state.queue.len() == 1);
            match sys::send(&self.socket, &message.data, &info) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_full(&error) => return Ok(true),
                Err(error) => return Err(error),
            }
            state.queue.pop_front();
            let lane = (info.policy != SCTP_PR_SCTP_NONE).then_some((info.stream, info.policy));
            state.ledger.sent(Entry { octets, token, lane });
            if token.is_some() || lane.is_some() {
                self.be_told_when_dry(state);
            }
        }
        Ok(false)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory)
        || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// How a message goes out; `left` is what is left of its lifetime, `last` that none waits behind it.
fn send_info(message: &MsgOut, left: Option<Duration>, ledger: &Ledger, last: bool) -> SendInfo {
    let (policy, value) = match (message.reliability, left) {
        (Reliability::Full, _) | (Reliability::Lifetime(_), None) => (SCTP_PR_SCTP_NONE, 0),
        (Reliability::MaxRetransmits(count), _) => (SCTP_PR_SCTP_RTX, count.into()),
        (Reliability::Priority(priority), _) => (SCTP_PR_SCTP_PRIO, priority),
        (Reliability::Lifetime(_), Some(left)) => {
            (SCTP_PR_SCTP_TTL, u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1))
        }
    };
    let mut flags = if message.unordered { SCTP_UNORDERED } else { 0 };
    if last && ledger.octets() + message.data.len() >= HURRY {
        flags |= SCTP_SACK_IMMEDIATELY;
    }
    let context = ledger.next_context();
    SendInfo { stream: message.stream, flags, ppid: message.ppid, context, policy, value, more: !last }
}
