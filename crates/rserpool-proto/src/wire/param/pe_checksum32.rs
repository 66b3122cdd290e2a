//! 32-bit PE checksum, a parameter for the next generation, beside the 16-bit one in ENRP_PRESENCE.
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x8f03         |          Length = 8           |
//! +-------------------------------+-------------------------------+
//! |                       PE checksum, 32 bits                    |
//! +---------------------------------------------------------------+
//! ```
//!
//! Two tables that differ have the same 16-bit checksum once in 65,535 cases. This one is compared only between
//! registrars that both sent it; the type's upper bits are `10`, so others skip it silently.

use super::ParameterType;
use crate::wire::unknown::Found;
use crate::wire::{UnknownParameter, WireError};

/// The checksum over the elements a registrar owns, added up in 32-bit words: see docs/wire.md.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeChecksum32(pub u32);

impl std::fmt::Display for PeChecksum32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl PeChecksum32 {
    /// Returns the parameter among those that were skipped, if it is there. Fails when it is malformed.
    pub fn find(skipped: &[UnknownParameter]) -> Result<Option<PeChecksum32>, WireError> {
        let found = skipped.iter().find(|skipped| skipped.kind == ParameterType::PE_CHECKSUM_32);
        found.map(|skipped| skipped.read(PeChecksum32::decode)).transpose()
    }

    fn decode(found: &Found<'_>) -> Result<PeChecksum32, WireError> {
        let mut value = found.value.clone();
        if value.left() != 4 {
            return Err(found.wrong_length());
        }
        value.u32().map(PeChecksum32)
    }

    /// Returns the parameter, to be sent among those that old peers skip.
    pub fn to_parameter(self) -> UnknownParameter {
        UnknownParameter { kind: ParameterType::PE_CHECKSUM_32, value: self.0.to_be_bytes().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Report;
    use crate::wire::reader::Reader;
    use crate::wire::unknown::parameters;

    fn decode(octets: &[u8]) -> Result<PeChecksum32, WireError> {
        let mut checksum = None;
        parameters(Reader::new(octets), &mut Report::default(), |found, _| {
            found.once(&mut checksum, PeChecksum32::decode(found)?)
        })?;
        Ok(checksum.unwrap())
    }

    #[test]
    fn the_checksum_is_one_word() {
        let mut out = Vec::new();
        PeChecksum32(0xdead_beef).to_parameter().encode(&mut out).unwrap();
        assert_eq!(
            PeChecksum32::find(&[PeChecksum32(0xdead_beef).to_parameter()]),
            Ok(Some(PeChecksum32(0xdead_beef)))
        );
        assert_eq!(out, [0x8f, 0x03, 0, 8, 0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(decode(&out), Ok(PeChecksum32(0xdead_beef)));
    }

    #[test]
    fn a_checksum_of_16_bits_is_refused_with_its_offset() {
        let error = decode(&[0x8f, 0x03, 0, 6, 0xde, 0xad, 0, 0]).unwrap_err();
        let kind = ParameterType::PE_CHECKSUM_32;
        assert_eq!(error, WireError::ParameterLength { offset: 0, kind, length: 6 });
    }
}
