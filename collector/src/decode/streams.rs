//! Messages put together again: from TCP's segments, and from SCTP's chunks.
//!
//! A capture has most in order and once; what is not leads to no wrong message, only to fewer.

use std::collections::{HashMap, VecDeque};

use ipfix::Header;

use super::packet::{Chunk, Segment};

/// One direction of a TCP connection.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    /// Sequence number of what comes next; `None` until something begins with a message.
    next: Option<u32>,
    octets: Vec<u8>,
    foreign: bool,
}

impl Bytes {
    /// Takes a segment. Returns false if it cannot be used, as something before it is missing.
    pub(super) fn take(&mut self, segment: &Segment<'_>) -> bool {
        self.foreign = false;
        if segment.begins {
            *self = Self { next: Some(segment.sequence.wrapping_add(1)), ..Self::default() };
        }
        if segment.octets.is_empty() {
            return true;
        }
        let start = segment.sequence.wrapping_add(segment.begins.into());
        let Some(next) = self.next else {
            return self.begin(start, segment.octets);
        };
        // How much of it was there before; more than half of all numbers ahead is behind.
        let repeated = next.wrapping_sub(start);
        if repeated >= 1 << 31 {
            self.octets.clear();
            return self.begin(start, segment.octets);
        }
        let new = segment.octets.get(repeated as usize..).unwrap_or_default();
        self.append(next, new);
        true
    }

    /// Begins in the middle of a connection, where a segment begins with a message.
    fn begin(&mut self, start: u32, octets: &[u8]) -> bool {
        let is_message = octets.starts_with(&ipfix::VERSION.to_be_bytes());
        self.next = None;
        if is_message {
            self.append(start, octets);
        }
        is_message
    }

    fn append(&mut self, at: u32, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
        self.next = Some(at.wrapping_add(u32::try_from(octets.len()).unwrap_or(0)));
    }

    /// Returns the next whole message.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let &[v0, v1, l0, l1] = self.octets.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if u16::from_be_bytes([v0, v1]) != ipfix::VERSION || length < Header::LENGTH {
            self.octets.clear();
            self.next = None;
            self.foreign = true;
            return None;
        }
        (self.octets.len() >= length).then(|| self.octets.drain(..length).collect())
    }

    /// Whether the last segment ended in octets that are no message.
    pub(super) const fn is_foreign(&self) -> bool {
        self.foreign
    }
}

/// TSNs remembered, to know a chunk that was sent again.
const RECENT: usize = 1024;

/// Octets of a message put together of chunks at most: those of the longest of IPFIX.
const MAX_MESSAGE: usize = 65_535;

/// One direction of an SCTP association.
#[derive(Debug, Default)]
pub(super) struct Associations {
    recent: VecDeque<u32>,
    /// The message begun on a stream, and the TSN it goes on with.
    begun: HashMap<u16, (u32, Vec<u8>)>,
    torn: u64,
}

impl Associations {
    /// Takes a chunk, and returns the message that it ends.
    pub(super) fn take(&mut self, chunk: &Chunk<'_>) -> Option<Vec<u8>> {
        if self.recent.contains(&chunk.tsn) {
            return None;
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(chunk.tsn);
        let message = match (chunk.begins, self.begun.remove(&chunk.stream)) {
            (true, before) => {
                self.torn += u64::from(before.is_some());
                chunk.octets.to_vec()
            }
            (false, Some((next, mut message)))
                if next == chunk.tsn && message.len() + chunk.octets.len() <= MAX_MESSAGE =>
            {
                message.extend_from_slice(chunk.octets);
                message
            }
            (false, _) => {
                self.torn += 1;
                return None;
            }
        };
        if chunk.ends {
            return Some(message);
        }
        self.begun.insert(chunk.stream, (chunk.tsn.wrapping_add(1), message));
        None
    }

    /// Returns how many messages were given up since the last call.
    pub(super) fn torn(&mut self) -> u64 {
        std::mem::take(&mut self.torn)
    }
}
