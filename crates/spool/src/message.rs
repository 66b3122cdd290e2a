//! The messages of a segment, and how a damaged one is told (RFC 5655 sections 5 and 7, RFC 7011 section 3).
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |                IPFIX message header, 16 octets                |
//! +---------------------------------------------------------------+
//! :                             sets                              :
//! +-------------------------------+-------------------------------+
//! |         Set ID = 65535        |          Length = 16          |
//! +---------------+---------------+-------------------------------+
//! | messageScope=1|                 messageFlowRecords
//! +---------------+-----------------------------------------------+
//!                 |                 messageCrc32c
//! +---------------+-----------------------------------------------+
//!                 |               Padding = 0                     |
//! +---------------+-----------------------------------------------+
//! ```
//!
//! messageScope is element 263 of IANA (RFC 5655 section 8.1.3): the record speaks of its own message. The others are private
//! elements of enterprise number 32473: 11 `messageCrc32c`, unsigned32, of all octets of the message before it (CRC-32C as
//! in RFC 9260 appendix A), and 12 `messageFlowRecords`, unsigned32. A segment begins with its head, twice, so that
//! one damaged octet costs no more than it must: a message with the options template of this record, then the
//! templates of what follows.

use std::ops::Range;

/// Enterprise number of the private elements: the one that RFC 5612 sets aside for examples.
pub const PEN: u32 = 32473;
/// Private element `messageCrc32c`.
pub const MESSAGE_CRC32C: u16 = 11;
/// Private element `messageFlowRecords`.
pub const MESSAGE_FLOW_RECORDS: u16 = 12;
/// Template of the record at the end of each message.
pub const CHECK_TEMPLATE: u16 = u16::MAX;

/// Octets of sets that fit a message.
pub const MAX_SETS: usize = 65_535 - HEADER - CHECK - OPTIONS_TEMPLATE.len();
/// How often a segment begins with its head.
pub(crate) const HEADS: u32 = 2;

const HEADER: usize = 16;
/// Octets of the set at the end of each message.
pub(crate) const CHECK: usize = 16;
/// Octets behind the last one that the checksum covers: itself and the padding.
const AFTER: usize = 4 + 3;
/// What the last set of each message begins with: set identifier, length, messageScope.
const CHECK_HEAD: [u8; 5] = [0xff, 0xff, 0, 16, 1];

/// The options template set of the last record: one scope field of three fields.
const OPTIONS_TEMPLATE: [u8; 30] = [
    0, 3, 0, 30, // options template set
    0xff, 0xff, 0, 3, 0, 1, // template 65535, 3 fields, 1 of scope
    1, 7, 0, 1, // messageScope, 1 octet
    0x80, 12, 0, 4, 0, 0, 0x7e, 0xd9, // messageFlowRecords
    0x80, 11, 0, 4, 0, 0, 0x7e, 0xd9, // messageCrc32c
];

/// A message to be appended.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Seconds since the Unix epoch (RFC 7011 section 3.1).
    pub export_time: u32,
    /// Its sets; at most [`MAX_SETS`] octets.
    pub sets: &'a [u8],
    /// Flow records in them.
    pub flow_records: u32,
    /// Options records in them.
    pub options_records: u32,
}

impl New<'_> {
    /// Returns the message's octets on disk; none if it is too long.
    pub(crate) fn octets(&self) -> Option<usize> {
        (self.sets.len() <= MAX_SETS).then_some(HEADER + self.sets.len() + CHECK)
    }

    /// What the sequence number counts, the record at the end included.
    pub(crate) const fn data_records(&self) -> u32 {
        self.flow_records + self.options_records + 1
    }
}

/// A message whose checksum is right.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Checked<'a> {
    /// The whole of it.
    pub(crate) octets: &'a [u8],
    pub(crate) flow_records: u32,
}

impl Checked<'_> {
    /// Whether it is the head of a segment.
    pub(crate) fn is_head(&self) -> bool {
        self.octets[HEADER..].starts_with(&OPTIONS_TEMPLATE)
    }

    /// Where its sets are, without what a spool adds; the last [`CHECK`] octets come behind them.
    pub(crate) fn sets(&self) -> Range<usize> {
        let before = if self.is_head() { OPTIONS_TEMPLATE.len() } else { 0 };
        HEADER + before..self.octets.len() - CHECK
    }

    pub(crate) fn export_time(&self) -> u32 {
        u32::from_be_bytes(word(self.octets, 4))
    }
}

/// Appends a message with its checksum; `new` fits one.
pub(crate) fn append(domain: u32, sequence: u32, new: &New<'_>, out: &mut Vec<u8>) {
    write(domain, sequence, new, &[], out);
}

/// Returns what a segment begins with; the sets fit a message.
pub(crate) fn head(domain: u32, export_time: u32, templates: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let new = New { export_time, sets: templates, flow_records: 0, options_records: 0 };
    for sequence in 0..HEADS {
        write(domain, sequence, &new, &OPTIONS_TEMPLATE, &mut out);
    }
    out
}

fn write(domain: u32, sequence: u32, new: &New<'_>, before: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let length = HEADER + before.len() + new.sets.len() + CHECK;
    let length = u16::try_from(length).expect("checked against MAX_SETS");
    out.extend(10_u16.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend(new.export_time.to_be_bytes());
    out.extend(sequence.to_be_bytes());
    out.extend(domain.to_be_bytes());
    out.extend(before);
    out.extend(new.sets);
    out.extend(CHECK_HEAD);
    out.extend(new.flow_records.to_be_bytes());
    let crc = crc32c::crc32c(&out[start..]);
    out.extend(crc.to_be_bytes());
    out.extend([0; 3]);
}

/// Gives messages that go to another segment the sequence numbers from `first` on; returns by how much they changed.
pub(crate) fn renumber(messages: &mut [u8], first: u32) -> u32 {
    if messages.len() < HEADER {
        return 0;
    }
    let change = first.wrapping_sub(u32::from_be_bytes(word(messages, 8)));
    let mut rest = messages;
    while rest.len() >= HEADER {
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let (message, after) = rest.split_at_mut(length);
        let sequence = u32::from_be_bytes(word(message, 8)).wrapping_add(change);
        message[8..12].copy_from_slice(&sequence.to_be_bytes());
        let covered = length - AFTER;
        let crc = crc32c::crc32c(&message[..covered]);
        message[covered..covered + 4].copy_from_slice(&crc.to_be_bytes());
        rest = after;
    }
    change
}

/// Returns the message that `octets` begin with, if there is a whole one and its checksum is right.
pub(crate) fn check(octets: &[u8]) -> Option<Checked<'_>> {
    let &[0, 10, high, low, ..] = octets else { return None };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let octets = octets.get(..length).filter(|octets| octets.len() >= HEADER + CHECK)?;
    let end = &octets[length - CHECK..];
    // First what costs nothing, for this is tried at each octet of a damaged part.
    if end[..5] != CHECK_HEAD || end[13..] != [0; 3] {
        return None;
    }
    let right = crc32c::crc32c(&octets[..length - AFTER]).to_be_bytes() == end[9..13];
    right.then(|| Checked { octets, flow_records: u32::from_be_bytes(word(end, 5)) })
}

/// Returns where the next message begins in `octets`, from their first octet on, and the message.
pub(crate) fn find(octets: &[u8]) -> Option<(usize, Checked<'_>)> {
    (0..octets.len().saturating_sub(HEADER + CHECK - 1))
        .find_map(|at| check(&octets[at..]).map(|message| (at, message)))
}

fn word(octets: &[u8], at: usize) -> [u8; 4] {
    [octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]
}
