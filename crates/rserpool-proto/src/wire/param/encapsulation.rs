//! Encapsulation port, an extension of ours inside the pool element parameter: the UDP port of
//! RFC 6951 at which the element's SCTP endpoint is reached.
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x8f01         |          Length = 8           |
//! +-------------------------------+-------------------------------+
//! |           UDP Port            |           (reserved)          |
//! +-------------------------------+-------------------------------+
//! ```
//!
//! The type's upper bits are `10`, so an implementation that does not know it skips it
//! silently. It is sent only when the port is not [`DEFAULT_PORT`].

use super::ParameterType;
use crate::wire::unknown::Found;
use crate::wire::{EncodeError, WireError, writer};

/// The port registered for SCTP over UDP (RFC 6951 section 8).
pub const DEFAULT_PORT: u16 = 9899;

pub(crate) fn decode(found: &Found<'_>) -> Result<u16, WireError> {
    let mut value = found.value.clone();
    if value.left() != 4 {
        return Err(found.wrong_length());
    }
    value.u16()
}

pub(crate) fn encode(port: u16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    writer::parameter(out, ParameterType::ENCAPSULATION_PORT, |out| {
        out.extend(port.to_be_bytes());
        out.extend([0, 0]);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Report;
    use crate::wire::reader::Reader;
    use crate::wire::unknown::parameters;

    fn decode_one(octets: &[u8]) -> Result<u16, WireError> {
        let mut port = None;
        parameters(Reader::new(octets), &mut Report::default(), |found, _| {
            found.once(&mut port, decode(found)?)
        })?;
        Ok(port.unwrap())
    }

    #[test]
    fn the_port_is_followed_by_two_reserved_octets() {
        let mut out = Vec::new();
        encode(9900, &mut out).unwrap();
        assert_eq!(out, [0x8f, 0x01, 0, 8, 0x26, 0xac, 0, 0]);
        assert_eq!(decode_one(&out), Ok(9900));
    }

    #[test]
    fn a_port_without_reserved_octets_is_refused_with_its_offset() {
        let error = decode_one(&[0x8f, 0x01, 0, 6, 0x26, 0xac, 0, 0]).unwrap_err();
        let kind = ParameterType::ENCAPSULATION_PORT;
        assert_eq!(error, WireError::ParameterLength { offset: 0, kind, length: 6 });
    }
}
