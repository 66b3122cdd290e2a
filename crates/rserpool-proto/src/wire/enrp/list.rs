//! ENRP_LIST_REQUEST and its response (RFC 5353 sections 2.5 and 2.6).
//!
//! ```text
//! | Type = 0x05 | Flags |  Length |    | Type = 0x06 |  |R|   Length   |
//! |  sending and receiving server |    |  sending and receiving server |
//!                                      :   server information 0..n     :
//! ```
//!
//! A server information with identifier zero is a registrar whose identifier the sender does not know; the
//! reference implementation lists such ones.

use super::no_parameters;
use crate::wire::param::ParameterType;
use crate::wire::param::server_information::ServerInformation;
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, WireError};

/// The R flag of the response.
const REJECT: u8 = 0x01;

/// Asks which registrars there are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ListRequest {
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl ListRequest {
    pub(super) fn decode(_: u8, body: Reader<'_>, report: &mut Report) -> Result<ListRequest, WireError> {
        Ok(ListRequest { unknown: no_parameters(body, report)? })
    }

    pub(super) fn flags(&self) -> u8 {
        0
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode_all(&self.unknown, out)
    }
}

/// The known registrars.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ListResponse {
    /// The request is refused (R flag).
    pub rejected: bool,
    /// The peers of the sender, without itself.
    pub peers: Vec<ServerInformation>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl ListResponse {
    pub(super) fn decode(
        flags: u8,
        body: Reader<'_>,
        report: &mut Report,
    ) -> Result<ListResponse, WireError> {
        let mut peers = Vec::new();
        let unknown = parameters(body, report, |found, report| match found.kind {
            ParameterType::SERVER_INFORMATION => {
                peers.push(ServerInformation::decode(found, report)?);
                Ok(true)
            }
            _ => Ok(false),
        })?;
        Ok(ListResponse { rejected: flags & REJECT != 0, peers, unknown })
    }

    pub(super) fn flags(&self) -> u8 {
        if self.rejected { REJECT } else { 0 }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.peers.iter().try_for_each(|peer| peer.encode(out))?;
        encode_all(&self.unknown, out)
    }
}
