//! The framer IPFIX, ASAP and ENRP share: all carry their length in octets 2 and 3.

use bytes::{Buf, Bytes, BytesMut};

use crate::{Message, Ppid};

/// An IPFIX Message header (RFC 7011 section 3.1).
const IPFIX_HEADER: usize = 16;
const IPFIX_VERSION: u16 = 0x000a;
/// An ASAP or ENRP message header (RFC 5354 section 2).
const CONTROL_HEADER: usize = 4;

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("message length {length} is below {minimum}")]
    Length { length: usize, minimum: usize },
    #[error("no IPFIX message: version {version:#06x}")]
    Version { version: u16 },
    #[error("connection closed within a message, {octets} octets after its start")]
    Truncated { octets: usize },
}

/// The length a message tells of itself.
pub(crate) fn framed_length(octets: &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?)))
}

/// Takes the next whole message off the buffer; none while it is incomplete. Message types of ASAP and
/// ENRP begin at 1: a first octet of 0 is IPFIX, any other makes it `control`. A message shares the buffer's memory,
/// and so keeps all of it, unless it is `copied`.
pub(crate) fn next(
    buffer: &mut BytesMut,
    control: Ppid,
    copied: bool,
) -> Result<Option<Message>, FrameError> {
    let Some(length) = framed_length(buffer) else { return Ok(None) };
    let (ppid, minimum) = match (buffer[0], buffer[1]) {
        (0, low) if u16::from(low) != IPFIX_VERSION => {
            return Err(FrameError::Version { version: u16::from(low) });
        }
        (0, _) => (Ppid::IPFIX, IPFIX_HEADER),
        _ => (control, CONTROL_HEADER),
    };
    if length < minimum {
        return Err(FrameError::Length { length, minimum });
    }
    if buffer.remaining() < length {
        return Ok(None);
    }
    let data = if copied {
        let data = Bytes::copy_from_slice(&buffer[..length]);
        buffer.advance(length);
        data
    } else {
        buffer.split_to(length).freeze()
    };
    Ok(Some(Message { stream: 0, ppid, unordered: false, data }))
}

/// Whether a connection that ends here ends between messages.
pub(crate) fn finish(buffer: &BytesMut) -> Result<(), FrameError> {
    if buffer.is_empty() { Ok(()) } else { Err(FrameError::Truncated { octets: buffer.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipfix(length: u8) -> Vec<u8> {
        let mut message = vec![0; usize::from(length)];
        message[1] = 10;
        message[3] = length;
        message
    }

    #[test]
    fn messages_are_cut_wherever_the_octets_were_split() {
        let mut octets = ipfix(20);
        octets.extend([1, 0, 0, 8, 9, 9, 9, 9]);
        let mut buffer = BytesMut::new();
        let mut messages = Vec::new();
        for octet in octets {
            buffer.extend([octet]);
            messages.extend(next(&mut buffer, Ppid::ASAP, false).unwrap());
        }
        let seen: Vec<_> = messages.iter().map(|m| (m.ppid, m.data.len())).collect();
        assert_eq!(seen, [(Ppid::IPFIX, 20), (Ppid::ASAP, 8)]);
        assert_eq!(finish(&buffer), Ok(()));
    }

    #[test]
    fn a_length_below_the_header_is_an_error() {
        let mut buffer = BytesMut::from(&[0, 10, 0, 15][..]);
        assert_eq!(next(&mut buffer, Ppid::ASAP, false), Err(FrameError::Length { length: 15, minimum: 16 }));
        let mut buffer = BytesMut::from(&[1, 0, 0, 3][..]);
        assert_eq!(next(&mut buffer, Ppid::ASAP, false), Err(FrameError::Length { length: 3, minimum: 4 }));
    }

    #[test]
    fn another_version_than_10_after_a_zero_octet_is_an_error() {
        let mut buffer = BytesMut::from(&[0, 9, 0, 20][..]);
        assert_eq!(next(&mut buffer, Ppid::ASAP, false), Err(FrameError::Version { version: 9 }));
    }

    #[test]
    fn an_end_within_a_message_is_an_error() {
        let mut buffer = BytesMut::from(&[0, 10, 0, 20, 1][..]);
        assert_eq!(next(&mut buffer, Ppid::ASAP, false), Ok(None));
        assert_eq!(finish(&buffer), Err(FrameError::Truncated { octets: 5 }));
    }
}
