//! UDP transport parameter (RFC 5354 section 3.6).
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x0006         |            Length             |
//! +-------------------------------+-------------------------------+
//! |         UDP Port              |           (reserved)          |
//! +-------------------------------+-------------------------------+
//! :             one IPv4 or IPv6 address parameter                :
//! +---------------------------------------------------------------+
//! ```

use std::net::IpAddr;

use super::one_address;
use crate::wire::param::{ParameterType, address};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all};
use crate::wire::{EncodeError, WireError, writer};

/// Where a UDP endpoint is reached; always data only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UdpTransport {
    /// UDP port.
    pub port: u16,
    /// The one address.
    pub address: IpAddr,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl UdpTransport {
    pub(crate) fn decode(mut value: Reader<'_>, report: &mut Report) -> Result<UdpTransport, WireError> {
        let port = value.u16()?;
        let _reserved = value.u16()?;
        let (address, unknown) = one_address(value, report)?;
        Ok(UdpTransport { port, address, unknown })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::UDP_TRANSPORT, |out| {
            out.extend(self.port.to_be_bytes());
            out.extend([0, 0]);
            address::encode(self.address, out)?;
            encode_all(&self.unknown, out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Transport;
    use super::super::tests::{decode, round_trip};
    use super::*;

    #[test]
    fn a_captured_udp_transport_round_trips() {
        let captured = [0, 6, 0, 0x10, 0x12, 0x83, 0, 0, 0, 1, 0, 8, 0x0a, 0x4d, 0, 0x1f];
        let Transport::Udp(udp) = round_trip(&captured) else { panic!("not UDP") };
        assert_eq!((udp.port, udp.address), (4739, IpAddr::from([10, 77, 0, 31])));
    }

    #[test]
    fn a_second_address_is_refused_with_its_offset() {
        let octets = [0, 6, 0, 24, 0x12, 0x83, 0, 0, 0, 1, 0, 8, 10, 0, 0, 1, 0, 1, 0, 8, 10, 0, 0, 2];
        let error = decode(&octets).unwrap_err();
        assert_eq!(error, WireError::DuplicateParameter { offset: 16, kind: ParameterType::IPV4_ADDRESS });
    }
}
