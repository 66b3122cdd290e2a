//! Pool handle parameter (RFC 5354 section 3.9): one or more octets.

use super::ParameterType;
use crate::PoolHandle;
use crate::wire::unknown::Found;
use crate::wire::{EncodeError, WireError, writer};

pub(crate) fn decode(found: &Found<'_>) -> Result<PoolHandle, WireError> {
    PoolHandle::new(found.value.clone().rest()).map_err(|_| found.wrong_length())
}

pub(crate) fn encode(handle: &PoolHandle, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    writer::parameter(out, ParameterType::POOL_HANDLE, |out| {
        out.extend(handle.as_octets());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    #[test]
    fn a_captured_handle_with_padding_decodes() {
        let mut octets = vec![5, 0, 0, 0x14, 0, 9, 0, 0x0e];
        octets.extend(b"NoSuchPool\0\0");
        let Ok(Message::HandleResolution(resolution)) = Message::decode(&octets) else { panic!() };
        assert_eq!(resolution.pool, PoolHandle::new("NoSuchPool").unwrap());
    }

    #[test]
    fn an_empty_handle_is_refused_with_its_offset() {
        let error = Message::decode(&[5, 0, 0, 8, 0, 9, 0, 4]).unwrap_err();
        assert_eq!(
            error,
            WireError::ParameterLength { offset: 4, kind: ParameterType::POOL_HANDLE, length: 4 }
        );
    }

    #[test]
    fn the_longest_handle_fills_a_message() {
        // The parameter's length could be 65,535, but the message has a header of its own.
        let longest = PoolHandle::new(vec![b'x'; PoolHandle::MAX_LENGTH]).unwrap();
        assert!(PoolHandle::new(vec![b'x'; PoolHandle::MAX_LENGTH + 1]).is_err());
        let mut octets = vec![5, 0, 0xff, 0xff, 0, 9, 0xff, 0xfb];
        octets.extend(longest.as_octets());
        assert_eq!(octets.len(), 65_535);
        for padding in 0..2 {
            octets.resize(65_535 + padding, 0);
            let Ok(Message::HandleResolution(resolution)) = Message::decode(&octets) else { panic!() };
            assert_eq!(resolution.pool, longest);
        }
        octets[7] += 1;
        let beyond =
            WireError::ParameterLength { offset: 4, kind: ParameterType::POOL_HANDLE, length: 65_532 };
        assert_eq!(Message::decode(&octets).unwrap_err(), beyond);
    }
}
