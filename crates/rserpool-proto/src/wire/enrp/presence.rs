//! ENRP_PRESENCE (RFC 5353 section 2.1).
//!
//! ```text
//! | Type = 0x01 |  |R|   Length   |
//! |  sending and receiving server |
//! :     PE checksum (optional)    :
//! : server information (optional) :
//! ```
//!
//! The figure shows no flag, the text needs "reply required": bit 0x01, as deployed.

use crate::wire::param::ParameterType;
use crate::wire::param::pe_checksum::PeChecksum;
use crate::wire::param::server_information::ServerInformation;
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, WireError};

const REPLY_REQUIRED: u8 = 0x01;

/// A registrar lives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Presence {
    /// The sender wants to be told the receiver's presence.
    pub reply_required: bool,
    /// Over the elements the sender owns.
    pub checksum: Option<PeChecksum>,
    /// Where the sender is; the reference implementation refuses a presence without it.
    pub information: Option<ServerInformation>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl Presence {
    pub(super) fn decode(flags: u8, body: Reader<'_>, report: &mut Report) -> Result<Presence, WireError> {
        let (mut checksum, mut information) = (None, None);
        let unknown = parameters(body, report, |found, report| match found.kind {
            ParameterType::PE_CHECKSUM => found.once(&mut checksum, PeChecksum::decode(found)?),
            ParameterType::SERVER_INFORMATION => {
                found.once(&mut information, ServerInformation::decode(found, report)?)
            }
            _ => Ok(false),
        })?;
        Ok(Presence { reply_required: flags & REPLY_REQUIRED != 0, checksum, information, unknown })
    }

    pub(super) fn flags(&self) -> u8 {
        if self.reply_required { REPLY_REQUIRED } else { 0 }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let Some(checksum) = self.checksum {
            checksum.encode(out)?;
        }
        // The reference implementation passes over what it does not know between two parameters, and refuses a message
        // that ends with it.
        encode_all(&self.unknown, out)?;
        match &self.information {
            Some(information) => information.encode(out),
            None => Ok(()),
        }
    }
}
