//! How an endpoint is set up.

use std::fmt;
use std::net::IpAddr;

use crate::{Budget, PeerAddress, Profile, QueueLimits};

/// The UDP port of SCTP in UDP (RFC 6951 section 5.1).
pub const SCTP_ENCAPSULATION_PORT: u16 = 9899;

/// Which SCTP an endpoint uses.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Stack {
    /// The kernel's where the feature `kernel-sctp` is built in and the kernel has SCTP, else userland.
    #[default]
    Auto,
    /// The kernel's.
    Kernel,
    /// Ours, in UDP.
    Userland,
}

/// `auto`, `kernel`, `userland`, as configurations say it.
impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stack::Auto => "auto",
            Stack::Kernel => "kernel",
            Stack::Userland => "userland",
        })
    }
}

/// How one association is set up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The SCTP port it comes from; this endpoint may listen at it. Default: a free one.
    ///
    /// For peers that know others by that port, as the reference implementation of RSerPool does. Between two
    /// ports there is one association only: beside one that is there [`ConnectError::Exists`] is the answer, and
    /// two ends that connect to each other at once have one, which both have connected (RFC 9260 section 5.2.1)
    /// or one has accepted. To this endpoint's own address a free port is taken all the same; so it is where
    /// kernel SCTP goes through UDP, and with Linux before 5.1 where the port listens.
    ///
    /// [`ConnectError::Exists`]: crate::ConnectError::Exists
    pub local_port: Option<u16>,
}

impl ConnectOptions {
    /// From this port.
    #[must_use]
    pub fn from_port(port: u16) -> ConnectOptions {
        ConnectOptions { local_port: Some(port) }
    }

    /// The port to come from; none where this would be connecting to itself.
    pub(crate) fn port_towards(self, peers: &[PeerAddress], local: &[IpAddr]) -> Option<u16> {
        let port = self.local_port.filter(|&port| port != 0)?;
        let is_own =
            |peer: &PeerAddress| peer.port() == port && peer.ip().is_some_and(|ip| local.contains(&ip));
        (!peers.iter().any(is_own)).then_some(port)
    }
}

/// How an endpoint is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// Which SCTP. Default [`Stack::Auto`].
    pub stack: Stack,
    /// The specific local address; the wildcard is refused.
    pub address: IpAddr,
    /// Further specific local addresses (multihoming, RFC 9260 section 6.4). Default none.
    pub more_addresses: Vec<IpAddr>,
    /// Userland: the UDP port that carries SCTP; 0 takes a free one. Default 9899.
    pub encapsulation: u16,
    /// Timing. Default [`Profile::fast`].
    pub profile: Profile,
    /// Userland: longest SCTP packet in octets, UDP and IP headers not counted; longer than the path takes
    /// means fragments. Default: what the route to the peer takes when the association is set up, 16,384 at
    /// most.
    pub mtu: Option<usize>,
    /// Bounds of each association's queues.
    pub queues: QueueLimits,
    /// The window a peer may fill while `recv` is not called, beyond `queues.receive`; octets. At least
    /// 128 KiB, so that the longest message fits. Default 1 MiB.
    pub window: usize,
    /// Streams offered in both directions. Default 64.
    pub streams: u16,
    /// Associations waiting for `accept`, per listener. Default 128.
    pub backlog: usize,
    /// Associations in all, for each address: beyond it a peer's handshake is refused. Default 16,384.
    pub max_associations: usize,
    /// The same for one peer's IP address. Default 1,024.
    pub max_per_address: usize,
    /// A bound that its associations share with others. Default none.
    pub budget: Option<Budget>,
}

impl EndpointConfig {
    /// The defaults, at `address` and UDP port 9899.
    pub fn new(address: IpAddr) -> EndpointConfig {
        EndpointConfig {
            stack: Stack::Auto,
            address,
            more_addresses: Vec::new(),
            encapsulation: SCTP_ENCAPSULATION_PORT,
            profile: Profile::fast(),
            mtu: None,
            queues: QueueLimits::default(),
            window: 1 << 20,
            streams: 64,
            backlog: 128,
            max_associations: 16_384,
            max_per_address: 1_024,
            budget: None,
        }
    }

    /// The local addresses, the first one first.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.address).chain(self.more_addresses.iter().copied())
    }
}
