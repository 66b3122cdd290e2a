//! The last messages of a source, to know one that the network delivers twice (RFC 7011 section 10.3.2).
//!
//! Export Time and Sequence Number are part of a message, so two messages that are equal to the last octet are one
//! and the same. Only a keyed hash is kept: nobody can make a message that is taken for another.

use std::hash::{BuildHasher as _, RandomState};

/// Messages remembered of each source.
const MESSAGES: usize = 32;
/// How long, in seconds: much longer than a network holds a packet back, and shorter than the pause after which an
/// exporter whose clock stands still repeats its templates.
const AGE: u32 = 5;

#[derive(Debug)]
pub(crate) struct Recent {
    /// Hash and time of reception.
    messages: [(u64, u32); MESSAGES],
    next: usize,
}

impl Recent {
    pub(crate) const fn new() -> Self {
        Self { messages: [(0, 0); MESSAGES], next: 0 }
    }

    /// Returns whether a message with this hash came within the last seconds; `received` is in seconds of any clock.
    pub(crate) fn has(&self, hash: u64, received: u32) -> bool {
        self.messages.iter().any(|&(old, at)| old == hash && received.saturating_sub(at) <= AGE)
    }

    /// Remembers a message, in place of the oldest.
    pub(crate) fn add(&mut self, hash: u64, received: u32) {
        self.messages[self.next] = (hash, received);
        self.next = (self.next + 1) % MESSAGES;
    }
}

/// Returns what [`Recent`] knows a message by. 0 is no message's.
pub(crate) fn hash(key: &RandomState, octets: &[u8]) -> u64 {
    key.hash_one(octets).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_for_a_while_and_until_many_others_came() {
        let key = RandomState::new();
        let message = |number: u8| hash(&key, &[number; 20]);
        let mut recent = Recent::new();
        recent.add(message(1), 100);
        assert!(recent.has(message(1), 100) && recent.has(message(1), 105) && !recent.has(message(1), 106));
        assert!(!recent.has(message(2), 100), "it has not come");
        (2..33).for_each(|number| recent.add(message(number), 100));
        assert!(recent.has(message(1), 100));
        recent.add(message(33), 100);
        assert!(!recent.has(message(1), 100));
    }
}
