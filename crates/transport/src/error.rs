//! Why an operation failed or an association ended.

use std::io;
use std::time::Duration;

use crate::{MsgOut, PeerAddress};

/// Why an association is over.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LossReason {
    /// This side closed it gracefully.
    #[error("closed")]
    Closed,
    /// The peer closed it gracefully.
    #[error("closed by the peer")]
    PeerClosed,
    /// This side aborted it.
    #[error("aborted")]
    Aborted,
    /// The peer aborted it (SCTP ABORT, TCP reset).
    #[error("aborted by the peer: {0}")]
    PeerAborted(String),
    /// No valid packet from the peer for so long.
    #[error("no valid packet from the peer for {} ms", .0.as_millis())]
    Silent(Duration),
    /// The network said for so long, without a valid packet between, that nobody is there.
    #[error("peer unreachable (ICMP) for {} ms", .0.as_millis())]
    Unreachable(Duration),
    /// The peer broke a rule of the protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// The socket failed.
    #[error("socket: {0}")]
    Io(String),
    /// The endpoint below was closed.
    #[error("endpoint closed")]
    EndpointClosed,
}

/// Why `connect` failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The peer answered that nobody listens there.
    #[error("{0}: refused")]
    Refused(PeerAddress),
    /// No host, or no SCTP in UDP, there (ICMP).
    #[error("{0}: unreachable (ICMP: nothing at that port, or no such protocol on that host)")]
    Unreachable(PeerAddress),
    /// The peer's host does not speak native SCTP (ICMP protocol unreachable).
    #[error(
        "{peer}: no native SCTP there (ICMP protocol unreachable): load the module sctp on that host, \
         or reach it through UDP{}", if *udp_here { "" } else { " (here: sysctl -w net.sctp.udp_port=9899)" }
    )]
    NoSctp {
        /// The peer.
        peer: PeerAddress,
        /// Whether this host could reach it through UDP.
        udp_here: bool,
    },
    /// No answer in time.
    #[error("{0}: no answer")]
    TimedOut(PeerAddress),
    /// There is an association between the local port asked for and that port of the peer already
    /// ([`ConnectOptions::local_port`](crate::ConnectOptions)).
    #[error("{0}: there is an association from that local port already")]
    Exists(PeerAddress),
    /// This back end cannot reach such an address.
    #[error("{0}: not an address of this transport")]
    Address(PeerAddress),
    /// The peer answered nonsense.
    #[error("{0}: protocol error: {1}")]
    Protocol(PeerAddress, String),
    /// The TLS handshake failed: this side refuses the peer, or the peer this side.
    #[error("{0}: TLS: {1}")]
    Tls(PeerAddress, #[source] crate::tls::Refused),
    /// The socket failed.
    #[error("{0}: {1}")]
    Io(PeerAddress, #[source] io::Error),
    /// No address to connect to was given.
    #[error("the peer has no address")]
    NoAddress,
    /// The endpoint was closed.
    #[error("endpoint closed")]
    EndpointClosed,
}

/// Why a message was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The association is over or closing.
    #[error("association is closed")]
    Closed,
    /// More than [`MAX_MESSAGE`](crate::MAX_MESSAGE) octets.
    #[error("message of {0} octets is too long")]
    TooLong(usize),
    /// A message has at least one octet.
    #[error("message is empty")]
    Empty,
    /// The peer takes fewer streams.
    #[error("stream {0} is beyond those agreed on")]
    Stream(u16),
    /// On TCP, octets 2 and 3 of the message must be its length.
    #[error("message of {0} octets does not carry its own length in octets 2 and 3")]
    Framing(usize),
}

/// Why a message was not taken at once.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// The send queue is full; here is the message again.
    #[error("send queue is full")]
    Full(MsgOut),
    /// The association is over or closing.
    #[error("association is closed")]
    Closed,
    /// The message can never be sent.
    #[error(transparent)]
    Unsendable(SendError),
}

/// Why a graceful shutdown did not end well.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// Not everything was delivered in time; the association was aborted.
    #[error("shutdown not complete in time, aborted")]
    DeadlineExceeded,
    /// The association was lost instead.
    #[error("association lost while shutting down: {0}")]
    Lost(LossReason),
}
