//! What a pool element's owner decides.

use crate::wire::{EncodeError, Policy};
use crate::{PeId, PoolHandle, Profile, RegistrarAddress, UserTransport};

/// What a pool element registers, and where.
#[derive(Clone, Debug)]
pub struct PoolElementConfig {
    /// The pool.
    pub pool: PoolHandle,
    /// The identifier; `None`: a random one, and another one when it is taken.
    pub pe: Option<PeId>,
    /// Where the element serves.
    pub transport: UserTransport,
    /// The pool's policy, with this element's values.
    pub policy: Policy,
    /// The registrars to choose from.
    pub registrars: Vec<RegistrarAddress>,
    /// Timers and thresholds.
    pub profile: Profile,
}

/// Says why a pool element cannot be registered by anyone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The user transport has no address.
    #[error("the user transport has no address")]
    NoAddress,
    /// Zero is no identifier.
    #[error("the pool element identifier is zero")]
    ZeroIdentifier,
    /// The ASAP transport is not of the element's SCTP endpoint.
    #[error("the ASAP transport is not of the element's SCTP endpoint")]
    AsapTransport,
    /// The registration does not fit a message.
    #[error("the registration does not fit a message")]
    TooLong(#[from] EncodeError),
}
