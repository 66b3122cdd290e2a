//! ASAP_ERROR (RFC 5352 section 2.2.14).
//!
//! ```text
//! | Type = 0x0e |   Flags   |   Length   |
//! :           operation error            :
//! ```

use super::MessageType;
use crate::wire::param::{ParameterType, operation_error};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all, parameters};
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
        let end = body.offset() + body.left();
        let mut causes = None;
        let unknown = parameters(body, report, |found, _| match found.kind {
            ParameterType::OPERATION_ERROR => found.once(&mut causes, operation_error::decode(found)?),
            _ => Ok(false),
        })?;
        let missing = WireError::MissingParameter { offset: end, kind: ParameterType::OPERATION_ERROR };
        Ok(AsapError { causes: causes.ok_or(missing)?, unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::message(out, MessageType::ERROR.0, 0, |out| {
            operation_error::encode(&self.causes, out)?;
            encode_all(&self.unknown, out)
        })
    }
}
