//! What can be wrong with a capture. Every text begins with the octet of the file where it was found.

use std::io;

/// Why a capture could not be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The operating system refused to read.
    #[error("octet {offset}: cannot read the capture")]
    Io {
        /// Where in the file.
        offset: u64,
        /// What it said.
        source: io::Error,
    },
    /// The file is neither pcap nor pcapng.
    #[error("octet {offset}: {magic:#010x} is the mark of neither pcap nor pcapng")]
    Magic {
        /// Where in the file.
        offset: u64,
        /// The first four octets, most significant first.
        magic: u32,
    },
    /// The file format has a version that is not known.
    #[error("octet {offset}: version {major}.{minor} of the file format is not supported")]
    Version {
        /// Where in the file.
        offset: u64,
        /// Major version found.
        major: u16,
        /// Minor version found.
        minor: u16,
    },
    /// The file ends inside a header, packet or block.
    #[error("octet {offset}: the file ends after {found} of {wanted} octets of a {what}")]
    Truncated {
        /// Where the incomplete thing begins.
        offset: u64,
        /// What is incomplete.
        what: &'static str,
        /// Octets it should have.
        wanted: usize,
        /// Octets there are.
        found: usize,
    },
    /// A length that cannot be right.
    #[error("octet {offset}: {what} {length} is not within {minimum} to {maximum}")]
    Length {
        /// Where in the file.
        offset: u64,
        /// Which length.
        what: &'static str,
        /// The value found.
        length: u32,
        /// The smallest that would do.
        minimum: u32,
        /// The largest that would do.
        maximum: u32,
    },
    /// The two lengths of a pcapng block differ.
    #[error("octet {offset}: a block of {leading} octets ends with the length {trailing}")]
    BlockLength {
        /// Where the second length is.
        offset: u64,
        /// The length in front.
        leading: u32,
        /// The length at the end.
        trailing: u32,
    },
    /// A packet of an interface that was not described before.
    #[error("octet {offset}: interface {interface} was not described, the section has {described}")]
    Interface {
        /// Where in the file.
        offset: u64,
        /// The interface named by the packet.
        interface: u32,
        /// How many there are.
        described: usize,
    },
    /// More interfaces in a section than can be kept.
    #[error("octet {offset}: more than {limit} interfaces in one section")]
    Interfaces {
        /// Where in the file.
        offset: u64,
        /// The most there may be.
        limit: usize,
    },
    /// Packets of a link layer that is not understood.
    #[error("octet {offset}: link type {link} is not supported")]
    LinkType {
        /// Where in the file.
        offset: u64,
        /// The LINKTYPE_ number found.
        link: u16,
    },
}

impl CaptureError {
    /// Returns where in the file it was found, in octets from its beginning.
    pub const fn offset(&self) -> u64 {
        match self {
            Self::Io { offset, .. }
            | Self::Magic { offset, .. }
            | Self::Version { offset, .. }
            | Self::Truncated { offset, .. }
            | Self::Length { offset, .. }
            | Self::BlockLength { offset, .. }
            | Self::Interface { offset, .. }
            | Self::Interfaces { offset, .. }
            | Self::LinkType { offset, .. } => *offset,
        }
    }
}
