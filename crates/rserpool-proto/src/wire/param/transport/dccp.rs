//! DCCP transport parameter (RFC 5354 section 3.3).
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x0003         |            Length             |
//! +-------------------------------+-------------------------------+
//! |          DCCP Port            |           (reserved)          |
//! +-------------------------------+-------------------------------+
//! |                       DCCP Service Code                       |
//! +---------------------------------------------------------------+
//! :             one IPv4 or IPv6 address parameter                :
//! +---------------------------------------------------------------+
//! ```

use std::net::IpAddr;

use super::one_address;
use crate::wire::param::{ParameterType, address};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all};
use crate::wire::{EncodeError, WireError, writer};

/// Where a DCCP endpoint is reached; always data only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DccpTransport {
    /// DCCP port.
    pub port: u16,
    /// DCCP service code.
    pub service_code: u32,
    /// The one address.
    pub address: IpAddr,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl DccpTransport {
    pub(crate) fn decode(mut value: Reader<'_>, report: &mut Report) -> Result<DccpTransport, WireError> {
        let port = value.u16()?;
        let _reserved = value.u16()?;
        let service_code = value.u32()?;
        let (address, unknown) = one_address(value, report)?;
        Ok(DccpTransport { port, service_code, address, unknown })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::DCCP_TRANSPORT, |out| {
            out.extend(self.port.to_be_bytes());
            out.extend([0, 0]);
            out.extend(self.service_code.to_be_bytes());
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
    fn a_dccp_transport_round_trips() {
        let octets = [0, 3, 0, 0x14, 0x13, 0x88, 0, 0, b'I', b'P', b'F', b'X', 0, 1, 0, 8, 10, 77, 0, 31];
        let Transport::Dccp(dccp) = round_trip(&octets) else { panic!("not DCCP") };
        assert_eq!((dccp.port, dccp.service_code), (5000, u32::from_be_bytes(*b"IPFX")));
    }

    #[test]
    fn a_transport_cut_within_its_service_code_is_refused_with_its_offset() {
        let error = decode(&[0, 3, 0, 10, 0x13, 0x88, 0, 0, b'I', b'P', 0, 0]).unwrap_err();
        assert_eq!(error, WireError::Truncated { offset: 8, needed: 4, left: 2 });
    }
}
