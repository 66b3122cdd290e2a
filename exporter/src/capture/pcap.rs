//! The pcap format (draft-ietf-opsawg-pcap): a header of 24 octets, then packets of 16 octets and their data.
//!
//! Both byte orders, micro- and nanoseconds. Deviation: a packet may have more octets than the
//! header's snaplen says (writers exist that do so), up to `MAX_CAPTURED`.

use super::pcap_file::{Found, MAX_CAPTURED, Order, within};
use super::window::Window;
use super::{CaptureError, LinkType};
use std::io::Read;

const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// What the file header says.
#[derive(Debug)]
pub(super) struct Header {
    order: Order,
    /// Nanoseconds in one unit of the second half of a time.
    unit: u64,
    link: LinkType,
}

impl Header {
    pub(super) fn read<R: Read>(window: &mut Window<R>, mark: [u8; 4]) -> Result<Self, CaptureError> {
        let (order, unit) = match (u32::from_le_bytes(mark), u32::from_be_bytes(mark)) {
            (MICROSECONDS, _) => (Order::Little, 1_000),
            (NANOSECONDS, _) => (Order::Little, 1),
            (_, MICROSECONDS) => (Order::Big, 1_000),
            (_, NANOSECONDS) => (Order::Big, 1),
            (_, magic) => return Err(CaptureError::Magic { offset: 0, magic }),
        };
        let none = CaptureError::Truncated { offset: 0, what: "file header", wanted: FILE_HEADER, found: 0 };
        let octets = window.peek(FILE_HEADER, "file header")?.ok_or(none)?;
        let (major, minor) = (order.u16(octets, 4), order.u16(octets, 6));
        if major != 2 {
            return Err(CaptureError::Version { offset: 4, major, minor });
        }
        // The upper half of the field tells the length of a frame check sequence, which IP's own lengths exclude.
        let number = (order.u32(octets, 20) & 0xffff) as u16;
        let link =
            LinkType::from_number(number).ok_or(CaptureError::LinkType { offset: 20, link: number })?;
        window.consume(FILE_HEADER);
        Ok(Self { order, unit, link })
    }

    #[inline]
    pub(super) fn next<R: Read>(&self, window: &mut Window<R>) -> Result<Option<Found>, CaptureError> {
        let offset = window.offset();
        let Some(header) = window.peek(PACKET_HEADER, "packet header")? else { return Ok(None) };
        let seconds = u64::from(self.order.u32(header, 0));
        let fraction = u64::from(self.order.u32(header, 4));
        let captured = self.order.u32(header, 8);
        let original_length = self.order.u32(header, 12);
        within("captured length", offset + 8, captured, 0, MAX_CAPTURED)?;
        let length = captured as usize;
        if window.peek(PACKET_HEADER + length, "packet")?.is_none() {
            return Ok(None);
        }
        let at = window.consume(PACKET_HEADER + length) + PACKET_HEADER;
        let timestamp = seconds * 1_000_000_000 + fraction * self.unit;
        Ok(Some(Found { timestamp, original_length, at, length, interface: 0, link: self.link }))
    }
}
