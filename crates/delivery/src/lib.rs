//! Durable delivery between exporter and collectors, sans-IO.
//!
//! Promise: every record that entered [`retention::Retention`] is durable at one collector of the pool at
//! least, and is there exactly once after de-duplication by [`Identity`]. The wire form is `docs/wire.md`.
//!
//! Both ends: [`identity`], [`ranges`], [`session_record`], [`class_record`], [`statistics_record`], [`cookie`],
//! [`key_ring`].
//! Exporter: [`exporter_state`] (ledger and epoch between starts), [`retention`] (what to send and to send again),
//! [`ack_watch`] (whether the collector still makes progress).
//! Collector, for each session: [`numbering`] (which numbers records have), [`session_acks`] (what is durable, and when to
//! tell), [`gaps`] (what got lost in classes that may lose records); for each output: [`journal`] (what it holds, and what a sync makes durable), [`sidecar`] (the same on disk).
//! [`audit`] checks the outcome.

pub mod ack_watch;
pub mod audit;
pub mod class_record;
pub mod cookie;
pub mod exporter_state;
pub mod gaps;
pub mod holdings;
pub mod identity;
pub mod journal;
pub mod key_ring;
pub mod numbering;
pub mod options_record;
pub mod ranges;
pub mod retention;
pub mod session_acks;
pub mod session_record;
pub mod sidecar;
pub mod statistics_record;

pub use ack_watch::AckWatch;
pub use class_record::ClassRecord;
pub use cookie::Cookie;
pub use exporter_state::ExporterState;
pub use gaps::Gaps;
pub use holdings::Holdings;
pub use identity::{Epoch, Identity, Ledger, Series};
pub use journal::Journal;
pub use key_ring::KeyRing;
pub use numbering::Numberings;
pub use ranges::RangeSet;
pub use retention::Retention;
pub use session_acks::SessionAcks;
pub use session_record::SessionRecord;
pub use sidecar::Sidecar;
pub use statistics_record::StatisticsRecord;
