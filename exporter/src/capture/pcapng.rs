//! The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks, each with its length at both ends.
//!
//! Read: Section Header, Interface Description (if_name, if_description, if_tsresol, if_tsoffset), Enhanced, Simple and the
//! obsolete Packet Block. Every other block is passed over. A Simple Packet has no time: it gets the
//! time of the packet before it.

use super::pcap_file::{Found, MAX_CAPTURED, Order, within};
use super::window::Window;
use super::{CaptureError, Interface as Described, LinkType};
use std::io::Read;

/// The type of a Section Header Block, the same in both byte orders.
pub(super) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Interfaces of one section; a file has as many as it has octets for, which may be many.
const MAX_INTERFACES: usize = 65_536;
/// Names of interfaces that wait to be taken at most; those of later ones are passed over.
const MAX_WAITING: usize = 4_096;
/// Octets of an interface's name or description kept.
const MAX_NAME: usize = 254;
/// Octets of a block that has to be seen whole; it fits into the window.
const MAX_BLOCK: u32 = 1 << 20;
const NANOS: u64 = 1_000_000_000;

/// The section being read.
#[derive(Debug)]
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
    /// Described and not taken yet.
    described: Vec<Described>,
    last_timestamp: u64,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    snaplen: u32,
    resolution: Resolution,
    /// Nanoseconds to add to every time.
    shift: i64,
}

/// How long one unit of an interface's times is (if_tsresol).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Resolution {
    /// So many nanoseconds.
    Multiple(u64),
    /// One nanosecond is so many units.
    Fraction(u64),
    /// 2 to the minus so many seconds.
    Binary(u8),
}

/// The start of a block: where it is and how long.
#[derive(Clone, Copy)]
struct Block {
    offset: u64,
    length: usize,
}

impl Section {
    /// Reads the Section Header Block that the window shows.
    pub(super) fn read<R: Read>(window: &mut Window<R>) -> Result<Self, CaptureError> {
        let offset = window.offset();
        let cut = CaptureError::Truncated { offset, what: "section header", wanted: 28, found: 0 };
        let start = window.peek(28, "section header")?.ok_or(cut)?;
        let order = match u32::from_le_bytes([start[8], start[9], start[10], start[11]]) {
            BYTE_ORDER_MAGIC => Order::Little,
            magic if magic.swap_bytes() == BYTE_ORDER_MAGIC => Order::Big,
            magic => {
                return Err(CaptureError::Magic { offset: offset + 8, magic: magic.swap_bytes() });
            }
        };
        let (major, minor) = (order.u16(start, 12), order.u16(start, 14));
        if major != 1 {
            return Err(CaptureError::Version { offset: offset + 12, major, minor });
        }
        let section = Self { order, interfaces: Vec::new(), described: Vec::new(), last_timestamp: 0 };
        let length = order.u32(start, 4);
        let block = section.block(offset, length, 28)?;
        section.whole(window, block)?;
        window.consume(block.length);
        Ok(section)
    }

    #[inline]
    pub(super) fn next<R: Read>(&mut self, window: &mut Window<R>) -> Result<Option<Found>, CaptureError> {
        loop {
            let offset = window.offset();
            let Some(start) = window.peek(8, "block header")? else { return Ok(None) };
            if start[..4] == SECTION_HEADER {
                let (last_timestamp, described) = (self.last_timestamp, self.take_described());
                *self = Self { last_timestamp, described, ..Self::read(window)? };
                continue;
            }
            let kind = self.order.u32(start, 0);
            let length = self.order.u32(start, 4);
            match kind {
                ENHANCED_PACKET | PACKET => {
                    let block = self.block(offset, length, 32)?;
                    return self.packet(window, block, kind).map(Some);
                }
                SIMPLE_PACKET => {
                    let block = self.block(offset, length, 16)?;
                    return self.simple_packet(window, block).map(Some);
                }
                INTERFACE_DESCRIPTION => {
                    let block = self.block(offset, length, 20)?;
                    self.describe(window, block)?;
                }
                _ => self.pass_over(window, offset, length)?,
            }
        }
    }

    /// Returns the interfaces described since the last call.
    #[inline]
    pub(super) fn take_described(&mut self) -> Vec<Described> {
        std::mem::take(&mut self.described)
    }

    /// Checks the length of a block that has to be seen whole.
    #[inline]
    fn block(&self, offset: u64, length: u32, minimum: u32) -> Result<Block, CaptureError> {
        within("block length", offset + 4, length, minimum, MAX_BLOCK)?;
        if !length.is_multiple_of(4) {
            return Err(CaptureError::Length {
                offset: offset + 4,
                what: "block length (a multiple of 4)",
                length,
                minimum,
                maximum: MAX_BLOCK,
            });
        }
        Ok(Block { offset, length: length as usize })
    }

    /// Returns all of a block after comparing its two lengths.
    #[inline]
    fn whole<'w, R: Read>(&self, window: &'w mut Window<R>, block: Block) -> Result<&'w [u8], CaptureError> {
        let Block { offset, length } = block;
        let cut = CaptureError::Truncated { offset, what: "block", wanted: length, found: 0 };
        let octets = window.peek(length, "block")?.ok_or(cut)?;
        let (leading, trailing) = (self.order.u32(octets, 4), self.order.u32(octets, length - 4));
        if leading != trailing {
            let offset = offset + length as u64 - 4;
            return Err(CaptureError::BlockLength { offset, leading, trailing });
        }
        Ok(octets)
    }

    #[inline]
    fn packet<R: Read>(
        &mut self,
        window: &mut Window<R>,
        block: Block,
        kind: u32,
    ) -> Result<Found, CaptureError> {
        let order = self.order;
        let octets = self.whole(window, block)?;
        let interface = match kind {
            PACKET => u32::from(order.u16(octets, 8)),
            _ => order.u32(octets, 8),
        };
        let time = u64::from(order.u32(octets, 12)) << 32 | u64::from(order.u32(octets, 16));
        let (captured, original_length) = (order.u32(octets, 20), order.u32(octets, 24));
        let room = u32::try_from(block.length - 32).unwrap_or(u32::MAX).min(MAX_CAPTURED);
        within("captured length", block.offset + 20, captured, 0, room)?;
        let described = self.described(interface, block.offset + 8)?;
        let link = supported(described.link, block.offset)?;
        let timestamp = described.resolution.nanoseconds(time).saturating_add_signed(described.shift);
        self.last_timestamp = timestamp;
        let at = window.consume(block.length) + 28;
        let interface = interface.saturating_add(1);
        Ok(Found { timestamp, original_length, at, length: captured as usize, interface, link })
    }

    fn simple_packet<R: Read>(&self, window: &mut Window<R>, block: Block) -> Result<Found, CaptureError> {
        let octets = self.whole(window, block)?;
        let original_length = self.order.u32(octets, 8);
        let described = self.described(0, block.offset)?;
        let link = supported(described.link, block.offset)?;
        let captured = match described.snaplen {
            0 => original_length,
            limit => original_length.min(limit),
        };
        let room = u32::try_from(block.length - 16).unwrap_or(u32::MAX).min(MAX_CAPTURED);
        within("packet length", block.offset + 8, captured, 0, room)?;
        let at = window.consume(block.length) + 12;
        let timestamp = self.last_timestamp;
        Ok(Found { timestamp, original_length, at, length: captured as usize, interface: 1, link })
    }

    fn described(&self, interface: u32, offset: u64) -> Result<Interface, CaptureError> {
        let described = self.interfaces.len();
        let found = self.interfaces.get(interface as usize).copied();
        found.ok_or(CaptureError::Interface { offset, interface, described })
    }

    fn describe<R: Read>(&mut self, window: &mut Window<R>, block: Block) -> Result<(), CaptureError> {
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(CaptureError::Interfaces { offset: block.offset, limit: MAX_INTERFACES });
        }
        let order = self.order;
        let octets = self.whole(window, block)?;
        let mut interface = Interface {
            link: order.u16(octets, 8),
            snaplen: order.u32(octets, 12),
            resolution: Resolution::Multiple(1_000),
            shift: 0,
        };
        let mut described = Described::default();
        interface.heed(order, &octets[16..block.length - 4], block.offset + 16, &mut described)?;
        self.interfaces.push(interface);
        if self.described.len() < MAX_WAITING {
            described.index = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
            self.described.push(described);
        }
        window.consume(block.length);
        Ok(())
    }

    /// Passes over a block of any type and length without holding it.
    fn pass_over<R: Read>(
        &self,
        window: &mut Window<R>,
        offset: u64,
        length: u32,
    ) -> Result<(), CaptureError> {
        within("block length", offset + 4, length, 12, u32::MAX)?;
        let wanted = length as usize;
        let end = CaptureError::Truncated { offset, what: "block", wanted, found: 0 };
        let cut = |end: CaptureError, now: u64| match end {
            CaptureError::Truncated { offset, what, wanted, .. } => {
                let found = usize::try_from(now - offset).unwrap_or(usize::MAX);
                CaptureError::Truncated { offset, what, wanted, found }
            }
            other => other,
        };
        if !window.skip(wanted - 4)? {
            return Err(cut(end, window.offset()));
        }
        let at = window.offset();
        let Some(trailing) = window.peek(4, "block")? else { return Err(cut(end, at)) };
        let trailing = self.order.u32(trailing, 0);
        if trailing != length {
            return Err(CaptureError::BlockLength { offset: at, leading: length, trailing });
        }
        window.consume(4);
        Ok(())
    }
}

impl Interface {
    /// Takes what matters from the options, which lie at `offset` of the file; names go to `described`.
    fn heed(
        &mut self,
        order: Order,
        options: &[u8],
        offset: u64,
        described: &mut Described,
    ) -> Result<(), CaptureError> {
        let mut rest = options;
        while rest.len() >= 4 {
            let (code, length) = (order.u16(rest, 0), order.u16(rest, 2));
            let padded = usize::from(length).next_multiple_of(4);
            let (at, room) = (offset + (options.len() - rest.len()) as u64, rest.len() - 4);
            let maximum = u32::try_from(room).unwrap_or(u32::MAX);
            within("option length", at + 2, u32::try_from(padded).unwrap_or(u32::MAX), 0, maximum)?;
            match (code, &rest[4..4 + usize::from(length)]) {
                (0, _) => break,
                (2, name) => described.name = text(name),
                (3, description) => described.description = text(description),
                (9, &[resolution]) => self.resolution = Resolution::from_option(resolution),
                (14, seconds) if length == 8 => self.shift = shift(order, seconds),
                _ => {}
            }
            rest = &rest[4 + padded..];
        }
        Ok(())
    }
}

/// Returns UTF-8 text without the zeros some writers put at its end.
fn text(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let text = text.trim_end_matches('\0');
    let end = (0..=MAX_NAME.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

fn supported(link: u16, offset: u64) -> Result<LinkType, CaptureError> {
    LinkType::from_number(link).ok_or(CaptureError::LinkType { offset, link })
}

/// if_tsoffset: seconds, signed, in the section's byte order.
fn shift(order: Order, octets: &[u8]) -> i64 {
    let mut field = [0; 8];
    field.copy_from_slice(octets);
    let seconds = match order {
        Order::Little => i64::from_le_bytes(field),
        Order::Big => i64::from_be_bytes(field),
    };
    seconds.saturating_mul(NANOS.cast_signed())
}

impl Resolution {
    fn from_option(octet: u8) -> Self {
        let exponent = octet & 0x7f;
        if octet & 0x80 != 0 {
            return Self::Binary(exponent);
        }
        match exponent {
            0..=9 => Self::Multiple(10u64.pow(9 - u32::from(exponent))),
            _ => Self::Fraction(10u64.checked_pow(u32::from(exponent) - 9).unwrap_or(u64::MAX)),
        }
    }

    #[inline]
    fn nanoseconds(self, time: u64) -> u64 {
        match self {
            Self::Multiple(factor) => time.saturating_mul(factor),
            Self::Fraction(divisor) => time / divisor,
            Self::Binary(exponent) => {
                let nanoseconds = (u128::from(time) * u128::from(NANOS)) >> exponent;
                u64::try_from(nanoseconds).unwrap_or(u64::MAX)
            }
        }
    }
}
