//! UDP-Lite transport parameter (RFC 5354 section 3.7).
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x0007         |            Length             |
//! +-------------------------------+-------------------------------+
//! |         UDP-Lite Port         |           (reserved)          |
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

/// Where a UDP-Lite endpoint is reached; always data only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UdpLiteTransport {
    /// UDP-Lite port.
    pub port: u16,
    /// The one address.
    pub address: IpAddr,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl UdpLiteTransport {
    pub(crate) fn decode(mut value: Reader<'_>, report: &mut Report) -> Result<UdpLiteTransport, WireError> {
        let port = value.u16()?;
        let _reserved = value.u16()?;
        let (address, unknown) = one_address(value, report)?;
        Ok(UdpLiteTransport { port, address, unknown })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::UDP_LITE_TRANSPORT, |out| {
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
    fn a_udp_lite_transport_round_trips() {
        let octets = [0, 7, 0, 0x10, 0x12, 0x83, 0, 0, 0, 1, 0, 8, 0x0a, 0x4d, 0, 0x1f];
        let Transport::UdpLite(lite) = round_trip(&octets) else { panic!("not UDP-Lite") };
        assert_eq!((lite.port, lite.address), (4739, IpAddr::from([10, 77, 0, 31])));
    }

    #[test]
    fn a_transport_cut_within_its_port_is_refused_with_its_offset() {
        let error = decode(&[0, 7, 0, 5, 0x12, 0, 0, 0]).unwrap_err();
        assert_eq!(error, WireError::Truncated { offset: 4, needed: 2, left: 1 });
    }
}
