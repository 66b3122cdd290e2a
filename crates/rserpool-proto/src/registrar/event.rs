//! What a registrar tells its owner.

use std::time::Duration;

use crate::wire::{ErrorCause, PoolElementParameter, WireError};
use crate::{ConnectionId, PeId, PoolHandle};

/// Why an element is no longer registered.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Removal {
    /// It asked for it.
    Deregistered,
    /// Its registration's life has ended.
    Expired,
    /// It did not answer keep-alives.
    Unreachable,
    /// Its association was lost and it did not come back.
    ConnectionLost,
}

impl Removal {
    /// Returns the reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Removal::Deregistered => "deregistered",
            Removal::Expired => "expired",
            Removal::Unreachable => "unreachable",
            Removal::ConnectionLost => "connection_lost",
        }
    }
}

/// What happened in the handlespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// An element joined its pool.
    ElementRegistered {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
        /// Who said so.
        by: ConnectionId,
    },
    /// An element registered again, with other values or over another association.
    ElementUpdated {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
        /// Who said so.
        by: ConnectionId,
    },
    /// An element left its pool.
    ElementRemoved {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
        /// Why.
        reason: Removal,
        /// Who asked for it; `None`: this registrar found out itself.
        by: Option<ConnectionId>,
        /// The element as it was registered.
        element: Box<PoolElementParameter>,
    },
    /// The operator took an element out of selection; it stays registered here.
    ElementDraining {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
    },
    /// The operator put a draining element back.
    ElementUndrained {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
    },
    /// An element may be dead: its association is lost or a keep-alive was not answered.
    ElementSuspect {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
    },
    /// A suspect element lives.
    ElementRecovered {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
    },
    /// A registration was refused.
    RegistrationRejected {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
        /// Why.
        cause: ErrorCause,
        /// Who wanted it.
        by: ConnectionId,
    },
    /// Someone sent something we cannot read; discarded.
    Malformed {
        /// Who.
        connection: ConnectionId,
        /// What is wrong.
        error: WireError,
    },
    /// We were stopped for this long; deadlines are put off.
    Stalled {
        /// How long.
        duration: Duration,
    },
}
