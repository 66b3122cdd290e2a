//! Takeover of a dead registrar (RFC 5353 section 3.5): arbitration, and what the winner does.
//!
//! Timer: the profile's takeover time-out. Who does not acknowledge makes the takeover start again, later each
//! time; who falls silent is not waited for. We acknowledge when the target is silent for us too: until then it
//! is asked, and if it answers, it lives. ENRP_TAKEOVER_SERVER is believed only of whom we acknowledged.

use std::collections::BTreeSet;
use std::time::Instant;

use super::super::{Event, Key, Monitor, Registrar};
use super::{PeerState, Refusal, Timer};
use crate::RegistrarId;
use crate::wire::enrp::takeover::{InitTakeover, InitTakeoverAck, TakeoverServer};

/// Why a takeover ended without success.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Abandoned {
    /// The target lives.
    TargetLives,
    /// Another registrar goes on.
    Conceded(RegistrarId),
    /// These peers did not agree in time; it starts again.
    NotAgreed(Vec<RegistrarId>),
    /// We were stopped: who was dead before may live.
    Stopped,
}

/// A takeover of ours.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    /// Who has not acknowledged; `None` between two attempts.
    awaiting: Option<BTreeSet<RegistrarId>>,
    attempts: u32,
}

impl Registrar {
    /// Announces that we want to take over a dead peer.
    pub(super) fn begin_takeover(&mut self, now: Instant, target: RegistrarId) {
        let Some(peer) = self.enrp.peers.get_mut(&target) else { return };
        if peer.state != PeerState::Dead || self.enrp.leaving {
            return;
        }
        peer.conceded = None;
        let elements = self.owned(target);
        if elements == 0 {
            return self.forget_peer(now, target);
        }
        let others =
            self.enrp.peers.iter().filter(|(id, peer)| **id != target && peer.state != PeerState::Dead);
        let awaiting: BTreeSet<RegistrarId> = others.map(|(&id, _)| id).collect();
        let takeover = self.enrp.takeovers.entry(target).or_default();
        takeover.attempts = takeover.attempts.saturating_add(1);
        takeover.awaiting = Some(awaiting);
        self.enrp.counters.takeovers_started += 1;
        self.event(Event::TakeoverStarted { target, elements });
        self.set_timer(Timer::Takeover(target), now + self.config.profile.takeover_timeout);
        self.tell_all(&InitTakeover::of(target).into());
        self.complete_if_agreed(now, target);
    }

    /// A peer came back while we wait for its acknowledgement.
    pub(super) fn resend_takeovers(&mut self, peer: RegistrarId) {
        let waits =
            |takeover: &Takeover| takeover.awaiting.as_ref().is_some_and(|awaiting| awaiting.contains(&peer));
        let targets = self.enrp.takeovers.iter().filter(|(_, takeover)| waits(takeover));
        for target in targets.map(|(&target, _)| target).collect::<Vec<_>>() {
            self.tell_peer(peer, InitTakeover::of(target));
        }
    }

    pub(super) fn handle_init_takeover(&mut self, now: Instant, sender: RegistrarId, target: RegistrarId) {
        if target == self.id {
            // "in an attempt to stop this takeover process"
            return self.announce_presence();
        }
        let Some(peer) = self.enrp.peers.get_mut(&target) else {
            // Nobody we know, and nothing we would miss.
            self.tell_peer(sender, InitTakeoverAck::of(target));
            return;
        };
        match peer.state {
            PeerState::Active | PeerState::Unheard => {
                peer.takers.insert(sender);
                self.peer_silent(now, target);
            }
            PeerState::Suspect => {
                peer.takers.insert(sender);
            }
            PeerState::Dead => self.arbitrate(now, sender, target),
        }
    }

    /// Two want to take over, and both say that the target is dead.
    fn arbitrate(&mut self, now: Instant, sender: RegistrarId, target: RegistrarId) {
        let rule = self.enrp.config.arbitration;
        let conceded = self.enrp.peers.get(&target).and_then(|peer| peer.conceded);
        let ours = self.enrp.takeovers.get(&target).is_some_and(|takeover| takeover.awaiting.is_some());
        if ours {
            if rule.prefers(sender, self.id) {
                self.abandon_takeover(target, Abandoned::Conceded(sender));
                self.concede(now, target, sender);
            }
            return;
        }
        if conceded
            .is_none_or(|other| other == sender || rule.prefers(sender, other) || !self.is_active(other))
        {
            self.concede(now, target, sender);
        }
    }

    /// Agrees that another registrar takes over, and sees later whether it has.
    fn concede(&mut self, now: Instant, target: RegistrarId, to: RegistrarId) {
        if let Some(peer) = self.enrp.peers.get_mut(&target) {
            peer.conceded = Some(to);
        }
        self.tell_peer(to, InitTakeoverAck::of(target));
        let wait = self.random.jitter(self.config.profile.takeover_timeout * 2, 50);
        self.set_timer(Timer::TakeoverAgain(target), now + wait);
    }

    /// The target is silent for us too: agrees with the best of those who asked; returns whether anybody had.
    pub(super) fn agree_to_takeover(&mut self, now: Instant, target: RegistrarId) -> bool {
        let rule = self.enrp.config.arbitration;
        let Some(peer) = self.enrp.peers.get_mut(&target) else { return false };
        let takers = std::mem::take(&mut peer.takers);
        let best = takers.into_iter().reduce(|one, other| if rule.prefers(other, one) { other } else { one });
        if let Some(best) = best {
            self.concede(now, target, best);
        }
        best.is_some()
    }

    pub(super) fn handle_takeover_ack(&mut self, now: Instant, sender: RegistrarId, target: RegistrarId) {
        let awaiting = self.enrp.takeovers.get_mut(&target).and_then(|takeover| takeover.awaiting.as_mut());
        let Some(awaiting) = awaiting else { return self.refuse(Refusal::Unasked, None) };
        awaiting.remove(&sender);
        self.complete_if_agreed(now, target);
    }

    /// A peer is dead or gone: its agreement is not waited for, and its takeovers will not happen.
    pub(super) fn nobody_waits_for(&mut self, now: Instant, gone: RegistrarId) {
        for (&target, peer) in &mut self.enrp.peers {
            peer.takers.remove(&gone);
            if peer.conceded.take_if(|taker| *taker == gone).is_some() {
                let again = super::RegistrarTimer::Enrp(Timer::TakeoverAgain(target));
                self.timers.set(again, now);
            }
        }
        let targets: Vec<RegistrarId> = self.enrp.takeovers.keys().copied().collect();
        for target in targets {
            let takeover = self.enrp.takeovers.get_mut(&target);
            if let Some(awaiting) = takeover.and_then(|takeover| takeover.awaiting.as_mut())
                && awaiting.remove(&gone)
            {
                self.complete_if_agreed(now, target);
            }
        }
    }

    pub(super) fn takeover_timed_out(&mut self, now: Instant, target: RegistrarId) {
        let timeout = self.config.profile.takeover_timeout;
        let Some(takeover) = self.enrp.takeovers.get_mut(&target) else { return };
        let Some(missing) = takeover.awaiting.take() else { return };
        let wait = timeout * takeover.attempts.min(8);
        self.enrp.counters.takeovers_abandoned += 1;
        let why = Abandoned::NotAgreed(missing.into_iter().collect());
        self.event(Event::TakeoverAbandoned { target, why });
        let wait = self.random.jitter(wait, 50);
        self.set_timer(Timer::TakeoverAgain(target), now + wait);
        self.hurry(now, target);
    }

    /// The target was heard.
    pub(super) fn target_lives(&mut self, target: RegistrarId) {
        self.abandon_takeover(target, Abandoned::TargetLives);
    }

    pub(super) fn abandon_takeover(&mut self, target: RegistrarId, why: Abandoned) {
        let running = self.enrp.takeovers.get(&target).is_some_and(|takeover| takeover.awaiting.is_some());
        self.end_takeover(target);
        if running {
            self.enrp.counters.takeovers_abandoned += 1;
            self.event(Event::TakeoverAbandoned { target, why });
        }
    }

    pub(super) fn end_takeover(&mut self, target: RegistrarId) {
        self.enrp.takeovers.remove(&target);
        self.stop_timer(Timer::Takeover(target));
        self.stop_timer(Timer::TakeoverAgain(target));
    }

    fn complete_if_agreed(&mut self, now: Instant, target: RegistrarId) {
        let awaiting = self.enrp.takeovers.get(&target).and_then(|takeover| takeover.awaiting.as_ref());
        if awaiting.is_some_and(BTreeSet::is_empty) {
            self.complete_takeover(now, target);
        }
    }

    /// Everybody agreed: the target's elements are ours (section 3.5.2).
    fn complete_takeover(&mut self, now: Instant, target: RegistrarId) {
        self.end_takeover(target);
        self.enrp.counters.takeovers_won += 1;
        for peer in self.connected_peers().into_iter().filter(|id| *id != target) {
            self.tell_peer(peer, TakeoverServer::of(target));
        }
        let keys = self.keys_of(target);
        self.event(Event::TakenOver { target, elements: keys.len() });
        for key in &keys {
            self.inherit(now, key);
        }
        self.forget_peer(now, target);
    }

    /// Becomes home of an element whose home is dead, and asks it to agree.
    pub(super) fn inherit(&mut self, now: Instant, key: &Key) {
        let before = self.home_of(key);
        self.handlespace.set_home(&key.0, key.1, self.id);
        self.enrp.claims.remove(key);
        self.enrp.overdue.remove(key);
        self.enrp.inherited.remove(key);
        if self.enrp.doubts.remove(key) {
            self.stop_timer(Timer::Doubt(key.clone()));
            self.element_changed(now, key);
        }
        self.monitors.insert(key.clone(), Monitor { taken_over: true, ..Monitor::default() });
        if let Some(from) = before {
            let (pool, pe) = key.clone();
            self.event(Event::HomeChanged { pool, pe, from, to: self.id });
        }
        self.restart_life(now, key);
        self.adopt(now, key);
    }

    fn keys_of(&self, home: RegistrarId) -> Vec<Key> {
        self.handlespace.owned_by(home).map(|(pool, element)| (pool.clone(), element.pe)).collect()
    }

    pub(super) fn restart_life(&mut self, now: Instant, key: &Key) {
        let element = self.element(key);
        let life = element.and_then(|element| element.life.duration(self.config.profile.life_unit));
        self.set_expiry(now, key, life);
    }

    pub(super) fn handle_takeover_server(&mut self, now: Instant, sender: RegistrarId, target: RegistrarId) {
        if target == self.id {
            self.announce_presence();
            return self.refuse(Refusal::Takeover, None);
        }
        let Some(peer) = self.enrp.peers.get(&target) else { return };
        if peer.state != PeerState::Dead || peer.conceded != Some(sender) {
            return self.refuse(Refusal::Takeover, None);
        }
        for key in self.keys_of(target) {
            self.handlespace.set_home(&key.0, key.1, sender);
            self.restart_life(now, &key);
            self.enrp.inherited.insert(key.clone());
            let (pool, pe) = key;
            self.event(Event::HomeChanged { pool, pe, from: target, to: sender });
        }
        self.event(Event::TakeoverLost { target, to: sender });
        self.forget_peer(now, target);
    }
}
