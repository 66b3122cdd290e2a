//! The message header (RFC 7011 section 3.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |       Version Number (10)     |            Length             |
//! |                          Export Time                          |
//! |                        Sequence Number                        |
//! |                     Observation Domain ID                     |
//! +---------------------------------------------------------------+
//! ```

use crate::{DecodeError, VERSION};

/// A message header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Octets of the message, this header included.
    pub length: u16,
    /// When the message left the exporter, in seconds since the Unix epoch.
    pub export_time: u32,
    /// Data Records sent on this stream and domain before this message, modulo 2^32.
    pub sequence: u32,
    /// Observation Domain ID.
    pub domain: u32,
}

impl Header {
    /// Octets of an encoded header.
    pub const LENGTH: usize = 16;

    /// Returns the header of the one message in `octets`.
    ///
    /// # Errors
    /// Fails if `octets` are not exactly one message of version 10 by its length field.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        let Some(header) = octets.first_chunk::<{ Self::LENGTH }>() else {
            return Err(DecodeError::Header { octets: octets.len() });
        };
        let [v0, v1, l0, l1, words @ ..] = *header;
        let version = u16::from_be_bytes([v0, v1]);
        if version != VERSION {
            return Err(DecodeError::Version { version });
        }
        let length = u16::from_be_bytes([l0, l1]);
        if usize::from(length) != octets.len() {
            return Err(DecodeError::MessageLength { length, octets: octets.len() });
        }
        let word = |at: usize| u32::from_be_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
        Ok(Self { length, export_time: word(0), sequence: word(4), domain: word(8) })
    }

    /// Encodes the header.
    #[must_use]
    pub fn to_octets(&self) -> [u8; Self::LENGTH] {
        let mut octets = [0; Self::LENGTH];
        octets[..2].copy_from_slice(&VERSION.to_be_bytes());
        octets[2..4].copy_from_slice(&self.length.to_be_bytes());
        octets[4..8].copy_from_slice(&self.export_time.to_be_bytes());
        octets[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        octets[12..].copy_from_slice(&self.domain.to_be_bytes());
        octets
    }
}
