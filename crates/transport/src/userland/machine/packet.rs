//! What the driver itself reads and writes of SCTP packets (RFC 9260 section 3): the common header,
//! where chunks begin, and the few packets that belong to no association.

use super::crc32c;

/// Length of the common header.
pub(crate) const HEADER: usize = 12;

/// Length of a DATA chunk's header (RFC 9260 section 3.3.1).
pub(crate) const DATA_HEADER: usize = 16;

pub(crate) mod chunk {
    //! Chunk types (RFC 9260 section 3.2).
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
}

/// The T bit of ABORT and SHUTDOWN COMPLETE: the verification tag is reflected.
const T_BIT: u8 = 1;

/// Error cause "Stale Cookie" (RFC 9260 section 3.3.10.3).
const STALE_COOKIE: u16 = 3;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) tag: u32,
}

pub(crate) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

impl Header {
    /// Reads the ports and the tag; the checksum is left alone.
    pub(crate) fn read(packet: &[u8]) -> Option<Header> {
        Some(Header { source: u16_at(packet, 0)?, destination: u16_at(packet, 2)?, tag: u32_at(packet, 4)? })
    }

    /// The header of an answer, with the tag the answer must carry.
    pub(crate) fn answer(&self, tag: u32) -> Header {
        Header { source: self.destination, destination: self.source, tag }
    }
}

/// A chunk within a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// Offset of its header in the packet.
    pub(crate) at: usize,
    /// Without header and padding.
    pub(crate) value: &'a [u8],
}

impl Chunk<'_> {
    pub(crate) fn reflects_tag(&self) -> bool {
        self.flags & T_BIT != 0
    }

    /// Where the next chunk begins.
    pub(crate) fn end(&self) -> usize {
        self.at + (4 + self.value.len()).next_multiple_of(4)
    }
}

/// The chunks of a packet; ends early at one whose length is wrong.
pub(crate) fn chunks(packet: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let header = packet.get(at..at + 4)?;
        let length = usize::from(u16_at(header, 2)?);
        let value = packet.get(at + 4..at + length)?;
        let chunk = Chunk { kind: header[0], flags: header[1], at, value };
        at = chunk.end();
        Some(chunk)
    })
}

/// Whether the packet holds a chunk of this type.
pub(crate) fn has(packet: &[u8], kind: u8) -> bool {
    chunks(packet).any(|chunk| chunk.kind == kind)
}

/// The packet with only those of its chunks that `keep` wants; none if that leaves nothing.
pub(crate) fn keep(packet: &[u8], keep: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
    let mut out = packet.get(..HEADER)?.to_vec();
    for chunk in chunks(packet).filter(|chunk| keep(chunk.kind)) {
        out.extend(packet.get(chunk.at..chunk.at + 4 + chunk.value.len())?);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    if out.len() == HEADER {
        return None;
    }
    crc32c::seal(&mut out);
    Some(out)
}

fn build(header: Header, kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + 4 + value.len().next_multiple_of(4));
    packet.extend(header.source.to_be_bytes());
    packet.extend(header.destination.to_be_bytes());
    packet.extend(header.tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend([kind, flags]);
    #[expect(clippy::cast_possible_truncation, reason = "all values built here are short")]
    packet.extend((4 + value.len() as u16).to_be_bytes());
    packet.extend(value);
    packet.resize(packet.len().next_multiple_of(4), 0);
    crc32c::seal(&mut packet);
    packet
}

/// An ABORT without cause; `reflected` sets the T bit.
pub(crate) fn abort(header: Header, reflected: bool) -> Vec<u8> {
    build(header, chunk::ABORT, u8::from(reflected), &[])
}

/// A SHUTDOWN COMPLETE with the T bit (RFC 9260 section 8.4, rule 5).
pub(crate) fn shutdown_complete(header: Header) -> Vec<u8> {
    build(header, chunk::SHUTDOWN_COMPLETE, T_BIT, &[])
}

/// A HEARTBEAT whose information is `nonce`, alone in its packet.
pub(crate) fn heartbeat(header: Header, nonce: u32) -> Vec<u8> {
    let mut value = vec![0, 1, 0, 8];
    value.extend(nonce.to_be_bytes());
    build(header, chunk::HEARTBEAT, 0, &value)
}

/// The nonce in the value of a HEARTBEAT ACK that answers [`heartbeat`].
pub(crate) fn nonce(value: &[u8]) -> Option<u32> {
    if value.len() != 8 || value[..4] != [0, 1, 0, 8] {
        return None;
    }
    u32_at(value, 4)
}

/// An ERROR "Stale Cookie", `staleness` in microseconds.
pub(crate) fn stale_cookie(header: Header, staleness: u32) -> Vec<u8> {
    let mut value = STALE_COOKIE.to_be_bytes().to_vec();
    value.extend([0, 8]);
    value.extend(staleness.to_be_bytes());
    build(header, chunk::ERROR, 0, &value)
}
