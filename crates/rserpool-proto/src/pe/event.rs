//! What a pool element's machine tells its owner.

use std::net::IpAddr;
use std::time::Duration;

use crate::wire::{ErrorCause, WireError};
use crate::{LostReason, PeId, RegistrarAddress, RegistrarId};

/// Why a registrar does not become home by its own word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HomeRefusal {
    /// No registrar is expected at its address ([`super::PoolElement::trust_registrars`]).
    Stranger,
    /// The home has changed so often of late that something is wrong among registrars.
    TooOften,
}

/// What happened to the registration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A connection to a registrar is up.
    RegistrarFound {
        /// The registrar.
        address: RegistrarAddress,
    },
    /// No registrar answered when all were tried; told once, the hunt goes on.
    NoRegistrar,
    /// The home registrar is lost; another one is being looked for.
    RegistrarLost {
        /// The registrar.
        address: RegistrarAddress,
        /// Why.
        reason: LostReason,
    },
    /// The element is registered: the first time, or again after it was not.
    Registered {
        /// The element.
        pe: PeId,
        /// What the registrar modified.
        warnings: Vec<ErrorCause>,
    },
    /// A registration was confirmed or its values updated.
    Reregistered {
        /// The element.
        pe: PeId,
    },
    /// The registrar refused the registration.
    Rejected {
        /// The element.
        pe: PeId,
        /// Why.
        causes: Vec<ErrorCause>,
        /// When it is tried again; `None`: not before the next [`super::PoolElement::register`].
        retry: Option<Duration>,
    },
    /// None of the element's addresses is of use where the registrar is ([`crate::scope`]): nothing is registered
    /// with it.
    OutOfScope {
        /// The registrar.
        address: RegistrarAddress,
        /// When another registrar is looked for.
        retry: Duration,
    },
    /// The registrar sees the element at another address than its own, which is registered in their place.
    AddressObserved {
        /// The address.
        address: IpAddr,
    },
    /// MAX-REG-ATTEMPT registrations in a row were not answered.
    RegistrationFailed {
        /// How many.
        attempts: u32,
        /// No more are sent before the next [`super::PoolElement::register`].
        stopped: bool,
    },
    /// The registrar says that the registration's life has ended; the element registers again.
    Expired,
    /// Other elements than before are in the pool beside this one, or elsewhere.
    PeersChanged,
    /// An operator has taken the element out of selection at its home, or has put it back (docs/wire.md section 19).
    DrainingChanged {
        /// Whether it drains.
        draining: bool,
    },
    /// A registrar made itself our home.
    HomeAdopted {
        /// The registrar.
        registrar: RegistrarId,
        /// Where it connected from.
        address: RegistrarAddress,
    },
    /// A registrar wanted to make itself our home, and was sent away.
    HomeRefused {
        /// Who it says it is.
        registrar: RegistrarId,
        /// Where it connected from.
        address: RegistrarAddress,
        /// Why.
        why: HomeRefusal,
    },
    /// The element is out of the pool, as asked.
    Deregistered,
    /// No registrar confirmed the deregistration; the registration ends with its life.
    DeregistrationFailed,
    /// A registrar complains about a message of ours.
    ErrorReceived {
        /// About what.
        causes: Vec<ErrorCause>,
    },
    /// A registrar sent something we cannot read; discarded.
    Malformed(WireError),
}
