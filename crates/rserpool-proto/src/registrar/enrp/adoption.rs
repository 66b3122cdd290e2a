//! Home change of pool elements (RFC 5353 section 3.5.2, RFC 5352 section 3.4): a keep-alive with H over a new
//! connection to the element's ASAP transport, whose acknowledgement makes that connection ours.
//!
//! So many connections at once, several elements of one endpoint over one. An element that does not answer stays
//! for its reconnect grace, as it registers again by itself when it misses its home, and is removed then; one
//! without ASAP transport stays until its life ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use super::super::{Event, Key, Registrar, Timer as RegistrarTimer};
use super::Timer;
use crate::wire::Message;
use crate::wire::asap::keep_alive::EndpointKeepAlive;
use crate::{ConnectionId, ControlProtocol, Output, RegistrarAddress, RegistrarId, Remote};

#[derive(Debug, Default)]
pub(super) struct Adoptions {
    waiting: VecDeque<Key>,
    /// The same elements, to be found quickly.
    queued: BTreeSet<Key>,
    running: BTreeMap<ConnectionId, Adoption>,
    /// Elements of others we were asked to adopt, and by whom.
    pub(super) suggested: BTreeMap<Key, RegistrarId>,
    attempts: BTreeMap<Key, usize>,
}

#[cfg(test)]
impl Adoptions {
    pub(super) fn running_now(&self) -> usize {
        self.running.len()
    }
}

/// A connection to pool elements that shall become ours.
#[derive(Debug)]
struct Adoption {
    address: RegistrarAddress,
    up: bool,
    keys: BTreeSet<Key>,
}

impl Registrar {
    /// Asks an element to adopt us as its home, as soon as there is room.
    pub(super) fn adopt(&mut self, now: Instant, key: &Key) {
        if self.enrp.adoptions.queued.insert(key.clone()) {
            self.enrp.adoptions.waiting.push_back(key.clone());
        }
        self.adopt_next(now);
    }

    /// Whether an element is still to be asked.
    fn is_to_adopt(&self, key: &Key) -> bool {
        match self.monitors.get(key) {
            Some(monitor) => monitor.connection.is_none() && monitor.taken_over,
            None => self.enrp.adoptions.suggested.get(key).copied() == self.home_of(key),
        }
    }

    fn adopt_next(&mut self, now: Instant) {
        while let Some(key) = self.enrp.adoptions.waiting.pop_front() {
            self.enrp.adoptions.queued.remove(&key);
            let element = self.element(&key).filter(|_| self.is_to_adopt(&key));
            let Some(element) = element else {
                self.enrp.adoptions.attempts.remove(&key);
                self.enrp.adoptions.suggested.remove(&key);
                continue;
            };
            let Some(asap) = &element.asap_transport else { continue };
            let addresses = self.enrp.config.addresses(asap, element.encapsulation);
            let attempts = self.enrp.adoptions.attempts.get(&key).copied().unwrap_or(0);
            let Some(&address) = addresses.get(attempts % addresses.len().max(1)) else { continue };
            let same = |adoption: &Adoption| adoption.address == address;
            let running = self.enrp.adoptions.running.iter_mut().find(|(_, adoption)| same(adoption));
            if let Some((&connection, adoption)) = running {
                adoption.keys.insert(key.clone());
                if adoption.up {
                    self.ask_to_adopt(connection, &key);
                }
            } else if self.enrp.adoptions.running.len() < self.enrp.config.adoptions {
                self.connect_to_adopt(now, address, &key);
            } else {
                self.enrp.adoptions.queued.insert(key.clone());
                self.enrp.adoptions.waiting.push_front(key);
                return;
            }
            self.enrp.adoptions.attempts.insert(key.clone(), attempts + 1);
            self.enrp.counters.adoptions_started += 1;
            self.limit_grace(now, &key);
        }
    }

    /// From the first attempt on, a silent element has its grace and no more.
    fn limit_grace(&mut self, now: Instant, key: &Key) {
        let grace = RegistrarTimer::Grace(key.clone());
        if self.monitors.contains_key(key) && self.timers.deadline(&grace).is_none() {
            let profile = &self.config.profile;
            let silence = profile.keep_alive_timeout * (profile.keep_alive_attempts + 1);
            self.timers.set(grace, now + profile.reconnect_grace.max(silence));
        }
    }

    fn connect_to_adopt(&mut self, now: Instant, address: RegistrarAddress, key: &Key) {
        let connection = self.new_connection();
        let adoption = Adoption { address, up: false, keys: BTreeSet::from([key.clone()]) };
        self.enrp.adoptions.running.insert(connection, adoption);
        self.set_timer(Timer::Adoption(connection), now + self.config.profile.keep_alive_timeout);
        let protocol = ControlProtocol::Asap;
        self.outputs.push_back(Output::Connect { connection, protocol, address });
    }

    pub(super) fn adoption_connected(&mut self, now: Instant, connection: ConnectionId, remote: Remote) {
        let Some(adoption) = self.enrp.adoptions.running.get_mut(&connection) else { return };
        adoption.up = true;
        let keys = adoption.keys.clone();
        self.open_connection(connection, remote);
        self.set_timer(Timer::Adoption(connection), now + self.config.profile.keep_alive_timeout);
        for key in &keys {
            self.ask_to_adopt(connection, key);
        }
    }

    fn ask_to_adopt(&mut self, connection: ConnectionId, key: &Key) {
        let draining = self.is_draining(key);
        let (pool, pe) = key.clone();
        let message = EndpointKeepAlive {
            home: true,
            draining,
            registrar: self.id,
            pool,
            pe: Some(pe),
            unknown: vec![],
        };
        self.send(connection, &Message::EndpointKeepAlive(message));
    }

    /// An element acknowledged over a connection that is not its own: it may have adopted us.
    pub(in super::super) fn adopted(&mut self, now: Instant, from: ConnectionId, key: &Key) {
        let Some(adoption) = self.enrp.adoptions.running.get_mut(&from) else { return };
        if !adoption.keys.remove(key) || !self.is_to_adopt(key) {
            return;
        }
        let before = self.enrp.adoptions.suggested.remove(key);
        self.enrp.adoptions.attempts.remove(key);
        if before.is_some() {
            self.handlespace.set_home(&key.0, key.1, self.id);
            self.restart_life(now, key);
        }
        let octets =
            self.element(key).map_or(0, |element| key.0.as_octets().len() + element.to_octets().len());
        let suspect = self.watch(now, from, key, octets);
        self.enrp.counters.adoptions_done += 1;
        self.announce_add(key);
        let (pool, pe) = key.clone();
        if suspect {
            self.event(Event::ElementRecovered { pool: pool.clone(), pe });
        }
        self.event(Event::ElementAdopted { pool, pe, from: before });
        self.element_changed(now, key);
        self.end_if_done(now, from);
    }

    fn end_if_done(&mut self, now: Instant, connection: ConnectionId) {
        if self.enrp.adoptions.running.get(&connection).is_some_and(|adoption| adoption.keys.is_empty()) {
            self.enrp.adoptions.running.remove(&connection);
            self.stop_timer(Timer::Adoption(connection));
            self.adopt_next(now);
        }
    }

    /// Elements did not answer over a connection, or it did not come up.
    pub(super) fn adoption_failed(&mut self, now: Instant, connection: ConnectionId) {
        if !self.enrp.adoptions.running.contains_key(&connection) {
            return;
        }
        let used = self.peers.get(&connection).is_some_and(|peer| !peer.elements.is_empty());
        if !used {
            self.forget_connection(now, connection);
            self.outputs.push_back(Output::Disconnect { connection });
        }
        self.adoption_lost(now, connection);
    }

    /// A connection that was to be used for adoption is gone: its elements are asked over another one.
    pub(in super::super) fn adoption_lost(&mut self, now: Instant, connection: ConnectionId) {
        let Some(adoption) = self.enrp.adoptions.running.remove(&connection) else { return };
        self.stop_timer(Timer::Adoption(connection));
        let retry = now + self.config.profile.keep_alive_timeout / 2;
        for key in adoption.keys {
            if self.enrp.adoptions.suggested.remove(&key).is_none() {
                self.unreached(now, &key);
                self.set_timer(Timer::AdoptAgain(key), retry);
            }
        }
        self.adopt_next(now);
    }

    /// An element without association could not be reached, by us or by a pool user: others are preferred to it.
    pub(in super::super) fn unreached(&mut self, now: Instant, key: &Key) {
        let Some(monitor) = self.monitors.get_mut(key).filter(|monitor| monitor.connection.is_none()) else {
            return;
        };
        if !monitor.is_suspect() {
            monitor.missed = 1;
            self.event(Event::ElementSuspect { pool: key.0.clone(), pe: key.1 });
            self.element_changed(now, key);
        }
    }
}
