//! What goes into a session and what comes out of it.

use std::fmt;

use bytes::Bytes;
use rserpool_proto::PeId;
use rserpool_proto::wire::asap::business_card::BusinessCard;
use transport::{ConnectError, LossReason, Message, Outcome, PeerAddress, Ppid, Reliability};

/// How a session uses its pool.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// What data messages are said to be; not [`Ppid::ASAP`], which is the control channel.
    pub ppid: Ppid,
    /// Whether elements have a control channel.
    pub service: Service,
    /// Elements registered for TCP are reached over TLS, and never without (RFC 5355 threat 9).
    pub tls: bool,
    /// Octets of data at most that are held or not yet acknowledged by the transport.
    pub max_held: usize,
    /// Who this user is, if it is itself an element of a pool: told to each element over the control channel (RFC 5352
    /// section 3.9).
    pub business_card: Option<BusinessCard>,
}

impl Default for SessionConfig {
    fn default() -> SessionConfig {
        SessionConfig {
            ppid: Ppid(0),
            service: Service::AsRegistered,
            tls: false,
            max_held: 1 << 20,
            business_card: None,
        }
    }
}

/// Whether elements have a control channel beside the data, for cookies and business cards.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Service {
    /// As the registration says: SCTP with transport use "data plus control" has one, TCP has none.
    #[default]
    AsRegistered,
    /// Every element has one: for TCP, whose parameter cannot say it (RFC 5354 section 3.5).
    Full,
    /// None has: resolution only.
    Minimal,
}

/// Where data goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// The pool: the element in use (RFC 5352 section 6.5.1 with ASAP_SEND_TO_LAST), or the next one there will be.
    Pool,
    /// One element of the pool (section 6.5.3).
    Element(PeId),
    /// A transport address, beside the pool: there is no failover (section 6.5.4).
    Address(PeerAddress),
}

/// Where data came from, or went.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// An element of the pool.
    Element(PeId),
    /// A transport address.
    Address(PeerAddress),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Element(pe) => write!(f, "pool element {pe}"),
            Origin::Address(address) => address.fmt(f),
        }
    }
}

/// How data is sent (RFC 5352 section 6.5.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SendOptions {
    /// Asks for [`SessionEvent::Outcome`] also when the message was delivered.
    pub acknowledge: bool,
    /// Sends the message to the next element when this one failed before its transport acknowledged it
    /// (ASAP_SEND_FAILOVER). It may arrive at both. Without, the data come back in [`SessionEvent::Outcome`].
    pub failover: bool,
    /// The stream.
    pub stream: u16,
    /// May overtake others of its stream (ASAP_SCTP_UNORDER).
    pub unordered: bool,
    /// When the transport gives up.
    pub reliability: Reliability,
}

impl Default for SendOptions {
    fn default() -> SendOptions {
        SendOptions {
            acknowledge: false,
            failover: true,
            stream: 0,
            unordered: false,
            reliability: Reliability::Full,
        }
    }
}

/// Names a message of a session; later ones have higher numbers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageId(pub u64);

/// A message that was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Taken {
    /// Its name.
    pub message: MessageId,
    /// The element it was sent to; `None` for an address, and while it waits for an element.
    pub element: Option<PeId>,
}

/// Why data were not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTaken {
    /// A message has at least one octet.
    #[error("the message is empty")]
    Empty,
    /// More octets than a transport carries in one message.
    #[error("a message of {0} octets is too long")]
    TooLong(usize),
    /// As much is held already as [`SessionConfig::max_held`] allows: go on when [`PoolSession::next_event`] has made
    /// room.
    ///
    /// [`PoolSession::next_event`]: super::PoolSession::next_event
    #[error("too much waits to be sent")]
    Full,
    /// The pool has no such element, or one of a transport that is not spoken here.
    #[error("the pool has no element {0} that can be reached")]
    UnknownElement(PeId),
    /// Too many elements and addresses are in use beside each other.
    #[error("too many peers at once")]
    TooManyPeers,
}

/// Why an element is left, and what others learn of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leave {
    /// It does not do its work: it is reported to the registrar, in quarantine, and its association is aborted.
    Failed,
    /// It is not to be used for now: in quarantine, not reported; its association ends in order.
    Unwilling,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// An element is in use from now on: the failover hook (draft-ietf-rserpool-applic section 3.4). If there was a
    /// cookie it was sent back already; what is sent before the next call of [`PoolSession::next_event`] goes next, and
    /// then what waits.
    ///
    /// [`PoolSession::next_event`]: super::PoolSession::next_event
    Ready {
        /// The element.
        element: PeId,
        /// The one used before. It is the same one where an element came back without its state.
        after: Option<PeId>,
    },
    /// Data arrived (DATA_INDICATION).
    Data {
        /// From whom.
        from: Origin,
        /// The data, and how they came.
        message: Message,
    },
    /// What became of a message: of each that asked for it, and of each that was not delivered and is not sent again
    /// (Error.Report, RFC 5352 section 6.7).
    Outcome {
        /// The message.
        message: MessageId,
        /// Where it went.
        to: Origin,
        /// `Delivered`: its transport has it, which does not say that it was read.
        outcome: Outcome,
        /// The data, unless they were delivered.
        data: Option<Bytes>,
    },
    /// The transport can never send this message, such as one for a stream the peer does not have.
    Unsendable {
        /// The message.
        message: MessageId,
        /// Where it should have gone.
        to: Origin,
        /// Why.
        error: transport::SendError,
    },
    /// An association is over. If it was that of the element in use, the next one is being looked for.
    Lost {
        /// With whom.
        with: Origin,
        /// Why.
        reason: LossReason,
    },
    /// An element or address that was sent to by name cannot be reached.
    NotReached {
        /// Whom.
        to: Origin,
        /// Why.
        error: ConnectError,
    },
}
