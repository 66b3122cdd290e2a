//! A registrar says to be home of an element whose home lives.
//!
//! It is believed at once, as an element that has lost its home registers elsewhere. But until that home has given the
//! element up, which its checksum or table shows, the claim is not the last word: the claimer can neither move the
//! element nor take it away, and once the home has contradicted it, it counts only when the home has it no more.

use std::time::Instant;

use super::super::{Key, Registrar, Removal};
use super::{PeerState, Refusal};
use crate::RegistrarId;
use crate::wire::PoolElementParameter;

/// What another registrar than the present home told of an element as its own.
#[derive(Debug)]
pub(super) struct OtherHome {
    element: PoolElementParameter,
    /// The present home was told first, and has said so again.
    contradicted: bool,
    /// It has said since that it is not.
    withdrawn: bool,
}

impl OtherHome {
    fn first(element: PoolElementParameter) -> OtherHome {
        OtherHome { element, contradicted: false, withdrawn: false }
    }
}

impl Registrar {
    /// Takes an element of another home than before, where both live. Returns whether it is that one's now.
    pub(super) fn take_claim_of_home(
        &mut self,
        now: Instant,
        key: Key,
        element: PoolElementParameter,
    ) -> bool {
        let Some(present) = self.element(&key) else { return self.store_foreign(now, key, element) };
        let sender = element.home;
        let known = self.enrp.claims.get(&key).filter(|other| self.may_live(other.element.home));
        let entry = match known {
            Some(other) if other.element.home == sender && other.contradicted => {
                if let Some(other) = self.enrp.claims.get_mut(&key) {
                    (other.element, other.withdrawn) = (element, false);
                }
                self.refuse(Refusal::Contradicted, None);
                return false;
            }
            // The home from before says that it has the element still.
            Some(other) if other.element.home == sender => {
                Some(OtherHome { contradicted: true, ..OtherHome::first(present) })
            }
            // One more claims what is not settled.
            Some(other) if !other.contradicted => None,
            _ => Some(OtherHome::first(present)),
        };
        let taken = self.store_foreign(now, key.clone(), element);
        if let Some(entry) = entry.filter(|_| taken) {
            self.enrp.claims.insert(key, entry);
        }
        taken
    }

    /// Whether a home tells of its element as the living home before it did, if that has not given it up.
    pub(super) fn is_as_before(&self, key: &Key, element: &PoolElementParameter) -> bool {
        self.enrp.claims.get(key).is_none_or(|other| {
            other.contradicted || !self.may_live(other.element.home) || same_endpoint(&other.element, element)
        })
    }

    /// A registrar tells that an element is not its own.
    pub(super) fn withdraw_claim(&mut self, of: RegistrarId, key: &Key) {
        let Some(other) = self.enrp.claims.get_mut(key).filter(|other| other.element.home == of) else {
            return;
        };
        if other.contradicted {
            other.withdrawn = true;
        } else {
            self.enrp.claims.remove(key);
        }
    }

    /// A registrar owns what is here as its own, and nothing else.
    pub(super) fn settle_claims(&mut self, of: RegistrarId) {
        self.enrp.claims.retain(|_, other| {
            other.withdrawn |= other.element.home == of;
            other.contradicted || !other.withdrawn
        });
    }

    /// A registrar is gone: what it said is no more.
    pub(super) fn forget_claims(&mut self, of: RegistrarId) {
        self.enrp.claims.retain(|_, other| other.element.home != of);
    }

    /// An element's home has it no more: gives it back to the other registrar that says to be its home, if that
    /// lives, and asks that one. Returns whether there is one.
    pub(super) fn fall_back(&mut self, now: Instant, key: &Key, reason: Removal) -> bool {
        let Some(OtherHome { element, contradicted, withdrawn }) = self.enrp.claims.remove(key) else {
            return false;
        };
        let home = element.home;
        let settled = withdrawn || contradicted && reason == Removal::HomeSaid;
        if settled || !self.may_live(home) || !self.store_foreign(now, key.clone(), element) {
            return false;
        }
        let question = self.presence(home, true);
        self.tell_peer(home, question);
        true
    }

    /// Whether a registrar is not known to be dead.
    pub(super) fn may_live(&self, id: RegistrarId) -> bool {
        self.enrp.peers.get(&id).is_some_and(|peer| peer.state != PeerState::Dead)
    }
}

/// Whether pool users would find both at the same place. Who does not tell an encapsulation port may not know of it.
pub(super) fn same_endpoint(one: &PoolElementParameter, other: &PoolElementParameter) -> bool {
    let (here, there) = (&one.user_transport, &other.user_transport);
    let encapsulated = match (one.encapsulation, other.encapsulation) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    !one.is_other_than(other)
        && Registrar::addresses_of(one) == Registrar::addresses_of(other)
        && (here.kind(), here.port()) == (there.kind(), there.port())
        && encapsulated
}
