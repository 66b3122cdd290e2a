//! Handle resolution option (draft-dreibholz-rserpool-asap-hropt): how many pool elements a
//! pool user wants in the answer.
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x803f         |          Length = 8           |
//! +-------------------------------+-------------------------------+
//! |        Items: 0 = the registrar's choice, 2^32-1 = all        |
//! +---------------------------------------------------------------+
//! ```

use super::ParameterType;
use crate::wire::unknown::Found;
use crate::wire::{EncodeError, WireError, writer};

/// As many pool elements as possible.
pub const ALL_ITEMS: u32 = u32::MAX;

pub(crate) fn decode(found: &Found<'_>) -> Result<u32, WireError> {
    let mut value = found.value.clone();
    if value.left() != 4 {
        return Err(found.wrong_length());
    }
    value.u32()
}

pub(crate) fn encode(items: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    writer::parameter(out, ParameterType::RESOLUTION_OPTION, |out| {
        out.extend(items.to_be_bytes());
        Ok(())
    })
}
