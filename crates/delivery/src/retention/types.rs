//! What goes in and out, and the books.

use crate::identity::Identity;
use crate::session_record::SessionRecord;

/// The retention's books: `pushed = covered + dropped + retained`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Records that entered.
    pub pushed: u64,
    /// Records that a collector has.
    pub covered: u64,
    /// Records given up.
    pub dropped: u64,
    /// Records still here.
    pub retained: u64,
    /// Octets of the records still here.
    pub retained_octets: u64,
    /// Records handed out that had been handed out before.
    pub replayed: u64,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// Retention is at its limit: wait for cookies, spool, or drop and count.
    #[error("retention holds {held} of {limit} octets")]
    Full {
        /// Octets held.
        held: usize,
        /// The limit.
        limit: usize,
    },
    /// No IPFIX message can carry the record.
    #[error("record of {length} octets")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

/// What a session sends next, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outgoing<'a> {
    /// The numbers of the records that follow on this domain. Templates go before the first record, as always.
    SessionRecord(SessionRecord),
    /// A flow record.
    Record {
        /// Its identity.
        identity: Identity,
        /// Its template's id, as pushed.
        template: u16,
        /// The encoded record.
        octets: &'a [u8],
        /// Whether an earlier session carried it.
        replayed: bool,
    },
}

/// What a cookie took out of retention.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Covered {
    /// Records.
    pub records: u64,
    /// Their octets.
    pub octets: u64,
}
