//! PE checksum parameter (RFC 5354 section 3.15): 16 bits, length 6, two octets of padding.

use super::ParameterType;
use crate::wire::reader::Reader;
use crate::wire::unknown::{Found, Report, parameters};
use crate::wire::{EncodeError, WireError, writer};

/// The checksum over the elements a registrar owns (RFC 5353 section 3.6.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeChecksum(pub u16);

impl PeChecksum {
    /// Returns the checksum in `octets`, which hold this one parameter.
    pub fn from_octets(octets: &[u8]) -> Result<PeChecksum, WireError> {
        let mut checksum = None;
        parameters(Reader::new(octets), &mut Report::default(), |found, _| match found.kind {
            ParameterType::PE_CHECKSUM => found.once(&mut checksum, PeChecksum::decode(found)?),
            _ => Ok(false),
        })?;
        let kind = ParameterType::PE_CHECKSUM;
        checksum.ok_or(WireError::MissingParameter { offset: octets.len(), kind })
    }

    pub(crate) fn decode(found: &Found<'_>) -> Result<PeChecksum, WireError> {
        let mut value = found.value.clone();
        if value.left() != 2 {
            return Err(found.wrong_length());
        }
        value.u16().map(PeChecksum)
    }

    /// Appends the parameter, padding included.
    pub fn encode(self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::PE_CHECKSUM, |out| {
            out.extend(self.0.to_be_bytes());
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_checksum_has_length_six_and_two_octets_of_padding() {
        let captured = [0, 0x0f, 0, 6, 0xe5, 0xc7, 0, 0];
        let checksum = PeChecksum::from_octets(&captured).unwrap();
        assert_eq!(checksum, PeChecksum(0xe5c7));
        let mut out = Vec::new();
        checksum.encode(&mut out).unwrap();
        assert_eq!(out, captured);
    }

    #[test]
    fn a_checksum_of_four_octets_is_refused_with_its_offset() {
        let error = PeChecksum::from_octets(&[0, 0x0f, 0, 8, 0, 0, 0, 0]).unwrap_err();
        let kind = ParameterType::PE_CHECKSUM;
        assert_eq!(error, WireError::ParameterLength { offset: 0, kind, length: 8 });
    }
}
