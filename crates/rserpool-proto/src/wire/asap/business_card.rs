//! ASAP_BUSINESS_CARD (RFC 5352 section 2.2.13).
//!
//! ```text
//! | Type = 0x0d |   Flags   |   Length   |
//! :              pool handle             :
//! :          policy (optional)           :
//! :          pool elements 1..n          :
//! ```
//!
//! The RFC has no policy here; the reference implementation sends one, which is kept. A card of a
//! pool's last element, which drains, may list no element at all.

use super::{Common, MessageType};
use crate::PoolHandle;
use crate::wire::param::{ParameterType, pool_handle};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all};
use crate::wire::{EncodeError, Policy, PoolElementParameter, WireError, writer};

/// Pool handle and preferred order of failover.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BusinessCard {
    /// The pool.
    pub pool: PoolHandle,
    /// Policy of the pool; not sent by us.
    pub policy: Option<Policy>,
    /// The elements to turn to, first choice first.
    pub elements: Vec<PoolElementParameter>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl BusinessCard {
    pub(super) fn decode(_: u8, body: Reader<'_>, report: &mut Report) -> Result<BusinessCard, WireError> {
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
        Ok(BusinessCard { pool: common.pool, policy, elements, unknown: common.unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::message(out, MessageType::BUSINESS_CARD.0, 0, |out| {
            pool_handle::encode(&self.pool, out)?;
            if let Some(policy) = &self.policy {
                policy.encode(out)?;
            }
            self.elements.iter().try_for_each(|element| element.encode(out))?;
            encode_all(&self.unknown, out)
        })
    }
}
