//! RSerPool (RFC 5352 to 5356) as sans-IO machines: wire codec, handlespace, policies.

pub mod wire;

mod id;

pub use id::{ConnectionId, InvalidPoolHandle, PeId, PoolHandle, RegistrarId};
