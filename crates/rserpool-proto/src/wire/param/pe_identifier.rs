//! PE identifier parameter (RFC 5354 section 3.14): 32 bits.

use super::ParameterType;
use crate::PeId;
use crate::wire::unknown::Found;
use crate::wire::{EncodeError, WireError, writer};

pub(crate) fn decode(found: &Found<'_>) -> Result<PeId, WireError> {
    let mut value = found.value.clone();
    if value.left() != 4 {
        return Err(found.wrong_length());
    }
    value.u32().map(PeId)
}

pub(crate) fn encode(pe: PeId, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    writer::parameter(out, ParameterType::PE_IDENTIFIER, |out| {
        out.extend(pe.0.to_be_bytes());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    #[test]
    fn a_pe_identifier_encodes_to_eight_octets() {
        let mut out = Vec::new();
        encode(PeId(0xa1), &mut out).unwrap();
        assert_eq!(out, [0, 0x0e, 0, 8, 0, 0, 0, 0xa1]);
    }

    #[test]
    fn a_pe_identifier_of_three_octets_is_refused_with_its_offset() {
        let octets = [9, 0, 0, 0x14, 0, 9, 0, 5, b'P', 0, 0, 0, 0, 0x0e, 0, 7, 0, 0, 0xa1, 0];
        let error = Message::decode(&octets).unwrap_err();
        assert_eq!(
            error,
            WireError::ParameterLength { offset: 12, kind: ParameterType::PE_IDENTIFIER, length: 7 }
        );
    }
}
