//! ASAP_REGISTRATION and its response (RFC 5352 sections 2.2.1 and 2.2.3).
//!
//! ```text
//! | Type = 0x01 |   Flags   |   Length   |    | Type = 0x03 |  |R|   Length   |
//! :           pool handle              :    :           pool handle            :
//! :           pool element             :    :          PE identifier           :
//!                                           :   operation error (optional)     :
//! ```

use super::{Common, MessageType, nothing_more};
use crate::wire::param::{ParameterType, operation_error, pe_identifier, pool_handle};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all};
use crate::wire::{EncodeError, ErrorCause, PoolElementParameter, WireError, writer};
use crate::{PeId, PoolHandle};

/// The R flag of the response.
const REJECT: u8 = 0x01;

/// A pool element registers or re-registers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registration {
    /// The pool.
    pub pool: PoolHandle,
    /// The element as it wants to be registered.
    pub element: PoolElementParameter,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl Registration {
    pub(super) fn decode(_: u8, body: Reader<'_>, report: &mut Report) -> Result<Registration, WireError> {
        let mut element = None;
        let common = Common::decode(body, report, |found, report| match found.kind {
            ParameterType::POOL_ELEMENT => {
                found.once(&mut element, PoolElementParameter::decode(found, report)?)
            }
            _ => Ok(false),
        })?;
        let missing = WireError::MissingParameter { offset: common.end, kind: ParameterType::POOL_ELEMENT };
        Ok(Registration { pool: common.pool, element: element.ok_or(missing)?, unknown: common.unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::message(out, MessageType::REGISTRATION.0, 0, |out| {
            pool_handle::encode(&self.pool, out)?;
            self.element.encode(out)?;
            encode_all(&self.unknown, out)
        })
    }
}

/// The registrar's answer to a registration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegistrationResponse {
    /// The registration is refused (R flag).
    pub rejected: bool,
    /// The pool.
    pub pool: PoolHandle,
    /// The element.
    pub pe: PeId,
    /// Why it is refused, or what was modified although it is granted.
    pub causes: Vec<ErrorCause>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl RegistrationResponse {
    pub(super) fn decode(
        flags: u8,
        body: Reader<'_>,
        report: &mut Report,
    ) -> Result<RegistrationResponse, WireError> {
        let common = Common::decode(body, report, nothing_more)?;
        let pe = common.pe()?;
        Ok(RegistrationResponse {
            rejected: flags & REJECT != 0,
            pool: common.pool,
            pe,
            causes: common.causes.unwrap_or_default(),
            unknown: common.unknown,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let flags = if self.rejected { REJECT } else { 0 };
        writer::message(out, MessageType::REGISTRATION_RESPONSE.0, flags, |out| {
            pool_handle::encode(&self.pool, out)?;
            pe_identifier::encode(self.pe, out)?;
            if !self.causes.is_empty() {
                operation_error::encode(&self.causes, out)?;
            }
            encode_all(&self.unknown, out)
        })
    }
}
