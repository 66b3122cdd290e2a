//! ASAP_ENDPOINT_KEEP_ALIVE and its acknowledgement (RFC 5352 sections 2.2.7 and 2.2.8).
//!
//! ```text
//! | Type = 0x07 |D|H|   Length   |    | Type = 0x08 |  Flags |   Length   |
//! |      server identifier        |    :            pool handle            :
//! :          pool handle          :    :           PE identifier           :
//! :   PE identifier (optional)    :
//! ```
//!
//! The RFC has no PE identifier in the keep-alive; the reference implementation always sends
//! it, and so do we: with several elements of a pool behind one association it is needed. Flag D is ours: it tells the
//! element that it drains (docs/wire.md section 19); whoever does not know it ignores it.

use super::{Common, MessageType, nothing_more};
use crate::wire::param::{pe_identifier, pool_handle};
use crate::wire::reader::Reader;
use crate::wire::unknown::{Report, UnknownParameter, encode_all};
use crate::wire::{EncodeError, WireError, writer};
use crate::{PeId, PoolHandle, RegistrarId};

/// The H flag.
const HOME: u8 = 0x01;
/// The D flag.
const DRAINING: u8 = 0x02;

/// Asks a pool element whether it lives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointKeepAlive {
    /// The sender wants to be the element's home registrar (H flag).
    pub home: bool,
    /// The element has been taken out of selection (D flag, docs/wire.md section 19).
    pub draining: bool,
    /// The sender.
    pub registrar: RegistrarId,
    /// The pool.
    pub pool: PoolHandle,
    /// The element, where the sender tells it.
    pub pe: Option<PeId>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl EndpointKeepAlive {
    pub(super) fn decode(
        flags: u8,
        mut body: Reader<'_>,
        report: &mut Report,
    ) -> Result<EndpointKeepAlive, WireError> {
        let registrar = RegistrarId(body.u32()?);
        let common = Common::decode(body, report, nothing_more)?;
        Ok(EndpointKeepAlive {
            home: flags & HOME != 0,
            draining: flags & DRAINING != 0,
            registrar,
            pool: common.pool,
            pe: common.pe,
            unknown: common.unknown,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let flags = if self.home { HOME } else { 0 } | if self.draining { DRAINING } else { 0 };
        writer::message(out, MessageType::ENDPOINT_KEEP_ALIVE.0, flags, |out| {
            out.extend(self.registrar.0.to_be_bytes());
            pool_handle::encode(&self.pool, out)?;
            if let Some(pe) = self.pe {
                pe_identifier::encode(pe, out)?;
            }
            encode_all(&self.unknown, out)
        })
    }
}

/// A pool element lives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointKeepAliveAck {
    /// The pool.
    pub pool: PoolHandle,
    /// The element.
    pub pe: PeId,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl EndpointKeepAliveAck {
    pub(super) fn decode(
        _: u8,
        body: Reader<'_>,
        report: &mut Report,
    ) -> Result<EndpointKeepAliveAck, WireError> {
        let common = Common::decode(body, report, nothing_more)?;
        Ok(EndpointKeepAliveAck { pe: common.pe()?, pool: common.pool, unknown: common.unknown })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::message(out, MessageType::ENDPOINT_KEEP_ALIVE_ACK.0, 0, |out| {
            pool_handle::encode(&self.pool, out)?;
            pe_identifier::encode(self.pe, out)?;
            encode_all(&self.unknown, out)
        })
    }
}
