//! ENRP_ERROR (RFC 5353 section 2.10).
//!
//! ```text
//! | Type = 0x0a |   Flags   |   Length   |
//! |     sending and receiving server     |
//! :           operation error            :
//! ```

use crate::wire::param::operation_error;
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter};
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
        let (causes, unknown) = operation_error::decode_message(body, report)?;
        Ok(EnrpError { causes, unknown })
    }

    pub(super) fn flags(&self) -> u8 {
        0
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        operation_error::encode_message(&self.causes, &self.unknown, out)
    }
}
