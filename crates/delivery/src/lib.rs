//! Durable delivery between exporter and collectors, sans-IO.
//!
//! Promise: every record that entered [`retention::Retention`] is durable at one collector of the pool at
//! least, and is there exactly once after de-duplication by [`Identity`]. The wire form is `docs/wire.md`.
//!
//! Both ends: [`identity`], [`ranges`], [`session_record`], [`cookie`], [`key_ring`].
//! Exporter: [`exporter_state`] (ledger and epoch between starts), [`retention`] (what to send and to send again), [`ack_watch`] (whether the collector still makes progress).
//! Collector: [`intake`] (numbers and de-duplication of one association), [`books`] (what is durable here),
//! [`sidecar`] (the same on disk), [`cookie_schedule`] (when to tell). [`audit`] checks the outcome.

pub mod ack_watch;
pub mod audit;
pub mod books;
pub mod cookie;
pub mod cookie_schedule;
pub mod exporter_state;
pub mod holdings;
pub mod identity;
pub mod intake;
pub mod key_ring;
pub mod ranges;
pub mod retention;
pub mod session_record;
pub mod sidecar;

pub use ack_watch::AckWatch;
pub use books::{Books, Journal};
pub use cookie::Cookie;
pub use cookie_schedule::CookieSchedule;
pub use exporter_state::ExporterState;
pub use holdings::Holdings;
pub use identity::{Epoch, Identity, Ledger, Series};
pub use intake::{Intake, Verdict};
pub use key_ring::KeyRing;
pub use ranges::RangeSet;
pub use retention::Retention;
pub use session_record::SessionRecord;
pub use sidecar::Sidecar;
