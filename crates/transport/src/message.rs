//! Messages, how reliable they are, and what happens to an association.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::{LossReason, PeerAddress};

/// The longest message every back end carries, in octets: the 16-bit length of IPFIX and ASAP.
pub const MAX_MESSAGE: usize = 65_535;

/// An SCTP payload protocol identifier (RFC 9260 section 3.3.1), in host byte order.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ppid(pub u32);

impl Ppid {
    /// IPFIX (RFC 7011 section 10.2): unspecified, 0.
    pub const IPFIX: Ppid = Ppid(0);
    /// ASAP (RFC 5352), 11.
    pub const ASAP: Ppid = Ppid(11);
    /// ENRP (RFC 5353), 12.
    pub const ENRP: Ppid = Ppid(12);
}

impl fmt::Display for Ppid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How hard the transport tries to deliver a message (RFC 3758, RFC 7496). TCP makes everything `Full`.
///
/// Keep one reliability per stream: where userland SCTP skips a message given up, it also drops complete
/// ordered messages of that stream that wait behind it, a `Full` one among them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Reliability {
    /// Until it arrives or the association is lost.
    #[default]
    Full,
    /// Given up after this many retransmissions.
    MaxRetransmits(u16),
    /// Given up when this time has passed since it was queued. Userland SCTP gives a message that was sent as many
    /// retransmissions as fit into this time.
    Lifetime(Duration),
    /// Retransmitted like `Full`, but given up, before it was transmitted, where a message of a higher
    /// priority finds the send queue full (RFC 7496 section 3.2). 0 is the highest; `Full` is higher still.
    Priority(u32),
}

/// Names a message in [`Event::Sent`]. The sender chooses it; it need not be unique.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(pub u64);

/// A message to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MsgOut {
    /// The stream; messages of one stream arrive in order. Always 0 on TCP.
    pub stream: u16,
    /// What the payload is.
    pub ppid: Ppid,
    /// May overtake other messages of its stream.
    pub unordered: bool,
    /// When to give up.
    pub reliability: Reliability,
    /// Asks for an [`Event::Sent`] that tells what became of the message.
    pub token: Option<Token>,
    /// 1 to [`MAX_MESSAGE`] octets.
    pub data: Bytes,
}

impl MsgOut {
    /// A fully reliable, ordered message on stream 0, without a token.
    pub fn new(ppid: Ppid, data: impl Into<Bytes>) -> MsgOut {
        let reliability = Reliability::Full;
        MsgOut { stream: 0, ppid, unordered: false, reliability, token: None, data: data.into() }
    }
}

/// A message that arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The stream it came on; always 0 on TCP.
    pub stream: u16,
    /// What the payload is; on TCP concluded from the first octet.
    pub ppid: Ppid,
    /// Whether it was sent unordered. False where the back end cannot tell (userland SCTP, TCP).
    pub unordered: bool,
    /// The octets.
    pub data: Bytes,
}

/// What became of a message that was sent with a [`Token`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// The peer's transport acknowledged it. On TCP it only means: handed to the kernel. Of a message
    /// that need not arrive even this is no proof: the peer may drop it together with one it skips.
    Delivered,
    /// Given up by its [`Reliability`]. It may have arrived all the same.
    Abandoned,
    /// The association ended or restarted before it was known.
    Unknown,
}

/// What [`Association::recv`](crate::Association::recv) returns.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A message arrived.
    Message(Message),
    /// Messages can flow again, after `Restarted`. Not sent at the start: `connect` and `accept`
    /// return associations that are up.
    Up,
    /// The peer is reached at this address, from now on or again.
    PathUp(PeerAddress),
    /// The peer is not reached at this address (back ends with several paths).
    PathDown(PeerAddress),
    /// The peer lost its state and set up the association anew (RFC 9260 section 5.2.4): what was
    /// agreed in the old one, such as templates, is gone (RFC 7011 section 8.1).
    Restarted,
    /// What became of the message with this token.
    Sent {
        /// The token given to `send`.
        token: Token,
        /// What is known.
        outcome: Outcome,
    },
    /// Everything accepted so far has left: delivered or abandoned (TCP: handed to the kernel).
    SenderDry,
    /// The peer closes gracefully and sends nothing after what it has queued; nothing more can be sent.
    PeerShutdown,
    /// The association is over. Repeated from here on.
    Lost(LossReason),
}
