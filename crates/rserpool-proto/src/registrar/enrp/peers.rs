//! The peer list (RFC 5353 section 3.4).

use std::time::Instant;

use super::super::Registrar;
use super::{Peer, PeerState, Timer};
use crate::RegistrarId;

impl Registrar {
    /// Makes sure that there is such a peer, which somebody else told of; returns whether there is.
    ///
    /// It has to be heard within the usual time, or is dead and taken over.
    pub(super) fn know(&mut self, now: Instant, id: RegistrarId) -> bool {
        if id == self.id || id == RegistrarId::UNDETERMINED {
            return false;
        }
        if self.enrp.peers.contains_key(&id) {
            return true;
        }
        if self.enrp.peers.len() >= self.enrp.config.max_peers {
            return false;
        }
        self.enrp.peers.insert(id, Peer::default());
        self.set_timer(Timer::Silent(id), now + self.config.profile.peer_last_heard);
        true
    }

    /// Whether a peer was heard and has not fallen silent.
    pub(super) fn is_active(&self, id: RegistrarId) -> bool {
        self.enrp.peers.get(&id).is_some_and(|peer| peer.state == PeerState::Active)
    }

    /// Takes a peer from the list.
    pub(super) fn forget_peer(&mut self, now: Instant, id: RegistrarId) {
        if self.enrp.peers.remove(&id).is_none() {
            return;
        }
        self.forget_claims(now, id);
        self.stop_timer(Timer::Silent(id));
        self.stop_timer(Timer::NoResponse(id));
        self.stop_timer(Timer::Table(id));
        for own in [true, false] {
            self.enrp.sessions.remove(&(id, own));
            self.stop_timer(Timer::Session(id, own));
        }
        self.end_takeover(id);
        self.nobody_waits_for(now, id);
        self.unlearn(now, id);
        self.close_links_of(now, id);
        self.reconnect(now);
    }

    /// Takes a dead peer from the list when its last element has another home.
    pub(super) fn forget_if_empty(&mut self, now: Instant, id: RegistrarId) {
        let dead = self.enrp.peers.get(&id).is_some_and(|peer| peer.state == PeerState::Dead);
        if dead && self.owned(id) == 0 {
            self.forget_peer(now, id);
        }
    }
}
