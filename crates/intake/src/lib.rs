//! Datagrams of IPFIX and NetFlow exporters, up to the IPFIX messages of each one's session (RFC 7011 sections 8.4 and
//! 10.3): what a collector and a relay both do with them.
//!
//! [`Sources`] has a session for each address, port and version; [`netflow`] makes IPFIX of versions 5, 7 and 9; data sets
//! without a template wait for it; templates go to disk, for the next start ([`store`]). What becomes of the messages is the
//! owner's: its [`Sink`] and [`Decoder`]. Sockets, threads and clocks are the owner's as well.
//!
//! [`Room`] and [`Plans`] bound what peers have their owner keep.

mod counts;
mod held;
pub mod netflow;
mod plans;
mod recent;
mod room;
mod session;
mod sink;
mod sources;
pub mod store;

pub use counts::Counts;
pub use plans::Plans;
pub use room::{Room, Rooms};
pub use sink::{Decoder, MAX_MALFORMED, Reception, Sink, Taken, Told, Unknown};
pub use sources::{Key, Limits, Sources, Totals};
