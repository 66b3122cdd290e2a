//! What dcsctp has for the handle.

use std::time::Instant;

use bytes::Bytes;
use dcsctp::api::{DcSctpSocket, Message as RawMessage};

use super::super::Outbox;
use super::super::packet::{self, chunk};
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
        let (socket, unfinished) = (&mut self.socket, &mut self.unfinished);
        self.link.fill(|| {
            let message = socket.get_next_message()?;
            unfinished.taken(message.payload.len());
            Some(event(message))
        });
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
            self.unfinished.taken(message.payload.len());
            self.link.push(event(message));
        }
    }
}

impl Peer {
    /// Says how long dcsctp's receive buffer is, in octets.
    pub(crate) fn set_window(&mut self, buffer: usize) {
        self.unfinished = Unfinished::new(buffer);
    }

    /// Whether nothing more may be kept of anybody.
    pub(super) fn has_no_room(&self) -> bool {
        self.link.account().is_some_and(|account| account.budget().is_full())
    }

    /// Tells the budget what is kept of messages that the handle has not got.
    pub(super) fn tell_unfinished(&self) {
        let packets = [&self.stalled_packet, &self.held_shutdown];
        let packets: usize = packets.into_iter().flatten().map(Vec::capacity).sum();
        self.link.hold(self.unfinished.octets() + packets);
    }
}

/// What dcsctp keeps of messages that are not whole, or not taken; it does not say. Its octets follow from the
/// window it announces, exactly at each SACK, and the pieces they came in, each of which costs memory, are counted.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// What it announces while it keeps nothing.
    window: usize,
    octets: usize,
    /// Counted down with each message, and forgotten when nothing is kept.
    pieces: usize,
}

/// What dcsctp announces of its buffer.
const ANNOUNCED: f32 = 0.9;

/// What a piece costs beyond its octets.
const PIECE: usize = 128;

impl Unfinished {
    /// `buffer` is dcsctp's, in octets.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "as there"
    )]
    pub(super) fn new(buffer: usize) -> Unfinished {
        Unfinished { window: (buffer as f32 * ANNOUNCED) as usize, octets: 0, pieces: 0 }
    }

    /// The value of a DATA chunk arrived.
    pub(super) fn arrived(&mut self, octets: usize) {
        self.octets += octets.saturating_sub(packet::DATA_HEADER - 4);
        self.pieces += 1;
    }

    fn taken(&mut self, octets: usize) {
        self.octets = self.octets.saturating_sub(octets);
        self.pieces = self.pieces.saturating_sub(1);
    }

    /// A packet leaves, perhaps with a SACK (RFC 9260 section 3.3.4).
    pub(super) fn look_at(&mut self, sent: &[u8]) {
        let sack = packet::chunks(sent).find(|chunk| chunk.kind == chunk::SACK);
        let Some(announced) = sack.and_then(|sack| packet::u32_at(sack.value, 4)) else { return };
        self.octets = self.window.saturating_sub(announced as usize);
        if self.octets == 0 {
            self.pieces = 0;
        }
    }

    fn octets(&self) -> usize {
        self.octets + self.pieces * PIECE
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
