//! Encapsulation port, an extension of ours inside the pool element parameter: the UDP port of
//! RFC 6951 at which the element's SCTP endpoint is reached.
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x8f01         |          Length = 8           |
//! +-------------------------------+-------------------------------+
//! |           UDP Port            |           (reserved)          |
//! +-------------------------------+-------------------------------+
//! ```
//!
//! The type's upper bits are `10`, so an implementation that does not know it skips it
//! silently. It is sent only when the port is not [`DEFAULT_PORT`].

use super::ParameterType;
use crate::wire::unknown::Found;
use crate::wire::{EncodeError, WireError, writer};

/// The port registered for SCTP over UDP (RFC 6951 section 8).
pub const DEFAULT_PORT: u16 = 9899;

pub(crate) fn decode(found: &Found<'_>) -> Result<u16, WireError> {
    let mut value = found.value.clone();
    if value.left() != 4 {
        return Err(found.wrong_length());
    }
    value.u16()
}

pub(crate) fn encode(port: u16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    writer::parameter(out, ParameterType::ENCAPSULATION_PORT, |out| {
        out.extend(port.to_be_bytes());
        out.extend([0, 0]);
        Ok(())
    })
}
