//! ASAP_HANDLE_RESOLUTION and its response (RFC 5352 sections 2.2.5 and 2.2.6).
//!
//! ```text
//! | Type = 0x05 |  |S|   Length   |    | Type = 0x06 |  |A|   Length   |
//! :          pool handle          :    :          pool handle          :
//! : handle resolution option      :    :  policy of the pool (optional):
//! :   (optional)                  :    :  pool elements 1..n, or       :
//!                                      :  operation error              :
//! ```

use super::{Common, MessageType};
use crate::PoolHandle;
use crate::wire::param::{ParameterType, operation_error, pool_handle, resolution_option};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all};
use crate::wire::{EncodeError, ErrorCause, Policy, PoolElementParameter, WireError, writer};

/// The S flag of the request and the A flag of the response.
const UPDATES: u8 = 0x01;

/// Asks which elements a pool has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HandleResolution {
    /// The sender wants to be told when the pool changes (S flag).
    pub send_updates: bool,
    /// The pool.
    pub pool: PoolHandle,
    /// How many elements are wanted (handle resolution option).
    pub items: Option<u32>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl HandleResolution {
    pub(super) fn decode(
        flags: u8,
        body: Reader<'_>,
        report: &mut Report,
    ) -> Result<HandleResolution, WireError> {
        let mut items = None;
        let common = Common::decode(body, report, |found, _| match found.kind {
            ParameterType::RESOLUTION_OPTION => found.once(&mut items, resolution_option::decode(found)?),
            _ => Ok(false),
        })?;
        let send_updates = flags & UPDATES != 0;
        Ok(HandleResolution { send_updates, pool: common.pool, items, unknown: common.unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let flags = if self.send_updates { UPDATES } else { 0 };
        writer::message(out, MessageType::HANDLE_RESOLUTION.0, flags, |out| {
            pool_handle::encode(&self.pool, out)?;
            if let Some(items) = self.items {
                resolution_option::encode(items, out)?;
            }
            encode_all(&self.unknown, out)
        })
    }
}

/// The elements of a pool, or why there are none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HandleResolutionResponse {
    /// The sender will tell when the pool changes (A flag).
    pub updates_accepted: bool,
    /// The pool.
    pub pool: PoolHandle,
    /// Policy of the pool; Round Robin when missing.
    pub policy: Option<Policy>,
    /// The elements, in the order of the policy.
    pub elements: Vec<PoolElementParameter>,
    /// Why the request is refused; `None` makes the answer positive.
    pub causes: Option<Vec<ErrorCause>>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl HandleResolutionResponse {
    pub(super) fn decode(
        flags: u8,
        body: Reader<'_>,
        report: &mut Report,
    ) -> Result<HandleResolutionResponse, WireError> {
        let mut policy = None;
        let mut elements = Vec::new();
        let common = Common::decode(body, report, |found, report| match found.kind {
            ParameterType::POLICY => found.once(&mut policy, Policy::decode(found)?),
            ParameterType::POOL_ELEMENT => {
                elements.push(PoolElementParameter::decode(found, report)?);
                Ok(true)
            }
            _ => Ok(false),
        })?;
        if elements.is_empty() && common.causes.is_none() {
            let kind = ParameterType::POOL_ELEMENT;
            return Err(WireError::MissingParameter { offset: common.end, kind });
        }
        Ok(HandleResolutionResponse {
            updates_accepted: flags & UPDATES != 0,
            pool: common.pool,
            policy,
            elements,
            causes: common.causes,
            unknown: common.unknown,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode_response(out, self.updates_accepted, &self.pool, self.policy.as_ref(), |out| {
            self.elements.iter().try_for_each(|element| element.encode(out))?;
            if let Some(causes) = &self.causes {
                operation_error::encode(causes, out)?;
            }
            encode_all(&self.unknown, out)
        })
    }
}

/// Appends a response whose elements, or causes, `rest` writes: a registrar has the elements in another form.
pub(crate) fn encode_response(
    out: &mut Vec<u8>,
    updates_accepted: bool,
    pool: &PoolHandle,
    policy: Option<&Policy>,
    rest: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let flags = if updates_accepted { UPDATES } else { 0 };
    writer::message(out, MessageType::HANDLE_RESOLUTION_RESPONSE.0, flags, |out| {
        pool_handle::encode(pool, out)?;
        if let Some(policy) = policy {
            policy.encode(out)?;
        }
        rest(out)
    })
}
