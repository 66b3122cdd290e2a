//! SCTP transport parameter (RFC 5354 section 3.4).
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x0004         |            Length             |
//! +-------------------------------+-------------------------------+
//! |          SCTP Port            |         Transport Use         |
//! +-------------------------------+-------------------------------+
//! :      one or more IPv4 or IPv6 address parameters, mixed       :
//! +---------------------------------------------------------------+
//! ```

use std::net::IpAddr;

use super::TransportUse;
use crate::wire::param::{ParameterType, address};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, WireError, writer};

/// The most addresses accepted in one transport; the reference implementation has the same limit.
pub const MAX_ADDRESSES: usize = 64;

/// Where and how an SCTP endpoint is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SctpTransport {
    /// SCTP port.
    pub port: u16,
    /// Data only, or data plus control.
    pub transport_use: TransportUse,
    /// At least one address.
    pub addresses: Vec<IpAddr>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl SctpTransport {
    pub(crate) fn decode(mut value: Reader<'_>, report: &mut Report) -> Result<SctpTransport, WireError> {
        let port = value.u16()?;
        let transport_use = TransportUse(value.u16()?);
        let mut addresses = Vec::new();
        let mut end = value.clone();
        end.rest();
        let unknown = parameters(value, report, |found, _| {
            let Some(address) = address::decode(found)? else { return Ok(false) };
            if addresses.len() == MAX_ADDRESSES {
                return Err(WireError::TooManyAddresses { offset: found.offset, limit: MAX_ADDRESSES });
            }
            addresses.push(address);
            Ok(true)
        })?;
        if addresses.is_empty() {
            let offset = end.offset();
            return Err(WireError::MissingParameter { offset, kind: ParameterType::IPV4_ADDRESS });
        }
        Ok(SctpTransport { port, transport_use, addresses, unknown })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::SCTP_TRANSPORT, |out| {
            out.extend(self.port.to_be_bytes());
            out.extend(self.transport_use.0.to_be_bytes());
            self.addresses.iter().try_for_each(|&address| address::encode(address, out))?;
            encode_all(&self.unknown, out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, round_trip};
    use super::super::{Transport, TransportUse};
    use super::*;

    #[test]
    fn a_captured_sctp_transport_with_control_channel_round_trips() {
        let captured = [0, 4, 0, 0x10, 0x88, 0xd5, 0, 1, 0, 1, 0, 8, 0x0a, 0x4d, 0, 0x16];
        let Transport::Sctp(sctp) = round_trip(&captured) else { panic!("not SCTP") };
        assert_eq!(sctp.port, 0x88d5);
        assert_eq!(sctp.transport_use, TransportUse::DATA_PLUS_CONTROL);
        assert_eq!(sctp.addresses, [IpAddr::from([10, 77, 0, 22])]);
    }

    #[test]
    fn addresses_of_both_families_keep_their_order() {
        let sctp = SctpTransport {
            port: 4739,
            transport_use: TransportUse::DATA_ONLY,
            addresses: vec![IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), IpAddr::from([127, 0, 0, 1])],
            unknown: vec![],
        };
        let mut out = Vec::new();
        sctp.encode(&mut out).unwrap();
        assert_eq!(round_trip(&out), Transport::Sctp(sctp));
    }

    /// RFC 5354 section 3.4: one or more address parameters (section 3.1 and 3.2), IPv4 and IPv6 mixed.
    #[rustfmt::skip]
    const THREE_ADDRESSES: [u8; 44] = [
        0, 4, 0, 44, 0x12, 0x83, 0, 1,
        0, 1, 0, 8, 192, 0, 2, 1,
        0, 2, 0, 20, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        0, 1, 0, 8, 198, 51, 100, 1,
    ];

    #[test]
    fn three_addresses_of_both_families_have_these_octets() {
        let addresses = ["192.0.2.1", "2001:db8::1", "198.51.100.1"].map(|text| text.parse().unwrap());
        let sctp = SctpTransport {
            port: 4739,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses: addresses.to_vec(),
            unknown: vec![],
        };
        assert_eq!(round_trip(&THREE_ADDRESSES), Transport::Sctp(sctp));
    }

    #[test]
    fn a_wrong_length_of_a_later_address_is_shown_at_its_offset() {
        let mut octets = THREE_ADDRESSES;
        octets[19] = 16;
        let kind = ParameterType::IPV6_ADDRESS;
        assert_eq!(decode(&octets).unwrap_err(), WireError::ParameterLength { offset: 16, kind, length: 16 });
    }

    #[test]
    fn a_transport_without_address_is_refused_where_the_address_should_be() {
        let error = decode(&[0, 4, 0, 8, 0x12, 0x83, 0, 0]).unwrap_err();
        assert_eq!(error, WireError::MissingParameter { offset: 8, kind: ParameterType::IPV4_ADDRESS });
    }

    #[test]
    fn the_65th_address_is_refused_with_its_offset() {
        let sctp = SctpTransport {
            port: 1,
            transport_use: TransportUse::DATA_ONLY,
            addresses: vec![IpAddr::from([10, 0, 0, 1]); MAX_ADDRESSES + 1],
            unknown: vec![],
        };
        let mut out = Vec::new();
        sctp.encode(&mut out).unwrap();
        assert_eq!(decode(&out).unwrap_err(), WireError::TooManyAddresses { offset: 8 + 64 * 8, limit: 64 });
    }
}
