//! ASAP_ERROR (RFC 5352 section 2.2.14).
//!
//! ```text
//! | Type = 0x0e |   Flags   |   Length   |
//! :           operation error            :
//! ```

use super::MessageType;
use crate::wire::param::operation_error;
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter};
use crate::wire::{EncodeError, ErrorCause, WireError, writer};

/// Reports what could not be recognized.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AsapError {
    /// What went wrong.
    pub causes: Vec<ErrorCause>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl AsapError {
    pub(super) fn decode(_: u8, body: Reader<'_>, report: &mut Report) -> Result<AsapError, WireError> {
        let (causes, unknown) = operation_error::decode_message(body, report)?;
        Ok(AsapError { causes, unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::message(out, MessageType::ERROR.0, 0, |out| {
            operation_error::encode_message(&self.causes, &self.unknown, out)
        })
    }
}
