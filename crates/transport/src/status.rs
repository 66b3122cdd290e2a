//! A look at an association.

use std::time::Duration;

use crate::PeerAddress;

/// Whether messages can be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Yes.
    Up,
    /// Shutting down, from either side.
    Closing,
    /// Over.
    Closed,
}

/// A look at an association. Figures of the protocol are at most some 100 ms old.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Whether messages can be sent.
    pub state: State,
    /// The peer, as reached at present.
    pub peer: PeerAddress,
    /// This side.
    pub local: PeerAddress,
    /// What the send queue is charged with: octets accepted and not yet delivered, abandoned or (TCP)
    /// handed to the kernel, and a constant for each message.
    pub send_queue: usize,
    /// What waits for `recv`, in octets.
    pub receive_queue: usize,
    /// Messages accepted whose end is not known.
    pub unacknowledged: usize,
    /// Smoothed round trip time, where the back end knows it.
    pub srtt: Option<Duration>,
    /// Congestion window in octets, where the back end knows it.
    pub congestion_window: Option<usize>,
    /// The peer's last announced window in octets, where the back end knows it.
    pub peer_window: Option<usize>,
    /// Packets sent again, where the back end knows it.
    pub retransmissions: Option<u64>,
    /// Whether the peer was not heard for longer than its answers to heartbeats should take, although not yet for so long
    /// that it counts as lost; false where the back end does not know. A fifth of a second old at most.
    pub quiet: bool,
    /// The longest message that fits one packet of the path, in octets, where the back end knows it. A
    /// message that may be lost should not be longer: in two packets it is lost twice as often.
    pub max_payload: Option<usize>,
}
