//! Reads capture files, pcap and pcapng, told apart by their first four octets.
//!
//! A file that is cut or damaged yields its packets up to there, then a [`CaptureError`] with the offset.
//! Memory is one fixed window, whatever lengths the file claims.

use super::window::Window;
use super::{CaptureError, Interface, LinkType, Packet, PacketSource, pcap, pcapng};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The most octets one packet may have captured, as in libpcap.
pub(super) const MAX_CAPTURED: u32 = 262_144;

/// Reads a pcap or pcapng file.
///
/// ```no_run
/// use exporter::capture::{PacketSource, PcapFile};
///
/// let mut file = PcapFile::open("trace.pcap".as_ref())?;
/// while let Some(packet) = file.next_packet()? {
///     println!("{} ns: {} octets", packet.timestamp, packet.original_length);
/// }
/// # Ok::<(), exporter::capture::CaptureError>(())
/// ```
pub struct PcapFile<R = File> {
    window: Window<R>,
    format: Format,
    ended: bool,
}

enum Format {
    Pcap(pcap::Header),
    PcapNg(pcapng::Section),
}

/// A packet without its octets, which lie in the window at `at`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) timestamp: u64,
    pub(super) original_length: u32,
    pub(super) at: usize,
    pub(super) length: usize,
    pub(super) interface: u32,
    pub(super) link: LinkType,
}

impl PcapFile<File> {
    /// Opens a capture file and reads its header.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|source| CaptureError::Io { offset: 0, source })?;
        Self::new(file)
    }
}

impl<R: Read> PcapFile<R> {
    /// Reads the header of a capture from any reader; it need not be buffered.
    pub fn new(reader: R) -> Result<Self, CaptureError> {
        let mut window = Window::new(reader);
        let none = CaptureError::Truncated { offset: 0, what: "file header", wanted: 4, found: 0 };
        let mark = window.peek(4, "file header")?.ok_or(none)?;
        let mark = [mark[0], mark[1], mark[2], mark[3]];
        let format = match mark {
            pcapng::SECTION_HEADER => Format::PcapNg(pcapng::Section::read(&mut window)?),
            _ => Format::Pcap(pcap::Header::read(&mut window, mark)?),
        };
        Ok(Self { window, format, ended: false })
    }

    /// Passes over the next packet and returns where it lies.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<Option<Found>, CaptureError> {
        if self.ended {
            return Ok(None);
        }
        let found = match &mut self.format {
            Format::Pcap(header) => header.next(&mut self.window),
            Format::PcapNg(section) => section.next(&mut self.window),
        };
        self.ended = !matches!(found, Ok(Some(_)));
        found
    }

    /// Returns the interfaces described since the last call.
    #[inline]
    pub(super) fn described(&mut self) -> Vec<Interface> {
        match &mut self.format {
            Format::Pcap(_) => Vec::new(),
            Format::PcapNg(section) => section.take_described(),
        }
    }

    /// Returns the packet that [`advance`](Self::advance) found last.
    #[inline]
    pub(super) fn packet(&self, found: Found) -> Packet<'_> {
        Packet {
            timestamp: found.timestamp,
            original_length: found.original_length,
            octets: self.window.octets(found.at, found.length),
            interface: found.interface,
            link: found.link,
            outgoing: false,
        }
    }
}

impl<R: Read> PacketSource for PcapFile<R> {
    #[inline]
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        let found = self.advance()?;
        Ok(found.map(|found| self.packet(found)))
    }

    #[inline]
    fn take_interfaces(&mut self) -> Vec<Interface> {
        self.described()
    }
}

/// How a file writes its integers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    #[inline]
    pub(super) fn u16(self, octets: &[u8], at: usize) -> u16 {
        let field = [octets[at], octets[at + 1]];
        match self {
            Self::Little => u16::from_le_bytes(field),
            Self::Big => u16::from_be_bytes(field),
        }
    }

    #[inline]
    pub(super) fn u32(self, octets: &[u8], at: usize) -> u32 {
        let field = [octets[at], octets[at + 1], octets[at + 2], octets[at + 3]];
        match self {
            Self::Little => u32::from_le_bytes(field),
            Self::Big => u32::from_be_bytes(field),
        }
    }
}

/// Refuses a length outside `minimum..=maximum`.
#[inline]
pub(super) fn within(
    what: &'static str,
    offset: u64,
    length: u32,
    minimum: u32,
    maximum: u32,
) -> Result<(), CaptureError> {
    if (minimum..=maximum).contains(&length) {
        Ok(())
    } else {
        Err(CaptureError::Length { offset, what, length, minimum, maximum })
    }
}

#[cfg(test)]
mod tests;
