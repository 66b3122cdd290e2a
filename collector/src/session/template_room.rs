//! Memory for templates, of one session and of all together (RFC 7011 section 11.4: state that peers can make the collector keep is
//! bounded).
//!
//! Each session may have its share whatever the others have, so that none is ever refused the templates of an ordinary exporter; what
//! goes beyond the shares has one bound. Nothing is taken away from a session that has it: further templates are refused.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Octets of templates that every session may have: some ten templates of 24 fields.
const SHARE: usize = 16 << 10;

/// Octets beyond the shares.
const MAX: usize = 64 << 20;

/// What all sessions have beyond their shares.
#[derive(Debug)]
pub(crate) struct TemplateRoom {
    used: AtomicUsize,
    max: usize,
}

impl Default for TemplateRoom {
    fn default() -> Self {
        Self::new(MAX)
    }
}

impl TemplateRoom {
    /// Room for so many octets beyond the shares.
    pub(crate) const fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    /// Returns how many octets a session that has `own` may have. Sessions that ask at the same time may get the same room: what is used
    /// is beyond the bound by what they define in one message each, at most.
    pub(crate) fn limit(&self, own: usize) -> usize {
        own.max(SHARE).saturating_add(self.max.saturating_sub(self.used()))
    }

    /// Notes that a session that had `before` octets has `after`.
    pub(crate) fn change(&self, before: usize, after: usize) {
        let [before, after] = [before, after].map(|octets| octets.saturating_sub(SHARE));
        if after > before {
            self.used.fetch_add(after - before, Ordering::Relaxed);
        } else if after < before {
            self.used.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Octets used beyond the shares.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_its_share_whatever_others_have_and_what_is_given_back_is_there_for_others() {
        let room = TemplateRoom::new(1_000);
        assert_eq!(room.limit(0), SHARE + 1_000);
        room.change(0, SHARE + 900);
        assert_eq!(
            (room.used(), room.limit(SHARE + 900), room.limit(500)),
            (900, SHARE + 1_000, SHARE + 100)
        );
        room.change(0, SHARE + 200);
        assert_eq!((room.limit(0), room.limit(SHARE + 200)), (SHARE, SHARE + 200), "nothing is taken away");
        room.change(SHARE + 900, 0);
        assert_eq!((room.used(), room.limit(0)), (200, SHARE + 800));
    }
}
