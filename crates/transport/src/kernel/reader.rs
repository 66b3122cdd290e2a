//! Pieces of what is read put together again (RFC 6458 section 6.1.7, partial delivery).

use super::sys::Piece;
use crate::{MAX_MESSAGE, Message};

/// What is being read, until it is whole.
#[derive(Default)]
pub(super) struct Reader {
    partial: Vec<u8>,
    pub(super) notification: Vec<u8>,
    /// A whole message that waits for room.
    pub(super) ready: Option<Message>,
}

/// What a piece made.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Read {
    /// A piece of a message, or a whole one.
    More,
    /// A whole notification.
    Notification,
    /// The peer sends a message longer than [`MAX_MESSAGE`].
    TooLong,
    /// Nothing comes any more.
    End,
}

impl Reader {
    /// Adds a piece; `last` says that it is the last of its message or notification.
    pub(super) fn take(&mut self, piece: Piece, octets: &[u8], last: bool) -> Read {
        match piece {
            Piece::End => Read::End,
            Piece::Notification => {
                // A failed message's octets follow; only the start is wanted.
                let room = 1024_usize.saturating_sub(self.notification.len());
                self.notification.extend_from_slice(&octets[..octets.len().min(room)]);
                if last { Read::Notification } else { Read::More }
            }
            Piece::Data { .. } if self.partial.len() + octets.len() > MAX_MESSAGE => Read::TooLong,
            Piece::Data { stream, ppid, unordered } => {
                if !last {
                    self.partial.extend_from_slice(octets);
                    return Read::More;
                }
                let mut data = std::mem::take(&mut self.partial);
                if data.is_empty() {
                    data.reserve_exact(octets.len());
                }
                data.extend_from_slice(octets);
                self.ready = Some(Message { stream, ppid, unordered, data: data.into() });
                Read::More
            }
        }
    }

    /// Octets of the message that has not come whole.
    pub(super) fn unfinished(&self) -> usize {
        self.partial.len()
    }

    /// The rest of the message being read does not come.
    pub(super) fn abandon(&mut self) {
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ppid;

    const DATA: Piece = Piece::Data { stream: 3, ppid: Ppid::ASAP, unordered: true };

    #[test]
    fn pieces_become_one_message() {
        let mut reader = Reader::default();
        assert_eq!(reader.take(DATA, &[1; 40_000], false), Read::More);
        assert_eq!(reader.ready, None);
        assert_eq!(reader.take(DATA, &[2; 20_000], true), Read::More);
        let message = reader.ready.take().unwrap();
        assert_eq!((message.stream, message.ppid, message.unordered), (3, Ppid::ASAP, true));
        assert_eq!((message.data.len(), message.data[39_999], message.data[40_000]), (60_000, 1, 2));
    }

    #[test]
    fn a_message_that_never_ends_is_refused_before_it_takes_more_room() {
        let mut reader = Reader::default();
        assert_eq!(reader.take(DATA, &[0; MAX_MESSAGE], false), Read::More);
        assert_eq!(reader.take(DATA, &[0], false), Read::TooLong);
    }

    #[test]
    fn a_message_whose_rest_is_lost_leaves_nothing_behind() {
        let mut reader = Reader::default();
        assert_eq!(reader.take(DATA, &[1; 100], false), Read::More);
        reader.abandon();
        assert_eq!(reader.take(DATA, &[2; 10], true), Read::More);
        assert_eq!(reader.ready.unwrap().data.len(), 10);
    }

    #[test]
    fn the_octets_of_a_failed_message_are_not_kept() {
        let mut reader = Reader::default();
        assert_eq!(reader.take(Piece::Notification, &[0; 60_000], false), Read::More);
        assert_eq!(reader.take(Piece::Notification, &[0; 60_000], true), Read::Notification);
        assert_eq!(reader.notification.len(), 1024);
    }
}
