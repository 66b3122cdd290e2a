//! Who may say what about an element: its home, and in doubt the element's own association.
//!
//! An update or table entry names its sender as home, or counts for nothing. It is believed when the element is
//! new or the sender its home, when the present home is dead or unknown, and when the same element (at the same
//! addresses and port) has gone over to the sender; of the latter see `claims`. If we are the present home and still hold the element's
//! association, the element is asked first: one that answers stays ours and is announced again.

use std::time::{Duration, Instant};

use super::super::{Event, Key, Monitor, Registrar, Removal, Timer as RegistrarTimer};
use super::claims::same_endpoint;
use super::{Refusal, Startup, Timer};
use crate::handlespace::Registered;
use crate::wire::param::draining;
use crate::wire::{CauseCode, PoolElementParameter};
use crate::{PeId, RegistrarId};

/// Another registrar says that an element of ours is its own.
#[derive(Debug)]
pub(in super::super) struct Rival {
    /// The element as its new home tells it, which it names.
    pub(super) element: PoolElementParameter,
}

/// An element that answers two registrars again and again is left to one of them, by the rule of arbitration.
const CONTESTS: u32 = 3;

impl Registrar {
    /// An element's home as we know it.
    pub(in super::super) fn home_of(&self, key: &Key) -> Option<RegistrarId> {
        if self.monitors.contains_key(key) {
            return Some(self.id);
        }
        self.home_in_handlespace(key)
    }

    /// The same of an element that is not watched here.
    pub(in super::super) fn home_in_handlespace(&self, key: &Key) -> Option<RegistrarId> {
        self.handlespace.pool(&key.0).and_then(|pool| pool.home(key.1))
    }

    /// Takes what an element's home told of it; returns whether it was believed.
    pub(super) fn take_from_home(
        &mut self,
        now: Instant,
        sender: RegistrarId,
        key: Key,
        element: PoolElementParameter,
    ) -> bool {
        let refusal = match self.home_of(&key) {
            _ if element.home == self.id => Refusal::NamesUs,
            _ if element.home != sender => Refusal::ThirdParty,
            _ if element.pe == PeId(0) => Refusal::Unsuitable,
            _ if !element.has_its_own_long_id() => Refusal::LongIdentifier,
            Some(home) if home == self.id => return self.contested(now, key, element),
            Some(home) if home != sender && self.may_live(home) => {
                if self.element(&key).is_none_or(|known| same_endpoint(&known, &element)) {
                    return self.take_claim_of_home(now, key, element);
                }
                Refusal::OtherElement
            }
            Some(home) if home == sender && !self.is_as_before(&key, &element) => Refusal::OtherElement,
            Some(home) if home == sender => {
                let element = self.held(&key, element);
                return self.store_foreign(now, key, element);
            }
            None | Some(_) => return self.store_foreign(now, key, element),
        };
        self.refuse(refusal, None);
        false
    }

    /// Takes what a mentor told of another registrar's element: only what we do not know better.
    pub(super) fn take_from_mentor(
        &mut self,
        now: Instant,
        sender: RegistrarId,
        key: Key,
        element: PoolElementParameter,
    ) {
        if !element.has_its_own_long_id() {
            return self.refuse(Refusal::LongIdentifier, None);
        }
        let home = element.home;
        let present = self.home_of(&key);
        if home == self.id {
            // We had this identifier before, and the element as well.
            if present.is_none() && self.enrp.startup.is_table_of(sender) {
                self.recover(now, key, element);
            } else if present != Some(self.id) {
                self.refuse(Refusal::NamesUs, None);
            }
            return;
        }
        let silent = self.enrp.peers.get(&home).is_none_or(|peer| !peer.introduced);
        let better = present.is_none() || (present == Some(home) && silent);
        if better && !matches!(self.enrp.startup, Startup::Ready) {
            if self.know(now, home) {
                self.store_foreign(now, key, element);
            } else {
                self.refuse(Refusal::ThirdParty, None);
            }
        }
    }

    fn recover(&mut self, now: Instant, key: Key, element: PoolElementParameter) {
        let life = element.life.duration(self.config.profile.life_unit);
        if self.handlespace.register(&key.0, element).is_err() {
            return self.refuse(Refusal::Unsuitable, None);
        }
        self.monitors.insert(key.clone(), Monitor { taken_over: true, ..Monitor::default() });
        self.set_expiry(now, &key, life);
        self.element_changed(now, &key);
        let (pool, pe) = key.clone();
        self.event(Event::ElementReplicated { pool, pe, home: self.id });
        self.adopt(now, &key);
    }

    /// Among registrars the set of addresses is the identity of an element, and its long identifier where it told one.
    fn is_new_or_same(&self, key: &Key, element: &PoolElementParameter) -> bool {
        let Some(known) = self.element(key) else { return true };
        !known.is_other_than(element) && self.same_addresses(key, element)
    }

    /// Stores an element of another registrar.
    pub(super) fn store_foreign(&mut self, now: Instant, key: Key, element: PoolElementParameter) -> bool {
        let before = self.home_of(&key);
        let home = element.home;
        let life = element.life.duration(self.config.profile.life_unit);
        let moved = self.moved(&key, &element);
        let (drained, draining) = (self.is_draining(&key), draining::is_marked(&element.unknown));
        if !self.count_replicated(&key, &element) {
            self.not_stored(&key, home, Refusal::LackOfResources);
            return false;
        }
        let registered = match self.handlespace.register(&key.0, element) {
            Ok(registered) => registered,
            Err(cause) => {
                let lack = cause.code == CauseCode::LACK_OF_RESOURCES;
                let refusal = if lack { Refusal::LackOfResources } else { Refusal::Unsuitable };
                self.not_stored(&key, home, refusal);
                return false;
            }
        };
        self.set_expiry(now, &key, life);
        self.enrp.overdue.remove(&key);
        self.enrp.inherited.remove(&key);
        let doubted = self.enrp.doubts.remove(&key);
        self.stop_timer(Timer::Doubt(key.clone()));
        // One that was ours may have been suspect here; its new home has heard of it.
        self.set_aside_if_suspect(&key);
        if doubted || moved || draining != drained {
            self.pool_changed(now, &key.0);
        }
        if draining != drained {
            self.tell_draining(&key, draining);
        }
        let (pool, pe) = key;
        match before.filter(|&before| before != home) {
            Some(from) => {
                self.event(Event::HomeChanged { pool, pe, from, to: home });
                self.forget_if_empty(now, from);
            }
            None if registered == Registered::New => self.event(Event::ElementReplicated { pool, pe, home }),
            None => {}
        }
        true
    }

    /// An element of another registrar has no place here. One that is there stays as it is.
    fn not_stored(&mut self, key: &Key, home: RegistrarId, refusal: Refusal) {
        if self.element(key).is_none() {
            self.enrp.replicated.remove(key);
        }
        if let Some(download) = self.enrp.peers.get_mut(&home).and_then(|peer| peer.download.as_mut()) {
            download.missing += 1;
        }
        self.refuse(refusal, None);
    }

    /// Starts the life of an element again; one of no length lasts until its home can have told more.
    pub(super) fn set_expiry(&mut self, now: Instant, key: &Key, life: Option<Duration>) {
        let timer = RegistrarTimer::Expiry(key.clone());
        let least = self.config.profile.peer_heartbeat;
        match life.and_then(|life| now.checked_add(life.max(least))) {
            Some(end) => self.timers.set(timer, end),
            None => self.timers.stop(&timer),
        }
    }

    /// Takes another registrar's element out of the handlespace.
    pub(super) fn remove_foreign(&mut self, now: Instant, key: &Key, reason: Removal) {
        if self.fall_back(now, key, reason) {
            return;
        }
        self.timers.stop(&RegistrarTimer::Expiry(key.clone()));
        self.stop_timer(Timer::Doubt(key.clone()));
        self.enrp.doubts.remove(key);
        self.enrp.overdue.remove(key);
        self.enrp.inherited.remove(key);
        self.enrp.replicated.remove(key);
        let Some(element) = self.handlespace.deregister(&key.0, key.1) else { return };
        *self.counters.removed.entry(reason).or_insert(0) += 1;
        let home = element.home;
        let (pool, pe, element) = (key.0.clone(), key.1, Box::new(element));
        self.event(Event::ElementRemoved { pool, pe, reason, by: None, element });
        self.element_changed(now, key);
        self.forget_if_empty(now, home);
    }

    /// The life of another registrar's element has ended here. While its home lives and tells the checksum we
    /// hold, it has it still; a silent home has one more life to come back or to be taken over.
    pub(in super::super) fn foreign_expired(&mut self, now: Instant, key: &Key) {
        let Some(home) = self.home_of(key) else { return };
        let element = self.element(key);
        let Some(element) = element else { return };
        let life = element.life.duration(self.config.profile.life_unit);
        if self.is_active(home) {
            let told = self.enrp.peers.get(&home).and_then(|peer| peer.told);
            if told.is_none_or(|told| told == self.handlespace.checksum(home)) {
                return self.set_expiry(now, key, life);
            }
            self.resynchronize(now, home);
            let profile = &self.config.profile;
            return self.set_expiry(now, key, Some(profile.resync_gap + profile.peer_no_response));
        }
        if self.enrp.overdue.insert(key.clone()) {
            self.set_expiry(now, key, life);
        } else {
            self.remove_foreign(now, key, Removal::Expired);
        }
    }

    /// Somebody could not reach another registrar's element. Its home decides what becomes of it (it alone can ask
    /// over the element's association); until the home has had the time to, others are preferred here.
    pub(in super::super) fn doubt(&mut self, now: Instant, key: &Key) {
        let profile = &self.config.profile;
        let wait = profile.keep_alive_interval + profile.keep_alive_timeout * profile.keep_alive_attempts;
        if self.enrp.doubts.insert(key.clone()) {
            self.set_timer(Timer::Doubt(key.clone()), now + wait);
            self.element_changed(now, key);
        }
    }

    pub(super) fn doubt_ended(&mut self, now: Instant, key: &Key) {
        if self.enrp.doubts.remove(key) {
            self.element_changed(now, key);
        }
    }

    /// Another registrar says that it is home of an element of ours.
    fn contested(&mut self, now: Instant, key: Key, element: PoolElementParameter) -> bool {
        if !self.is_new_or_same(&key, &element) {
            self.refuse(Refusal::OtherElement, None);
            return false;
        }
        let Some(monitor) = self.monitors.get_mut(&key) else { return false };
        let rival = Rival { element };
        if monitor.connection.is_none() || monitor.suggested.is_some() {
            self.give(now, &key, rival);
            return true;
        }
        monitor.rival = Some(rival.into());
        self.probe_at_once(now, &key);
        false
    }

    /// Gives an element up to whoever says to be its home, if somebody does; returns whether.
    pub(in super::super) fn give_to_rival(&mut self, now: Instant, key: &Key) -> bool {
        let Some(rival) = self.monitors.get_mut(key).and_then(|monitor| monitor.rival.take()) else {
            return false;
        };
        self.give(now, key, *rival);
        true
    }

    /// A registrar says that an element is not its own any more: there is nobody to give it to.
    pub(super) fn withdraw_rival(&mut self, of: RegistrarId, key: &Key) {
        if let Some(monitor) = self.monitors.get_mut(key) {
            monitor.rival.take_if(|rival| rival.element.home == of);
        }
    }

    fn give(&mut self, now: Instant, key: &Key, rival: Rival) {
        self.unwatch(key);
        self.enrp.counters.elements_given += 1;
        self.store_foreign(now, key.clone(), rival.element);
        self.left_early();
    }

    /// An element of ours answered although another registrar says to be its home.
    pub(in super::super) fn insist(&mut self, now: Instant, key: &Key) {
        let Some(monitor) = self.monitors.get_mut(key) else { return };
        let Some(rival) = monitor.rival.take() else { return };
        monitor.contests += 1;
        if monitor.contests >= CONTESTS && self.enrp.config.arbitration.prefers(rival.element.home, self.id) {
            return self.give(now, key, *rival);
        }
        self.announce_add(key);
    }

    /// An element of another registrar has registered with us: it lost that home.
    pub(in super::super) fn home_lost(&mut self, now: Instant, key: &Key, home: RegistrarId) {
        self.enrp.overdue.remove(key);
        self.enrp.inherited.remove(key);
        self.enrp.adoptions.suggested.remove(key);
        self.enrp.claims.remove(key);
        if self.enrp.doubts.remove(key) {
            self.stop_timer(Timer::Doubt(key.clone()));
        }
        self.forget_if_empty(now, home);
    }
}
