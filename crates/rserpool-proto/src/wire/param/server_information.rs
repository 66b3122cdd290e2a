//! Server information parameter (RFC 5354 section 3.11): a registrar's id and its SCTP transport.
//!
//! An encapsulation port of ours (see [`encapsulation`]) may follow the transport: the UDP port
//! of the registrar's SCTP endpoint where it is not the usual one.

use super::transport::{SctpTransport, Transport};
use super::{ParameterType, encapsulation};
use crate::RegistrarId;
use crate::wire::reader::Reader;
use crate::wire::unknown::{Found, Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, WireError, writer};

/// How to reach a registrar.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerInformation {
    /// The registrar.
    pub registrar: RegistrarId,
    /// Where it is.
    pub transport: SctpTransport,
    /// UDP port of the SCTP transport where it is not the usual one (extension).
    pub encapsulation: Option<u16>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl ServerInformation {
    /// Returns the server information in `octets`, which hold this one parameter.
    pub fn from_octets(octets: &[u8]) -> Result<ServerInformation, WireError> {
        let mut information = None;
        parameters(Reader::new(octets), &mut Report::default(), |found, report| match found.kind {
            ParameterType::SERVER_INFORMATION => {
                found.once(&mut information, ServerInformation::decode(found, report)?)
            }
            _ => Ok(false),
        })?;
        let kind = ParameterType::SERVER_INFORMATION;
        information.ok_or(WireError::MissingParameter { offset: octets.len(), kind })
    }

    pub(crate) fn decode(found: &Found<'_>, report: &mut Report) -> Result<ServerInformation, WireError> {
        let mut value = found.value.clone();
        let registrar = RegistrarId(value.u32()?);
        let (mut transport, mut port) = (None, None);
        let unknown = parameters(value, report, |found, report| match found.kind {
            ParameterType::ENCAPSULATION_PORT => found.once(&mut port, encapsulation::decode(found)?),
            _ => match Transport::decode(found, report)? {
                Some(Transport::Sctp(sctp)) => found.once(&mut transport, sctp),
                _ => Ok(false),
            },
        })?;
        let offset = found.offset + found.octets.len();
        let missing = WireError::MissingParameter { offset, kind: ParameterType::SCTP_TRANSPORT };
        Ok(ServerInformation {
            registrar,
            transport: transport.ok_or(missing)?,
            encapsulation: port,
            unknown,
        })
    }

    /// Appends the parameter.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::SERVER_INFORMATION, |out| {
            out.extend(self.registrar.0.to_be_bytes());
            self.transport.encode(out)?;
            if let Some(port) = self.encapsulation {
                encapsulation::encode(port, out)?;
            }
            encode_all(&self.unknown, out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTURED: [u8; 24] = [
        0, 0x0b, 0, 0x18, 0x0a, 0x0b, 0x0c, 0x01, 0, 4, 0, 0x10, 0x26, 0xad, 0, 0, 0, 1, 0, 8, 0x0a, 0x4d, 0,
        0x0b,
    ];

    #[test]
    fn a_captured_server_information_round_trips() {
        let information = ServerInformation::from_octets(&CAPTURED).unwrap();
        assert_eq!((information.registrar, information.transport.port), (RegistrarId(0x0a0b_0c01), 9901));
        let mut out = Vec::new();
        information.encode(&mut out).unwrap();
        assert_eq!(out, CAPTURED);
    }

    #[test]
    fn an_unusual_encapsulation_port_survives() {
        let usual = ServerInformation::from_octets(&CAPTURED).unwrap();
        let unusual = ServerInformation { encapsulation: Some(9900), ..usual };
        let mut out = Vec::new();
        unusual.encode(&mut out).unwrap();
        assert_eq!(out[24..], [0x8f, 0x01, 0, 8, 0x26, 0xac, 0, 0]);
        assert_eq!(ServerInformation::from_octets(&out), Ok(unusual));
    }

    #[test]
    fn a_server_information_without_transport_is_refused_where_it_should_be() {
        let error = ServerInformation::from_octets(&[0, 0x0b, 0, 8, 1, 2, 3, 4]).unwrap_err();
        assert_eq!(error, WireError::MissingParameter { offset: 8, kind: ParameterType::SCTP_TRANSPORT });
    }
}
