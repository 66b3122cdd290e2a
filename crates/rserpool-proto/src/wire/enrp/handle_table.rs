//! ENRP_HANDLE_TABLE_REQUEST and its response (RFC 5353 sections 2.2 and 2.3).
//!
//! ```text
//! | Type = 0x02 |  |W|   Length   |    | Type = 0x03 | |M|R|   Length   |
//! |  sending and receiving server |    |   sending and receiving server  |
//!                                      :  pool handle                    :
//!                                      :  pool elements 1..n of the pool :
//!                                      :  next pool handle ...           :
//! ```
//!
//! Here the order of parameters carries meaning: an element is of the pool whose handle stands before it.

use super::no_parameters;
use crate::PoolHandle;
use crate::wire::param::{ParameterType, pool_handle};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, PoolElementParameter, WireError};

/// The W flag of the request.
const OWN_CHILDREN_ONLY: u8 = 0x01;
/// The R flag of the response.
const REJECT: u8 = 0x01;
/// The M flag of the response.
const MORE_TO_SEND: u8 = 0x02;

/// Asks for a copy of the handlespace, or for the next part of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HandleTableRequest {
    /// Only the elements the receiver owns (W flag).
    pub own_children_only: bool,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl HandleTableRequest {
    pub(super) fn decode(
        flags: u8,
        body: Reader<'_>,
        report: &mut Report,
    ) -> Result<HandleTableRequest, WireError> {
        let unknown = no_parameters(body, report)?;
        Ok(HandleTableRequest { own_children_only: flags & OWN_CHILDREN_ONLY != 0, unknown })
    }

    pub(super) fn flags(&self) -> u8 {
        if self.own_children_only { OWN_CHILDREN_ONLY } else { 0 }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode_all(&self.unknown, out)
    }
}

/// Elements of one pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolEntry {
    /// The pool.
    pub pool: PoolHandle,
    /// Its elements, or some of them.
    pub elements: Vec<PoolElementParameter>,
}

/// A part of the handlespace.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HandleTableResponse {
    /// The request is refused (R flag).
    pub rejected: bool,
    /// There is more; to be asked for with another request (M flag).
    pub more_to_send: bool,
    /// Pools and elements.
    pub entries: Vec<PoolEntry>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl HandleTableResponse {
    pub(super) fn decode(
        flags: u8,
        body: Reader<'_>,
        report: &mut Report,
    ) -> Result<HandleTableResponse, WireError> {
        let mut entries: Vec<PoolEntry> = Vec::new();
        let unknown = parameters(body, report, |found, report| match found.kind {
            ParameterType::POOL_HANDLE => {
                entries.push(PoolEntry { pool: pool_handle::decode(found)?, elements: vec![] });
                Ok(true)
            }
            ParameterType::POOL_ELEMENT => {
                let kind = ParameterType::POOL_HANDLE;
                let missing = WireError::MissingParameter { offset: found.offset, kind };
                let entry = entries.last_mut().ok_or(missing)?;
                entry.elements.push(PoolElementParameter::decode(found, report)?);
                Ok(true)
            }
            _ => Ok(false),
        })?;
        let (rejected, more_to_send) = (flags & REJECT != 0, flags & MORE_TO_SEND != 0);
        Ok(HandleTableResponse { rejected, more_to_send, entries, unknown })
    }

    pub(super) fn flags(&self) -> u8 {
        let reject = if self.rejected { REJECT } else { 0 };
        let more = if self.more_to_send { MORE_TO_SEND } else { 0 };
        reject | more
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        for PoolEntry { pool, elements } in &self.entries {
            pool_handle::encode(pool, out)?;
            elements.iter().try_for_each(|element| element.encode(out))?;
        }
        encode_all(&self.unknown, out)
    }
}
