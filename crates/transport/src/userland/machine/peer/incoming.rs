//! What dcsctp has for the handle.

use std::time::Instant;

use bytes::Bytes;
use dcsctp::api::{DcSctpSocket, Message as RawMessage};

use super::super::Outbox;
use super::Peer;
use crate::{Event, Message, Ppid};

impl Peer {
    /// Gives the handle what it has room for.
    ///
    /// dcsctp tells the peer of a window that opens only with the next SACK, and without one the peer
    /// waits for its retransmission timer. A packet seen again makes it acknowledge at once.
    pub(super) fn deliver(&mut self, now: Instant, out: &mut Outbox) {
        if self.socket.messages_ready_count() == 0 {
            return;
        }
        let socket = &mut self.socket;
        self.link.fill(|| socket.get_next_message().map(event));
        self.stalled = self.socket.messages_ready_count() > 0;
        if !self.stalled
            && let Some(packet) = self.stalled_packet.take()
        {
            self.socket.handle_input(&packet);
            self.poll(now, out);
        }
    }

    /// Moves what waits in the socket to the handle although it has no room: the socket is about to
    /// close and would forget it. The window bounds how much that is.
    pub(super) fn deliver_all(&mut self) {
        while let Some(message) = self.socket.get_next_message() {
            self.link.push(event(message));
        }
    }
}

pub(super) fn event(message: RawMessage) -> Event {
    Event::Message(Message {
        stream: message.stream_id.0,
        ppid: Ppid(message.ppid.0),
        unordered: false,
        data: Bytes::from(message.payload),
    })
}
