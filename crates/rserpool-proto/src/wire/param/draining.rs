//! Draining, an extension of ours: a mark without value.
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x8f06         |          Length = 4           |
//! +-------------------------------+-------------------------------+
//! ```
//!
//! In a pool element parameter among registrars: the operator has taken the element out of selection. In
//! ENRP_PRESENCE: the sender understands that. The type's upper bits are `10`, so others skip it silently.

use super::ParameterType;
use crate::wire::UnknownParameter;

/// Returns whether the mark is among parameters that were skipped.
pub fn is_marked(skipped: &[UnknownParameter]) -> bool {
    skipped.iter().any(|skipped| skipped.kind == ParameterType::DRAINING)
}

/// Returns the mark, to be sent among those that others skip.
pub fn mark() -> UnknownParameter {
    UnknownParameter { kind: ParameterType::DRAINING, value: Vec::new() }
}

/// Adds the mark, or takes it away.
pub fn set(skipped: &mut Vec<UnknownParameter>, marked: bool) {
    skipped.retain(|skipped| skipped.kind != ParameterType::DRAINING);
    if marked {
        skipped.push(mark());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_a_header_and_is_set_once() {
        let mut skipped = vec![];
        set(&mut skipped, true);
        set(&mut skipped, true);
        assert_eq!(skipped, [mark()]);
        let mut octets = vec![];
        mark().encode(&mut octets).unwrap();
        assert_eq!(octets, [0x8f, 0x06, 0, 4]);
        assert!(is_marked(&skipped));
        set(&mut skipped, false);
        assert!(!is_marked(&skipped));
    }
}
