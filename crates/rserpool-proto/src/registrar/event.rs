//! What a registrar tells its owner.

use std::time::Duration;

use super::enrp::{Abandoned, NotAccepted, Refusal};
use crate::wire::param::long_registrar_identifier::LongRegistrarId;
use crate::wire::param::pe_checksum::PeChecksum;
use crate::wire::{ErrorCause, PoolElementParameter, WireError};
use crate::{ConnectionId, PeId, PoolHandle, RegistrarAddress, RegistrarId};

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
    /// Its home was taken over, and it did not answer the new one.
    TakenOverSilent,
    /// Its home, another registrar, said so.
    HomeSaid,
    /// Its home, another registrar, does not list it any more.
    NotListed,
}

impl Removal {
    /// Returns the reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Removal::Deregistered => "deregistered",
            Removal::Expired => "expired",
            Removal::Unreachable => "unreachable",
            Removal::ConnectionLost => "connection_lost",
            Removal::TakenOverSilent => "taken_over_silent",
            Removal::HomeSaid => "home_said",
            Removal::NotListed => "not_listed",
        }
    }
}

/// Why an element is registered over another association than before.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reassociation {
    /// The old one was lost.
    Lost,
    /// The element did not answer over the old one.
    Silent,
}

impl Reassociation {
    /// Returns the reason as the audit log tells it.
    pub const fn label(self) -> &'static str {
        match self {
            Reassociation::Lost => "old_association_lost",
            Reassociation::Silent => "old_association_silent",
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
    /// An element of ours registered again over another association.
    ElementReassociated {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
        /// Why it may.
        reason: Reassociation,
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
    /// Another registrar told of an element that was not known here: of its own, or of ours from before a restart.
    ElementReplicated {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
        /// Its home.
        home: RegistrarId,
    },
    /// An element has another home now.
    HomeChanged {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
        /// Its home before.
        from: RegistrarId,
        /// Its home, perhaps ourselves.
        to: RegistrarId,
    },
    /// An element acknowledged that we are its home, or registered here after its home was taken over.
    ElementAdopted {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
        /// Who suggested it; `None`: its home was taken over.
        from: Option<RegistrarId>,
    },
    /// We have asked a mentor for everything, or there is none: peers are served.
    Ready {
        /// Who gave us the handlespace.
        mentor: Option<RegistrarId>,
    },
    /// A registrar has become a peer.
    PeerJoined {
        /// The peer.
        peer: RegistrarId,
    },
    /// A peer is silent or disconnected, and is asked whether it lives.
    PeerSuspect {
        /// The peer.
        peer: RegistrarId,
    },
    /// A suspect or dead peer lives.
    PeerRecovered {
        /// The peer.
        peer: RegistrarId,
    },
    /// A peer did not answer.
    PeerLost {
        /// The peer.
        peer: RegistrarId,
        /// How many elements it owns, which are to be taken over.
        elements: usize,
    },
    /// Somebody wanted something he may not have.
    PeerRefused {
        /// Over which connection; `None`: it was about one element, or in a datagram.
        from: Option<ConnectionId>,
        /// What.
        refusal: Refusal,
    },
    /// Two registrars have one identifier; the second one is refused (docs/wire.md section 17).
    IdConflict {
        /// Who has it.
        holder: LongRegistrarId,
        /// It is ours.
        ours: bool,
        /// Where that one is.
        holder_at: Vec<RegistrarAddress>,
        /// Who told it as well.
        newcomer: LongRegistrarId,
        /// Where that one says to be.
        newcomer_at: Vec<RegistrarAddress>,
        /// Over which connection; `None`: another registrar told of it.
        from: Option<ConnectionId>,
    },
    /// A registrar said to be home of another one's element, which that one has still.
    ClaimContradicted {
        /// The element's pool.
        pool: PoolHandle,
        /// The element.
        pe: PeId,
        /// Its home.
        home: RegistrarId,
        /// Who said to be it.
        claimer: RegistrarId,
    },
    /// Another registrar does not take us for a peer. Told of each once in 10 min.
    NotAccepted {
        /// Where we connected to; `None`: it connected to us.
        at: Option<RegistrarAddress>,
        /// Over which connection.
        from: ConnectionId,
        /// Why.
        why: NotAccepted,
    },
    /// A peer reported an error of ours.
    PeerError {
        /// The peer.
        peer: RegistrarId,
        /// What it did not understand.
        causes: Vec<ErrorCause>,
    },
    /// A peer's table is here.
    TableDownloaded {
        /// The peer.
        peer: RegistrarId,
        /// Only what the peer owns was asked for.
        own: bool,
        /// How many elements it listed.
        elements: usize,
    },
    /// Elements of a peer could not be stored here, so what it owns is not known whole.
    TableIncomplete {
        /// The peer.
        peer: RegistrarId,
        /// How many.
        missing: usize,
    },
    /// A peer told another checksum than the one over its elements here.
    ChecksumMismatch {
        /// The peer.
        peer: RegistrarId,
        /// What it told.
        told: PeChecksum,
        /// What is here.
        held: PeChecksum,
    },
    /// We want to take over a dead peer, and ask the others.
    TakeoverStarted {
        /// The dead peer.
        target: RegistrarId,
        /// How many elements it owns.
        elements: usize,
    },
    /// We do not take over, or not this time.
    TakeoverAbandoned {
        /// The peer.
        target: RegistrarId,
        /// Why.
        why: Abandoned,
    },
    /// We have taken over.
    TakenOver {
        /// The dead peer.
        target: RegistrarId,
        /// How many elements we own in its place.
        elements: usize,
    },
    /// Another registrar has taken over.
    TakeoverLost {
        /// The dead peer.
        target: RegistrarId,
        /// Who owns its elements.
        to: RegistrarId,
    },
    /// We have handed over what we could: the owner may end.
    Left {
        /// Elements that are still ours.
        elements: usize,
    },
}
