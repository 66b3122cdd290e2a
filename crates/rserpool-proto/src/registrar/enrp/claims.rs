//! A registrar says to be home of an element whose home lives.
//!
//! It is believed at once, as an element that has lost its home registers elsewhere. But until that home has given the
//! element up, which its checksum or table shows, the claim is not the last word: the claimer can neither move the
//! element nor take it away, nor change its policy, and once the home has contradicted it, it counts only when the home
//! has it no more.

use std::time::Instant;

use super::super::{Event, Key, Registrar, Removal};
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
    /// What the claimer tells, whose policy counts once the home from before has given the element up.
    claimed: Option<PoolElementParameter>,
}

impl OtherHome {
    fn first(element: PoolElementParameter) -> OtherHome {
        OtherHome { element, contradicted: false, withdrawn: false, claimed: None }
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
        let before = match known {
            Some(other) if other.element.home == sender && other.contradicted => {
                if let Some(other) = self.enrp.claims.get_mut(&key) {
                    (other.element, other.withdrawn) = (element, false);
                }
                self.refuse(Refusal::Contradicted, None);
                return false;
            }
            // The home from before says that it has the element still.
            Some(other) if other.element.home == sender => {
                let claimed = other.claimed.clone().unwrap_or(present);
                let taken = self.store_foreign(now, key.clone(), element);
                if taken {
                    let ((pool, pe), claimer) = (key.clone(), claimed.home);
                    self.event(Event::ClaimContradicted { pool, pe, home: sender, claimer });
                    let entry = OtherHome { contradicted: true, ..OtherHome::first(claimed) };
                    self.enrp.claims.insert(key, entry);
                }
                return taken;
            }
            // One more claims what is not settled.
            Some(other) if !other.contradicted => other.element.clone(),
            _ => present.clone(),
        };
        let held = PoolElementParameter { policy: present.policy, ..element.clone() };
        let taken = self.store_foreign(now, key.clone(), held);
        if taken {
            self.enrp.claims.insert(key, OtherHome { claimed: Some(element), ..OtherHome::first(before) });
        }
        taken
    }

    /// What a home tells of its element, with the policy it has while it is a claim that is not settled.
    pub(super) fn held(&mut self, key: &Key, element: PoolElementParameter) -> PoolElementParameter {
        let Some(other) = self.enrp.claims.get(key) else { return element };
        let open = !other.contradicted
            && other.claimed.as_ref().is_some_and(|claimed| claimed.home == element.home)
            && self.may_live(other.element.home);
        let Some(present) = self.element(key).filter(|_| open) else { return element };
        let held = PoolElementParameter { policy: present.policy, ..element.clone() };
        if let Some(other) = self.enrp.claims.get_mut(key) {
            other.claimed = Some(element);
        }
        held
    }

    /// The home from before has given an element up: all the new one tells counts.
    fn grant(&mut self, now: Instant, key: Key, claimed: Option<PoolElementParameter>) {
        let claimed = claimed.filter(|claimed| self.home_of(&key) == Some(claimed.home));
        if let (Some(claimed), Some(present)) = (claimed, self.element(&key))
            && claimed.policy != present.policy
        {
            self.store_foreign(now, key, claimed);
        }
    }

    /// Whether a home tells of its element as the living home before it did, if that has not given it up.
    pub(super) fn is_as_before(&self, key: &Key, element: &PoolElementParameter) -> bool {
        self.enrp.claims.get(key).is_none_or(|other| {
            other.contradicted || !self.may_live(other.element.home) || same_endpoint(&other.element, element)
        })
    }

    /// A registrar tells that an element is not its own.
    pub(super) fn withdraw_claim(&mut self, now: Instant, of: RegistrarId, key: &Key) {
        let Some(other) = self.enrp.claims.get_mut(key).filter(|other| other.element.home == of) else {
            return;
        };
        if other.contradicted {
            other.withdrawn = true;
        } else {
            let settled = self.enrp.claims.remove(key);
            self.grant(now, key.clone(), settled.and_then(|other| other.claimed));
        }
    }

    /// A registrar owns what is here as its own, and nothing else.
    pub(super) fn settle_claims(&mut self, now: Instant, of: RegistrarId) {
        for other in self.enrp.claims.values_mut() {
            other.withdrawn |= other.element.home == of;
        }
        self.end_claims(now, |other| !other.contradicted && other.withdrawn);
    }

    /// A registrar is gone: what it said is no more.
    pub(super) fn forget_claims(&mut self, now: Instant, of: RegistrarId) {
        self.end_claims(now, |other| other.element.home == of);
    }

    fn end_claims(&mut self, now: Instant, ended: impl Fn(&OtherHome) -> bool) {
        let mut granted = Vec::new();
        self.enrp.claims.retain(|key, other| {
            let ends = ended(other);
            if ends {
                granted.push((key.clone(), other.claimed.take()));
            }
            !ends
        });
        for (key, claimed) in granted {
            self.grant(now, key, claimed);
        }
    }

    /// An element's home has it no more: gives it back to the other registrar that says to be its home, if that
    /// lives, and asks that one. Returns whether there is one.
    pub(super) fn fall_back(&mut self, now: Instant, key: &Key, reason: Removal) -> bool {
        let Some(OtherHome { element, contradicted, withdrawn, .. }) = self.enrp.claims.remove(key) else {
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
