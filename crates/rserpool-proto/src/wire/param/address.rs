//! IPv4 and IPv6 address parameters (RFC 5354 sections 3.1 and 3.2): 4 or 16 octets of address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ParameterType;
use crate::wire::unknown::Found;
use crate::wire::{EncodeError, WireError, writer};

/// Returns the address in `found`, or `None` when it is no address parameter.
pub(crate) fn decode(found: &Found<'_>) -> Result<Option<IpAddr>, WireError> {
    let mut value = found.value.clone();
    let address = match found.kind {
        ParameterType::IPV4_ADDRESS if value.left() == 4 => IpAddr::V4(Ipv4Addr::from(value.array()?)),
        ParameterType::IPV6_ADDRESS if value.left() == 16 => IpAddr::V6(Ipv6Addr::from(value.array()?)),
        ParameterType::IPV4_ADDRESS | ParameterType::IPV6_ADDRESS => return Err(found.wrong_length()),
        _ => return Ok(None),
    };
    Ok(Some(address))
}

pub(crate) fn encode(address: IpAddr, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match address {
        IpAddr::V4(v4) => writer::parameter(out, ParameterType::IPV4_ADDRESS, |out| {
            out.extend(v4.octets());
            Ok(())
        }),
        IpAddr::V6(v6) => writer::parameter(out, ParameterType::IPV6_ADDRESS, |out| {
            out.extend(v6.octets());
            Ok(())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Report;
    use crate::wire::reader::Reader;
    use crate::wire::unknown::parameters;

    fn decode_one(octets: &[u8]) -> Result<IpAddr, WireError> {
        let mut address = None;
        parameters(Reader::new(octets), &mut Report::default(), |found, _| match decode(found)? {
            Some(value) => found.once(&mut address, value),
            None => Ok(false),
        })?;
        Ok(address.unwrap())
    }

    #[test]
    fn a_captured_ipv4_address_decodes_and_encodes_to_the_same_octets() {
        let captured = [0x00, 0x01, 0x00, 0x08, 0x0a, 0x4d, 0x00, 0x1f];
        let address = decode_one(&captured).unwrap();
        assert_eq!(address, IpAddr::from([10, 77, 0, 31]));
        let mut out = Vec::new();
        encode(address, &mut out).unwrap();
        assert_eq!(out, captured);
    }

    #[test]
    fn an_ipv6_address_survives_encoding_and_decoding() {
        let address = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]);
        let mut out = Vec::new();
        encode(address, &mut out).unwrap();
        assert_eq!(out[..4], [0x00, 0x02, 0x00, 0x14]);
        assert_eq!(decode_one(&out).unwrap(), address);
    }

    #[test]
    fn an_ipv4_address_of_five_octets_is_refused_with_its_offset() {
        let error = decode_one(&[0x00, 0x01, 0x00, 0x09, 1, 2, 3, 4, 5, 0, 0, 0]).unwrap_err();
        assert_eq!(
            error,
            WireError::ParameterLength { offset: 0, kind: ParameterType::IPV4_ADDRESS, length: 9 }
        );
    }
}
