//! RSerPool (RFC 5352 to 5356) as sans-IO machines: wire codecs, handlespace, policies.
//!
//! * [`wire`]: ASAP and ENRP messages, parameters and error causes.
//! * [`handlespace`], [`policy`]: pools and selection.
//! * [`pe::PoolElement`], [`pu::PoolUser`], [`registrar::Registrar`]: the three roles.
//!
//! Machines have the same verbs: commands and `handle_*` take the time, `poll_output` drains what to
//! do, `poll_timeout` tells the next deadline for `handle_timeout`. They read no clock, open no
//! socket, and draw randomness from a seed.

pub mod handlespace;
pub mod hashing;
pub mod pe;
pub mod policy;
pub mod pu;
pub mod registrar;
pub mod wire;

mod address;
mod announce;
mod hunt;
mod id;
mod inbox;
mod output;
mod profile;
mod random;
pub mod scope;
mod timers;

pub use address::{ENCAPSULATION_PORT, Protocol, RegistrarAddress, Remote, UserTransport};
pub use announce::AnnounceError;
pub use id::{ConnectionId, InvalidPoolHandle, PeId, PoolHandle, RegistrarId};
pub use output::{ControlProtocol, LostReason, Output};
pub use profile::Profile;
pub use random::Random;
