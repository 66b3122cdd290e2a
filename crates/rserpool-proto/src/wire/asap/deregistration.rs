//! ASAP_DEREGISTRATION and its response (RFC 5352 sections 2.2.2 and 2.2.4).
//!
//! ```text
//! | Type = 0x02 or 0x04 |   Flags   |   Length   |
//! :                pool handle                   :
//! :               PE identifier                  :
//! :  operation error (optional, response only)   :
//! ```

use super::{Common, MessageType, nothing_more};
use crate::wire::param::{operation_error, pe_identifier, pool_handle};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all};
use crate::wire::{EncodeError, ErrorCause, WireError, writer};
use crate::{PeId, PoolHandle};

/// A pool element leaves its pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deregistration {
    /// The pool.
    pub pool: PoolHandle,
    /// The element.
    pub pe: PeId,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl Deregistration {
    pub(super) fn decode(_: u8, body: Reader<'_>, report: &mut Report) -> Result<Deregistration, WireError> {
        let common = Common::decode(body, report, nothing_more)?;
        Ok(Deregistration { pe: common.pe()?, pool: common.pool, unknown: common.unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::message(out, MessageType::DEREGISTRATION.0, 0, |out| {
            pool_handle::encode(&self.pool, out)?;
            pe_identifier::encode(self.pe, out)?;
            encode_all(&self.unknown, out)
        })
    }
}

/// The registrar's answer to a deregistration, or its notice that the life has expired.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeregistrationResponse {
    /// The pool.
    pub pool: PoolHandle,
    /// The element.
    pub pe: PeId,
    /// Why it is refused; empty when it is granted.
    pub causes: Vec<ErrorCause>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl DeregistrationResponse {
    pub(super) fn decode(
        _: u8,
        body: Reader<'_>,
        report: &mut Report,
    ) -> Result<DeregistrationResponse, WireError> {
        let common = Common::decode(body, report, nothing_more)?;
        Ok(DeregistrationResponse {
            pe: common.pe()?,
            pool: common.pool,
            causes: common.causes.unwrap_or_default(),
            unknown: common.unknown,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::message(out, MessageType::DEREGISTRATION_RESPONSE.0, 0, |out| {
            pool_handle::encode(&self.pool, out)?;
            pe_identifier::encode(self.pe, out)?;
            if !self.causes.is_empty() {
                operation_error::encode(&self.causes, out)?;
            }
            encode_all(&self.unknown, out)
        })
    }
}
