//! Opaque transport parameter (RFC 5354 section 3.16): octets only the pool's members understand.

use crate::wire::param::ParameterType;
use crate::wire::reader::Reader;
use crate::wire::{EncodeError, writer};

/// A transport of a kind ASAP does not know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpaqueTransport {
    /// The octets as they are.
    pub octets: Vec<u8>,
}

impl OpaqueTransport {
    pub(crate) fn decode(mut value: Reader<'_>) -> OpaqueTransport {
        OpaqueTransport { octets: value.rest().to_vec() }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::OPAQUE_TRANSPORT, |out| {
            out.extend(&self.octets);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Transport;
    use super::super::tests::{decode, round_trip};
    use crate::wire::{ParameterType, WireError};

    #[test]
    fn an_opaque_transport_round_trips_with_its_padding() {
        let Transport::Opaque(opaque) = round_trip(&[0, 0x10, 0, 9, b'h', b'e', b'l', b'l', b'o', 0, 0, 0])
        else {
            panic!("not opaque")
        };
        assert_eq!(opaque.octets, b"hello");
    }

    #[test]
    fn an_opaque_transport_beyond_its_container_is_refused_with_its_offset() {
        let error = decode(&[0, 0x10, 0, 9, b'h', b'e', b'l', b'l']).unwrap_err();
        let kind = ParameterType::OPAQUE_TRANSPORT;
        assert_eq!(error, WireError::ParameterLength { offset: 0, kind, length: 9 });
    }
}
