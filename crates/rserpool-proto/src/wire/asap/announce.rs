//! ASAP_SERVER_ANNOUNCE (RFC 5352 section 2.2.10).
//!
//! ```text
//! | Type = 0x0a |   Flags   |   Length   |
//! |          server identifier           |
//! :  SCTP or TCP transports (optional)   :
//! ```
//!
//! Without transports the sender's address is meant (RFC 5352 section 3.6).

use super::MessageType;
use crate::RegistrarId;
use crate::wire::param::ParameterType;
use crate::wire::param::transport::Transport;
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, WireError, writer};

/// A registrar makes itself known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerAnnounce {
    /// The registrar.
    pub registrar: RegistrarId,
    /// Where it is reached, SCTP and TCP only.
    pub transports: Vec<Transport>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl ServerAnnounce {
    /// Returns the UDP port of the SCTP transports, or of the sender where there is none, if it is told
    /// (extension, RFC 6951).
    pub fn encapsulation(&self) -> Option<u16> {
        let told = self.unknown.iter().find(|found| found.kind == ParameterType::ENCAPSULATION_PORT)?;
        let [high, low, ..] = told.value[..] else { return None };
        Some(u16::from_be_bytes([high, low])).filter(|&port| port != 0)
    }

    pub(super) fn decode(
        _: u8,
        mut body: Reader<'_>,
        report: &mut Report,
    ) -> Result<ServerAnnounce, WireError> {
        let registrar = RegistrarId(body.u32()?);
        let mut transports = Vec::new();
        let unknown = parameters(body, report, |found, report| match Transport::decode(found, report)? {
            Some(transport @ (Transport::Sctp(_) | Transport::Tcp(_))) => {
                transports.push(transport);
                Ok(true)
            }
            _ => Ok(false),
        })?;
        Ok(ServerAnnounce { registrar, transports, unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::message(out, MessageType::SERVER_ANNOUNCE.0, 0, |out| {
            out.extend(self.registrar.0.to_be_bytes());
            self.transports.iter().try_for_each(|transport| transport.encode(out))?;
            encode_all(&self.unknown, out)
        })
    }
}
