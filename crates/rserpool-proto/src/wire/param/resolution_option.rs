//! Handle resolution option (draft-dreibholz-rserpool-asap-hropt): how many pool elements a
//! pool user wants in the answer. In an answer that had to be cut, how many it would have had (docs/wire.md section 12).
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
use crate::wire::{EncodeError, UnknownParameter, WireError, writer};

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

/// Returns how many elements an answer would have had if there had been room, where it says that it was cut; a malformed
/// option says nothing.
pub(crate) fn cut_from(skipped: &[UnknownParameter]) -> Option<u32> {
    let option = skipped.iter().find(|skipped| skipped.kind == ParameterType::RESOLUTION_OPTION)?;
    option.read(decode).ok()
}

/// The option of an answer that was cut.
pub(crate) fn to_parameter(items: u32) -> UnknownParameter {
    UnknownParameter { kind: ParameterType::RESOLUTION_OPTION, value: items.to_be_bytes().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    #[test]
    fn a_captured_option_asks_for_all_items() {
        let captured = [5, 0, 0, 0x14, 0, 9, 0, 5, b'P', 0, 0, 0, 0x80, 0x3f, 0, 8, 0xff, 0xff, 0xff, 0xff];
        let message = Message::decode(&captured).unwrap();
        assert_eq!(message.to_octets().unwrap(), captured);
        let Message::HandleResolution(resolution) = message else { panic!("not a resolution") };
        assert_eq!(resolution.items, Some(ALL_ITEMS));
    }

    #[test]
    fn an_option_of_two_octets_is_refused_with_its_offset() {
        let octets = [5, 0, 0, 0x14, 0, 9, 0, 5, b'P', 0, 0, 0, 0x80, 0x3f, 0, 6, 0, 1, 0, 0];
        let kind = ParameterType::RESOLUTION_OPTION;
        let error = Message::decode(&octets).unwrap_err();
        assert_eq!(error, WireError::ParameterLength { offset: 12, kind, length: 6 });
    }
}
