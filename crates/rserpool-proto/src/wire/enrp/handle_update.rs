//! ENRP_HANDLE_UPDATE (RFC 5353 section 2.4).
//!
//! ```text
//! | Type = 0x04 |  |T|   Length   |
//! |  sending and receiving server |
//! | update action |  (reserved)   |
//! :          pool handle          :
//! :         pool element          :
//! ```
//!
//! The T flag is not in the RFC: the sender suggests that the receiver becomes the element's home
//! (takeover suggestion, as the reference implementation has it).

use std::fmt;

use crate::PoolHandle;
use crate::wire::param::{ParameterType, pool_handle};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, PoolElementParameter, WireError};

const TAKEOVER_SUGGESTED: u8 = 0x01;

/// What happened to a pool element (RFC 5353 section 5.2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UpdateAction(pub u16);

impl UpdateAction {
    /// The element was added or changed.
    pub const ADD_PE: UpdateAction = UpdateAction(0);
    /// The element was removed.
    pub const DEL_PE: UpdateAction = UpdateAction(1);
}

impl fmt::Display for UpdateAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            UpdateAction::ADD_PE => f.write_str("ADD_PE"),
            UpdateAction::DEL_PE => f.write_str("DEL_PE"),
            UpdateAction(other) => write!(f, "update action {other}"),
        }
    }
}

/// A pool element was added, changed or removed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HandleUpdate {
    /// What happened.
    pub action: UpdateAction,
    /// The receiver is asked to become the element's home.
    pub takeover_suggested: bool,
    /// The pool.
    pub pool: PoolHandle,
    /// The element with everything known of it.
    pub element: PoolElementParameter,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl HandleUpdate {
    pub(super) fn decode(
        flags: u8,
        mut body: Reader<'_>,
        report: &mut Report,
    ) -> Result<HandleUpdate, WireError> {
        let action = UpdateAction(body.u16()?);
        body.u16()?;
        let end = body.offset() + body.left();
        let (mut pool, mut element) = (None, None);
        let unknown = parameters(body, report, |found, report| match found.kind {
            ParameterType::POOL_HANDLE => found.once(&mut pool, pool_handle::decode(found)?),
            ParameterType::POOL_ELEMENT => {
                found.once(&mut element, PoolElementParameter::decode(found, report)?)
            }
            _ => Ok(false),
        })?;
        let missing = |kind| WireError::MissingParameter { offset: end, kind };
        Ok(HandleUpdate {
            action,
            takeover_suggested: flags & TAKEOVER_SUGGESTED != 0,
            pool: pool.ok_or(missing(ParameterType::POOL_HANDLE))?,
            element: element.ok_or(missing(ParameterType::POOL_ELEMENT))?,
            unknown,
        })
    }

    pub(super) fn flags(&self) -> u8 {
        if self.takeover_suggested { TAKEOVER_SUGGESTED } else { 0 }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend(self.action.0.to_be_bytes());
        out.extend([0, 0]);
        pool_handle::encode(&self.pool, out)?;
        self.element.encode(out)?;
        encode_all(&self.unknown, out)
    }
}
