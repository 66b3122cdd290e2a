//! Cookie parameter (RFC 5354 section 3.13): octets only the pool's elements understand.

use super::ParameterType;
use crate::wire::unknown::Found;
use crate::wire::{EncodeError, writer};

pub(crate) fn decode(found: &Found<'_>) -> Vec<u8> {
    found.value.clone().rest().to_vec()
}

pub(crate) fn encode(cookie: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    writer::parameter(out, ParameterType::COOKIE, |out| {
        out.extend(cookie);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use crate::wire::asap::cookie::Cookie;
    use crate::wire::{Message, ParameterType, WireError};

    #[test]
    fn a_captured_cookie_round_trips() {
        let mut captured = vec![0x0b, 0, 0, 0x18, 0, 0x0d, 0, 0x14];
        captured.extend(b"<PP-TD1>\0\0\0\0\0\0\0\x02");
        let expected = Cookie { cookie: captured[8..].to_vec(), unknown: vec![] };
        assert_eq!(Message::decode(&captured).unwrap(), Message::Cookie(expected));
    }

    #[test]
    fn a_cookie_beyond_its_message_is_refused_with_its_offset() {
        let error = Message::decode(&[0x0b, 0, 0, 0x0c, 0, 0x0d, 0, 9, 1, 2, 3, 4]).unwrap_err();
        assert_eq!(error, WireError::ParameterLength { offset: 4, kind: ParameterType::COOKIE, length: 9 });
    }
}
