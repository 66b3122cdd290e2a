//! Memory for what peers have the collector keep, of one session and of all together (RFC 7011 section 11.4): templates, and what options
//! records told.
//!
//! Each session may have its share whatever the others have, so that none is ever refused what an ordinary exporter needs; what
//! goes beyond the shares has one bound. Nothing is taken away from a session that has it: more is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What sessions of one kind share.
#[derive(Clone, Debug)]
pub struct Rooms {
    /// For templates.
    pub templates: Arc<Room>,
    /// For what options records told.
    pub metadata: Arc<Room>,
}

impl Default for Rooms {
    /// Shares are some ten templates of 24 fields, and the names of a hundred interfaces.
    fn default() -> Self {
        Self {
            templates: Arc::new(Room::new(16 << 10, 64 << 20)),
            metadata: Arc::new(Room::new(8 << 10, 32 << 20)),
        }
    }
}

/// Octets of one kind.
#[derive(Debug)]
pub struct Room {
    share: usize,
    max: usize,
    /// What all sessions have beyond their shares.
    used: AtomicUsize,
}

impl Room {
    /// Room for `share` octets of each session and `max` beyond the shares.
    pub const fn new(share: usize, max: usize) -> Self {
        Self { share, max, used: AtomicUsize::new(0) }
    }

    /// Returns how many octets a session that has `own` may have. Sessions that ask at the same time may get the same room: what is used
    /// is beyond the bound by what they add in one message each, at most.
    pub fn limit(&self, own: usize) -> usize {
        own.max(self.share).saturating_add(self.max.saturating_sub(self.used()))
    }

    /// Notes that a session that had `before` octets has `after`.
    pub fn change(&self, before: usize, after: usize) {
        let [before, after] = [before, after].map(|octets| octets.saturating_sub(self.share));
        if after > before {
            self.used.fetch_add(after - before, Ordering::Relaxed);
        } else if after < before {
            self.used.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Octets used beyond the shares.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_its_share_whatever_others_have_and_what_is_given_back_is_there_for_others() {
        let room = Room::new(10_000, 1_000);
        assert_eq!(room.limit(0), 11_000);
        room.change(0, 10_900);
        assert_eq!((room.used(), room.limit(10_900), room.limit(500)), (900, 11_000, 10_100));
        room.change(0, 10_200);
        assert_eq!((room.limit(0), room.limit(10_200)), (10_000, 10_200), "nothing is taken away");
        room.change(10_900, 0);
        assert_eq!((room.used(), room.limit(0)), (200, 10_800));
    }
}
