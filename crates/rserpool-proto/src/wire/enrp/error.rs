//! ENRP_ERROR (RFC 5353 section 2.10).
//!
//! ```text
//! | Type = 0x0a |   Flags   |   Length   |
//! |     sending and receiving server     |
//! :           operation error            :
//! ```

use crate::wire::param::{ParameterType, operation_error};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, ErrorCause, WireError};

/// Reports what could not be recognized.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnrpError {
    /// What went wrong.
    pub causes: Vec<ErrorCause>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl EnrpError {
    pub(super) fn decode(_: u8, body: Reader<'_>, report: &mut Report) -> Result<EnrpError, WireError> {
        let end = body.offset() + body.left();
        let mut causes = None;
        let unknown = parameters(body, report, |found, _| match found.kind {
            ParameterType::OPERATION_ERROR => found.once(&mut causes, operation_error::decode(found)?),
            _ => Ok(false),
        })?;
        let missing = WireError::MissingParameter { offset: end, kind: ParameterType::OPERATION_ERROR };
        Ok(EnrpError { causes: causes.ok_or(missing)?, unknown })
    }

    pub(super) fn flags(&self) -> u8 {
        0
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        operation_error::encode(&self.causes, out)?;
        encode_all(&self.unknown, out)
    }
}
