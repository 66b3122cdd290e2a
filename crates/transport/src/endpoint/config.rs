//! How an endpoint is set up.

use std::fmt;
use std::net::IpAddr;

use crate::{Profile, QueueLimits};

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
    /// Kernel SCTP: whether it is always looked for acknowledgements as they come, which costs several system calls
    /// each time. Otherwise that is done for messages with tokens or limited reliability, when a send queue fills,
    /// when an association closes, and now and then: [`Event::SenderDry`](crate::Event::SenderDry) comes late, and
    /// `Status::send_queue` counts messages for longer. Default yes.
    pub prompt: bool,
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
            prompt: true,
        }
    }

    /// The local addresses, the first one first.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.address).chain(self.more_addresses.iter().copied())
    }
}
