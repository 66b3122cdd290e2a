//! Tokio drivers of the RSerPool machines: [`PoolElement`] keeps a server registered in a pool, [`PoolUser`] finds
//! the servers of a pool.
//!
//! Each runs in a task of its own and talks ASAP with registrars over SCTP, through the
//! [`transport::Endpoint`] the daemon shares, over TCP, or over TLS. Associations between pool users and pool elements
//! are the daemons' own: nothing here ends one, whatever happens to a registrar.
//! [`session`] has the primitives of draft-ietf-rserpool-applic and of RFC 5352 section 6, each with its function here.
//! [`Connections`] carries the associations of any such machine, the registrar's too.

pub mod session;

mod address;
mod announces;
mod connections;
mod driver;
mod lookup;
mod pool_element;
mod pool_user;
mod profile;
mod reach;
mod resolver;
mod tls;

pub use address::{ASAP_PORT, ASAP_TLS_PORT, ConfiguredRegistrar, InvalidRegistrarAddress, RegistrarAddress};
pub use announces::{AnnounceConfig, networks};
pub use connections::{ConnectionEvent, Connections, NotSent, Pacing};
pub use lookup::Lookup;
pub use pool_element::{
    Causes, DeregisterError, PoolElement, PoolElementConfig, PoolElementEvent, PoolElementState,
};
pub use pool_user::{Member, PoolUser, PoolUserConfig, PoolUserState, Selected};
pub use profile::{ProfileConfig, Timers};
pub use reach::{LISTED, Reached, Visit, VisitError, reach, visit};
pub use resolver::Resolver;
pub use rserpool_proto::pe::ConfigError;
pub use rserpool_proto::registrar::Network;
pub use rserpool_proto::scope::ScopeRule;
pub use rserpool_proto::wire;
pub use rserpool_proto::wire::{CauseCode, ErrorCause, Load, Policy, TransportUse};
pub use rserpool_proto::{PeId, PoolHandle, Profile, Protocol, Random, UserTransport};
pub use tls::{PeerName, TlsConfig, certificate_names};

/// Spreads the timers of machines that started together, and draws identifiers.
fn seed() -> u64 {
    getrandom::u64().expect("the operating system has randomness")
}
