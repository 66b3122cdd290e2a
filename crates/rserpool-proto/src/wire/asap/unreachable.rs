//! ASAP_ENDPOINT_UNREACHABLE (RFC 5352 section 2.2.9).
//!
//! ```text
//! | Type = 0x09 |   Flags   |   Length   |
//! :             pool handle              :
//! :            PE identifier             :
//! ```

use super::{Common, MessageType, nothing_more};
use crate::wire::param::{pe_identifier, pool_handle};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all};
use crate::wire::{EncodeError, WireError, writer};
use crate::{PeId, PoolHandle};

/// Reports a pool element that cannot be reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointUnreachable {
    /// The pool.
    pub pool: PoolHandle,
    /// The element.
    pub pe: PeId,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl EndpointUnreachable {
    pub(super) fn decode(
        _: u8,
        body: Reader<'_>,
        report: &mut Report,
    ) -> Result<EndpointUnreachable, WireError> {
        let common = Common::decode(body, report, nothing_more)?;
        Ok(EndpointUnreachable { pe: common.pe()?, pool: common.pool, unknown: common.unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::message(out, MessageType::ENDPOINT_UNREACHABLE.0, 0, |out| {
            pool_handle::encode(&self.pool, out)?;
            pe_identifier::encode(self.pe, out)?;
            encode_all(&self.unknown, out)
        })
    }
}
