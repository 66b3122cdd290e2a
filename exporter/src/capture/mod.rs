//! Where packets come from: octets of a frame with the time at which they were seen.
//!
//! A [`PacketSource`] lends one packet after the other from its own buffer; nothing is allocated
//! per packet. Times are nanoseconds since the Unix epoch, taken from the capture and never from a clock. Packets
//! that come as they are seen are [`live`]'s.

pub mod bpf;
mod captures;
mod error;
mod filter;
mod interface_drops;
pub mod live;
mod looped;
mod pattern;
mod pcap;
mod pcap_file;
mod pcapng;
mod ring;
mod window;

pub use captures::Captures;
pub use error::CaptureError;
pub use filter::{Filter, FilterError};
pub use interface_drops::InterfaceDrops;
pub use looped::{LoopOptions, Looped};
pub use pattern::Pattern;
pub use pcap_file::PcapFile;

use std::fmt;

/// Lends packets one by one, in the order in which they were captured.
pub trait PacketSource {
    /// Returns the next packet, `None` after the last.
    ///
    /// An error ends the source: whatever was readable before it has been returned, and calls after
    /// it return `None`.
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>, CaptureError>;

    /// Returns the interfaces that were described since the last call; some may have been before.
    fn take_interfaces(&mut self) -> Vec<Interface> {
        Vec::new()
    }
}

/// An interface as its source describes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Interface {
    /// What its packets have as [`Packet::interface`].
    pub index: u32,
    /// Its name; may be empty.
    pub name: String,
    /// A text for people; may be empty.
    pub description: String,
}

/// One captured packet, borrowed from its source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// When it was seen, in nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// Its length on the wire, in octets; at least `octets.len()` in a sane capture.
    pub original_length: u32,
    /// What was captured of it, from the link layer header on.
    pub octets: &'a [u8],
    /// The interface it was seen on: the number of its description in its section of the capture, from 1; 0 where the capture
    /// describes none.
    pub interface: u32,
    /// How `octets` begins.
    pub link: LinkType,
    /// Whether it left by that interface; false also where the capture does not tell.
    pub outgoing: bool,
}

/// The link layer of a capture, as registered in the LINKTYPE_ list of libpcap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkType {
    /// BSD loopback: the address family in 4 octets of the capturing host's order, or in network order.
    Null,
    /// Ethernet II and what looks like it.
    Ethernet,
    /// IPv4 or IPv6 with nothing before it.
    RawIp,
    /// Linux "cooked" capture, version 1 (16 octets).
    LinuxSll,
    /// Linux "cooked" capture, version 2 (20 octets, names the interface).
    LinuxSll2,
}

impl LinkType {
    /// Returns the link type of a LINKTYPE_ number, `None` if its packets cannot be read here.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 | 108 => Some(Self::Null),
            1 => Some(Self::Ethernet),
            12 | 14 | 101 | 228 | 229 => Some(Self::RawIp),
            113 => Some(Self::LinuxSll),
            276 => Some(Self::LinuxSll2),
            _ => None,
        }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Ethernet => "ethernet",
            Self::RawIp => "raw IP",
            Self::LinuxSll => "Linux cooked",
            Self::LinuxSll2 => "Linux cooked v2",
        })
    }
}
