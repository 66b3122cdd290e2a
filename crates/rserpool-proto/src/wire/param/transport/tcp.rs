//! TCP transport parameter (RFC 5354 section 3.5).
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x0005         |            Length             |
//! +-------------------------------+-------------------------------+
//! |           TCP Port            |           (reserved)          |
//! +-------------------------------+-------------------------------+
//! :             one IPv4 or IPv6 address parameter                :
//! +---------------------------------------------------------------+
//! ```
//!
//! The reference implementation writes a transport use where the RFC has "reserved"; the value is
//! kept so that the parameter survives, and otherwise ignored.

use std::net::IpAddr;

use super::one_address;
use crate::wire::param::{ParameterType, address};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all};
use crate::wire::{EncodeError, WireError, writer};

/// Where a TCP endpoint is reached; always data only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TcpTransport {
    /// TCP port.
    pub port: u16,
    /// Zero when written by us.
    pub reserved: u16,
    /// The one address.
    pub address: IpAddr,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl TcpTransport {
    pub(crate) fn decode(mut value: Reader<'_>, report: &mut Report) -> Result<TcpTransport, WireError> {
        let port = value.u16()?;
        let reserved = value.u16()?;
        let (address, unknown) = one_address(value, report)?;
        Ok(TcpTransport { port, reserved, address, unknown })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::TCP_TRANSPORT, |out| {
            out.extend(self.port.to_be_bytes());
            out.extend(self.reserved.to_be_bytes());
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
    fn a_captured_tcp_transport_round_trips() {
        let captured = [0, 5, 0, 0x10, 0x00, 0x50, 0, 0, 0, 1, 0, 8, 0x0a, 0x4d, 0, 0x1f];
        let Transport::Tcp(tcp) = round_trip(&captured) else { panic!("not TCP") };
        assert_eq!((tcp.port, tcp.address), (80, IpAddr::from([10, 77, 0, 31])));
    }

    #[test]
    fn a_transport_use_in_the_reserved_octets_survives() {
        let octets = [0, 5, 0, 0x10, 0x00, 0x50, 0, 1, 0, 1, 0, 8, 0x0a, 0x4d, 0, 0x1f];
        let Transport::Tcp(tcp) = round_trip(&octets) else { panic!("not TCP") };
        assert_eq!(tcp.reserved, 1);
    }

    #[test]
    fn a_transport_without_address_is_refused_where_the_address_should_be() {
        let error = decode(&[0, 5, 0, 8, 0, 80, 0, 0]).unwrap_err();
        assert_eq!(error, WireError::MissingParameter { offset: 8, kind: ParameterType::IPV4_ADDRESS });
    }
}
