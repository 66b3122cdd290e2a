//! The cookie: the collector's signed statement of what is durable there (docs/wire.md section 5).
//!
//! It travels in the Cookie parameter of ASAP_COOKIE (RFC 5352 section 2.2.11, RFC 5354 section 3.13).

use std::ops::Range;

use crate::identity::{Epoch, Ledger, Series};
use crate::key_ring::{KeyRing, MAC_LENGTH};

/// First four octets of every cookie: `FPDC`.
pub const MAGIC: [u8; 4] = *b"FPDC";
/// The version this crate writes and reads.
pub const VERSION: u8 = 1;
/// Longest cookie, in octets.
pub const MAX_LENGTH: usize = 32 * 1024;
/// Most entries that a cookie takes.
pub const MAX_ENTRIES: usize = (MAX_LENGTH - HEADER - MAC_LENGTH) / ENTRY;

const HEADER: usize = 16;
const ENTRY: usize = 40;

/// How the collector is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It keeps up.
    Ok,
    /// It is behind with writing.
    Slow,
    /// It is about to end: exporters are asked to move.
    Draining,
}

/// A range of numbers of one series that is durable at the collector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Whose numbers.
    pub series: Series,
    /// The numbers; never empty.
    pub numbers: Range<u64>,
}

/// What a collector says to an exporter: its state, and what of this session is durable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cookie {
    /// Random per start of the collector.
    pub incarnation: u64,
    /// How the collector is.
    pub state: State,
    /// Durable ranges, at most [`MAX_ENTRIES`].
    pub entries: Vec<Entry>,
}

/// Why octets are no cookie to be believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// Not a cookie of this kind; another make's, to be kept and echoed unread.
    #[error("octet 0: magic is not `FPDC`")]
    Magic,
    /// A version that this crate does not know.
    #[error("octet 4: cookie version {version}")]
    Version {
        /// The version found.
        version: u8,
    },
    /// The length is no header, entries and signature, or above [`MAX_LENGTH`].
    #[error("cookie of {length} octets")]
    Length {
        /// The length found.
        length: usize,
    },
    /// The signing key is not in the ring.
    #[error("octet 6: unknown key {id}")]
    UnknownKey {
        /// The key id found.
        id: u16,
    },
    /// The signature is wrong.
    #[error("octet {offset}: wrong signature")]
    Signature {
        /// Where the signature starts.
        offset: usize,
    },
    /// An unknown state.
    #[error("octet 5: collector state {state}")]
    State {
        /// The value found.
        state: u8,
    },
    /// An entry whose end is not above its base.
    #[error("octet {offset}: range from {base} to {end}")]
    Range {
        /// Where the base stands.
        offset: usize,
        /// The base found.
        base: u64,
        /// The end found.
        end: u64,
    },
}

impl Cookie {
    /// Returns the signed octets. Entries beyond [`MAX_ENTRIES`] are left out: a later cookie may tell them.
    pub fn encode(&self, keys: &KeyRing) -> Vec<u8> {
        let entries = &self.entries[..self.entries.len().min(MAX_ENTRIES)];
        let mut out = Vec::with_capacity(HEADER + entries.len() * ENTRY + MAC_LENGTH);
        out.extend(MAGIC);
        out.extend([VERSION, self.state as u8]);
        out.extend(keys.signing_id().to_be_bytes());
        out.extend(self.incarnation.to_be_bytes());
        for Entry { series, numbers } in entries {
            out.extend(series.ledger.0);
            out.extend(series.epoch.0.to_be_bytes());
            out.extend(series.domain.to_be_bytes());
            out.extend(numbers.start.to_be_bytes());
            out.extend(numbers.end.to_be_bytes());
        }
        out.extend(keys.sign(&out));
        out
    }

    /// Reads a cookie after verifying its signature.
    pub fn decode(octets: &[u8], keys: &KeyRing) -> Result<Self, CookieError> {
        if !octets.starts_with(&MAGIC) {
            return Err(CookieError::Magic);
        }
        let wrong_length = CookieError::Length { length: octets.len() };
        let version = *octets.get(4).ok_or(wrong_length)?;
        if version != VERSION {
            return Err(CookieError::Version { version });
        }
        let offset = octets.len().checked_sub(MAC_LENGTH).ok_or(wrong_length)?;
        let (signed, tag) = octets.split_at(offset);
        let (header, entries) = signed.split_at_checked(HEADER).ok_or(wrong_length)?;
        if octets.len() > MAX_LENGTH || !entries.len().is_multiple_of(ENTRY) {
            return Err(wrong_length);
        }
        let id = u16::from_be_bytes([header[6], header[7]]);
        if !keys.verify(id, signed, tag).ok_or(CookieError::UnknownKey { id })? {
            return Err(CookieError::Signature { offset });
        }
        let state = State::of(header[5])?;
        let entries = entries.chunks_exact(ENTRY).enumerate();
        let entries = entries.map(|(at, octets)| Entry::decode(HEADER + at * ENTRY, octets));
        Ok(Self { incarnation: number(&header[8..]), state, entries: entries.collect::<Result<_, _>>()? })
    }
}

impl State {
    const fn of(octet: u8) -> Result<Self, CookieError> {
        match octet {
            0 => Ok(Self::Ok),
            1 => Ok(Self::Slow),
            2 => Ok(Self::Draining),
            state => Err(CookieError::State { state }),
        }
    }
}

impl Entry {
    /// `octets` are the entry's, `offset` is where it stands in the cookie.
    fn decode(offset: usize, octets: &[u8]) -> Result<Self, CookieError> {
        let mut ledger = [0; 16];
        ledger.copy_from_slice(&octets[..16]);
        let epoch_and_domain = number(&octets[16..24]);
        let (base, end) = (number(&octets[24..]), number(&octets[32..]));
        if base >= end {
            return Err(CookieError::Range { offset: offset + 24, base, end });
        }
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of 64 bits")]
        let (epoch, domain) = (Epoch((epoch_and_domain >> 32) as u32), epoch_and_domain as u32);
        Ok(Self { series: Series { ledger: Ledger(ledger), epoch, domain }, numbers: base..end })
    }
}

/// The unsigned64 that `octets` start with.
fn number(octets: &[u8]) -> u64 {
    octets[..8].iter().fold(0, |value, &octet| value << 8 | u64::from(octet))
}

#[cfg(test)]
mod tests;
