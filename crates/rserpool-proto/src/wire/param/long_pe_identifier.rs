//! Long PE identifier, a parameter for the next generation, inside the pool element parameter.
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x8f04         |          Length = 12          |
//! +-------------------------------+-------------------------------+
//! |                    Identifier, upper 32 bits                  |
//! |             Identifier, lower 32 bits: the short one          |
//! +---------------------------------------------------------------+
//! ```
//!
//! The lower half is the identifier of RFC 5354, so that both name the same; one that does not agree with it is
//! refused by whoever reads both. The type's upper bits are `10`: others skip it silently.

use super::ParameterType;
use crate::PeId;
use crate::wire::unknown::Found;
use crate::wire::{UnknownParameter, WireError};

/// Long PE identifier of 64 bits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LongPeId(pub u64);

impl LongPeId {
    /// Returns the identifier with this upper half.
    pub fn new(upper: u32, short: PeId) -> LongPeId {
        LongPeId(u64::from(upper) << 32 | u64::from(short.0))
    }

    /// Returns the identifier of RFC 5354: the lower half.
    pub fn short(self) -> PeId {
        let [_, _, _, _, a, b, c, d] = self.0.to_be_bytes();
        PeId(u32::from_be_bytes([a, b, c, d]))
    }

    /// Returns the upper half.
    pub fn upper(self) -> u32 {
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Returns the parameter among those that were skipped, if it is there. Fails when it is malformed.
    pub fn find(skipped: &[UnknownParameter]) -> Result<Option<LongPeId>, WireError> {
        let found = skipped.iter().find(|skipped| skipped.kind == ParameterType::LONG_PE_IDENTIFIER);
        found.map(|skipped| skipped.read(LongPeId::decode)).transpose()
    }

    fn decode(found: &Found<'_>) -> Result<LongPeId, WireError> {
        let mut value = found.value.clone();
        if value.left() != 8 {
            return Err(found.wrong_length());
        }
        let (upper, short) = (value.u32()?, value.u32()?);
        Ok(LongPeId::new(upper, PeId(short)))
    }

    /// Returns the parameter, to be sent among those that old peers skip.
    pub fn to_parameter(self) -> UnknownParameter {
        UnknownParameter { kind: ParameterType::LONG_PE_IDENTIFIER, value: self.0.to_be_bytes().to_vec() }
    }
}

impl std::fmt::Display for LongPeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Report;
    use crate::wire::reader::Reader;
    use crate::wire::unknown::parameters;

    fn decode(octets: &[u8]) -> Result<LongPeId, WireError> {
        let mut id = None;
        parameters(Reader::new(octets), &mut Report::default(), |found, _| {
            found.once(&mut id, LongPeId::decode(found)?)
        })?;
        Ok(id.unwrap())
    }

    #[test]
    fn the_lower_half_is_the_short_identifier() {
        let id = LongPeId::new(0x0102_0304, PeId(0xa1));
        let mut out = Vec::new();
        id.to_parameter().encode(&mut out).unwrap();
        assert_eq!(LongPeId::find(&[id.to_parameter()]), Ok(Some(id)));
        assert_eq!(out, [0x8f, 0x04, 0, 12, 1, 2, 3, 4, 0, 0, 0, 0xa1]);
        assert_eq!(decode(&out), Ok(id));
        assert_eq!((id.upper(), id.short()), (0x0102_0304, PeId(0xa1)));
        assert_eq!(id.to_string(), "01020304000000a1");
    }

    #[test]
    fn an_identifier_of_32_bits_is_refused_with_its_offset() {
        let error = decode(&[0x8f, 0x04, 0, 8, 0, 0, 0, 0xa1]).unwrap_err();
        let kind = ParameterType::LONG_PE_IDENTIFIER;
        assert_eq!(error, WireError::ParameterLength { offset: 0, kind, length: 8 });
    }
}
