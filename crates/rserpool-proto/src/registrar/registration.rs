//! Registration and re-registration (RFC 5352 section 3.1, rules 1 to 5).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use super::{Claim, Event, Key, Monitor, Reassociation, Registrar, Timer, TokenBucket};
use crate::handlespace::Registered;
use crate::wire::UnknownParameter;
use crate::wire::asap::registration::{Registration, RegistrationResponse};
use crate::wire::param::observed_address;
use crate::wire::param::transport::{SctpTransport, Transport, TransportUse};
use crate::wire::{CauseCode, ErrorCause, Message, PoolElementParameter};
use crate::{ConnectionId, PeId, Protocol, Remote};

/// What is to be done with a registration that has no fault of its own.
enum Admission {
    Accept,
    /// The identifier is registered over another association, which is to be probed first.
    Probe,
}

impl Registrar {
    pub(super) fn handle_registration(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        mut registration: Registration,
        octets: usize,
    ) {
        // All elements of a pool share the octets of one handle.
        self.handlespace.share(&mut registration.pool);
        registration.element.life = self.life_in_our_unit(registration.element.life);
        let key = (registration.pool.clone(), registration.element.pe);
        let checked = self
            .check_right(now, connection, &key)
            .and_then(|()| self.check_values(connection, &mut registration.element));
        let warnings = match checked {
            Ok(warnings) => warnings,
            Err(cause) => return self.reject(connection, &key, cause),
        };
        let admitted = self
            .check_room(&key, connection, octets)
            .and_then(|()| self.admit(connection, &key, &registration.element));
        match admitted {
            Ok(Admission::Accept) => {
                let moved = self.moved(&key, &registration.element);
                self.accept(now, connection, registration, octets, warnings, moved);
            }
            Ok(Admission::Probe) => self.hold_claim(now, connection, &key, registration, octets),
            Err(cause) => self.reject(connection, &key, cause),
        }
    }

    /// Checks whether the sender may register in this pool, and not too often (RFC 5355 threats 1 and 4). What is
    /// registered over this connection already may be so again while there is a reserve.
    fn check_right(&mut self, now: Instant, connection: ConnectionId, key: &Key) -> Result<(), ErrorCause> {
        let lack = ErrorCause::plain(CauseCode::LACK_OF_RESOURCES);
        let Some(peer) = self.peers.get(&connection) else { return Err(lack) };
        if !peer.authority.allows(&key.0) {
            return Err(ErrorCause::plain(CauseCode::SECURITY));
        }
        let known = self.monitors.get(key).is_some_and(|monitor| monitor.connection == Some(connection));
        let own = &mut self.allowances.of(now, &peer.source, &self.config).registrations;
        let rate = self.config.all_registrations_per_second;
        let all = self.registrations.get_or_insert_with(|| TokenBucket::new(rate, now));
        let take = if known { TokenBucket::take } else { TokenBucket::take_beyond_reserve };
        if take(own, now) && take(all, now) { Ok(()) } else { Err(lack) }
    }

    /// Checks whether there is memory for a registration of so many octets, here and in its sender's part.
    fn check_room(&self, key: &Key, connection: ConnectionId, octets: usize) -> Result<(), ErrorCause> {
        let (known, over) =
            self.monitors.get(key).map_or((0, None), |monitor| (monitor.octets, monitor.connection));
        let own = self.peers.get(&connection).map_or(0, |peer| peer.octets);
        let own = if over == Some(connection) { own - known } else { own };
        let replicated = self.enrp.replicated.octets();
        let fits = self.octets - known + replicated + octets <= self.config.max_octets
            && own + octets <= self.config.max_octets_per_connection;
        if fits { Ok(()) } else { Err(ErrorCause::plain(CauseCode::LACK_OF_RESOURCES)) }
    }

    /// Checks the element by itself; addresses that are not the sender's are taken out, which the
    /// returned causes tell.
    fn check_values(
        &mut self,
        connection: ConnectionId,
        element: &mut PoolElementParameter,
    ) -> Result<Vec<ErrorCause>, ErrorCause> {
        let invalid = |element: &PoolElementParameter| ErrorCause::invalid_values(&element.to_octets());
        let Some(peer) = self.peers.get_mut(&connection) else {
            return Err(ErrorCause::plain(CauseCode::LACK_OF_RESOURCES));
        };
        let life = element.life.duration(self.config.profile.life_unit);
        let named = element.pe != PeId(0) && element.has_its_own_long_id();
        if !named || life.is_some_and(|life| life.is_zero()) {
            return Err(invalid(element));
        }
        let own = |address: &IpAddr| self.config.address_check.allows(*address, &peer.remote);
        let allowed = |address: &IpAddr| own(address) || self.config.allows_further(*address, &peer.remote);
        let addresses = element.user_transport.addresses();
        if !addresses.iter().any(own) && !addresses.is_empty() {
            return Err(invalid(element));
        }
        // Without an address of the sender, the element is reached where its association comes from.
        element.asap_transport.take_if(|told| {
            told.addresses.retain(allowed);
            told.addresses.is_empty()
        });
        if addresses.iter().all(allowed) {
            return Ok(vec![]);
        }
        let refused = invalid(element);
        match &mut element.user_transport {
            Transport::Sctp(sctp) => sctp.addresses.retain(allowed),
            _ => return Err(refused),
        }
        Ok(vec![refused])
    }

    /// Checks the element against the handlespace.
    fn admit(
        &self,
        connection: ConnectionId,
        key: &Key,
        element: &PoolElementParameter,
    ) -> Result<Admission, ErrorCause> {
        self.handlespace.check(&key.0, element)?;
        // Whoever told long identifiers is told apart by them (docs/wire.md section 17), wherever it is.
        let tells_long = element.long_id().is_some();
        if tells_long && self.element(key).is_some_and(|known| known.is_other_than(element)) {
            return Err(ErrorCause::plain(CauseCode::NON_UNIQUE_PE_ID));
        }
        let Some(monitor) = self.monitors.get(key) else {
            let elements = self.peers.get(&connection).map_or(0, |peer| peer.elements.len());
            let full = elements >= self.config.max_elements_per_connection;
            let known = self.handlespace.pool(&key.0).is_some_and(|pool| pool.contains(key.1));
            if known && !self.same_addresses(key, element) {
                return Err(ErrorCause::plain(CauseCode::NON_UNIQUE_PE_ID));
            }
            return match full {
                true => Err(ErrorCause::plain(CauseCode::LACK_OF_RESOURCES)),
                false => Ok(Admission::Accept),
            };
        };
        if monitor.connection == Some(connection) {
            return Ok(Admission::Accept);
        }
        let taken = Err(ErrorCause::plain(CauseCode::NON_UNIQUE_PE_ID));
        let claimed = monitor.claim.as_ref().is_some_and(|claim| claim.connection != connection);
        if claimed || !self.is_registrant(key, connection, element) {
            return taken;
        }
        Ok(if monitor.connection.is_some() { Admission::Probe } else { Admission::Accept })
    }

    /// Secured, the names in its certificate are the identity of an element; unsecured, and where another registrar
    /// told of it, the set of its addresses.
    fn is_registrant(&self, key: &Key, connection: ConnectionId, element: &PoolElementParameter) -> bool {
        let known = self.monitors.get(key).map_or(&[][..], |monitor| &monitor.names);
        let names = self.peers.get(&connection).map_or(&[][..], |peer| &peer.authority.names);
        if known.is_empty() { self.same_addresses(key, element) } else { known == names }
    }

    pub(super) fn same_addresses(&self, key: &Key, element: &PoolElementParameter) -> bool {
        self.element(key).is_some_and(|known| Self::addresses_of(&known) == Self::addresses_of(element))
    }

    pub(super) fn addresses_of(element: &PoolElementParameter) -> BTreeSet<IpAddr> {
        element.user_transport.addresses().iter().map(IpAddr::to_canonical).collect()
    }

    fn hold_claim(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        key: &Key,
        registration: Registration,
        octets: usize,
    ) {
        if let Some(peer) = self.peers.get_mut(&connection) {
            peer.claims.insert(key.clone());
        }
        if let Some(monitor) = self.monitors.get_mut(key) {
            self.octets += octets;
            self.octets -= monitor.claimed();
            monitor.claim = Some(Box::new(Claim { connection, registration, octets }));
        }
        self.probe_at_once(now, key);
    }

    /// Registers over the new association what the old one no longer answers for.
    pub(super) fn accept_claim(&mut self, now: Instant, key: &Key) -> bool {
        let Some(claim) = self.take_claim(key) else { return false };
        let moved = self.moved(key, &claim.registration.element);
        self.accept(now, claim.connection, claim.registration, claim.octets, vec![], moved);
        true
    }

    /// Refuses the new association: the old one lives.
    pub(super) fn refuse_claim(&mut self, key: &Key) {
        if let Some(claim) = self.take_claim(key) {
            self.reject(claim.connection, key, ErrorCause::plain(CauseCode::NON_UNIQUE_PE_ID));
        }
    }

    fn take_claim(&mut self, key: &Key) -> Option<Claim> {
        let claim = *self.monitors.get_mut(key)?.claim.take()?;
        self.octets -= claim.octets;
        let peer = self.peers.get_mut(&claim.connection)?;
        peer.claims.remove(key);
        Some(claim)
    }

    /// Registers the element, becomes its home, and watches it (rule 4).
    fn accept(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        registration: Registration,
        octets: usize,
        warnings: Vec<ErrorCause>,
        moved: bool,
    ) {
        let Registration { pool, mut element, .. } = registration;
        let key = (pool, element.pe);
        let life = element.life.duration(self.config.profile.life_unit);
        element.home = self.id;
        if element.asap_transport.is_none() {
            let peer = self.peers.get(&connection);
            element.asap_transport = peer.and_then(|peer| asap_transport(&peer.remote));
        }
        self.measure(connection, &mut element);
        let known = self.monitors.get(&key);
        let home = known.map_or_else(|| self.home_in_handlespace(&key), |_| Some(self.id));
        let taken_over = known.is_some_and(|monitor| monitor.taken_over);
        let claimed = known.is_some_and(|monitor| monitor.claim.is_some());
        // One that is taken over or given to us has no association to lose.
        let reason =
            known.filter(|monitor| !monitor.taken_over).and_then(|monitor| match monitor.connection {
                None => Some(Reassociation::Lost),
                Some(old) if old != connection => Some(Reassociation::Silent),
                Some(_) => None,
            });
        // The registrant itself registers again: it lives, and so it keeps its identifier.
        if claimed {
            self.refuse_claim(&key);
        }
        let registered = match self.keep(&key, element) {
            Ok(registered) => registered,
            Err(cause) => return self.reject(connection, &key, cause),
        };
        let recovered = self.watch(now, connection, &key, octets);
        let expiry = Timer::Expiry(key.clone());
        match life.and_then(|life| now.checked_add(life)) {
            Some(end) => self.timers.set(expiry, end),
            // A life too long for the clock never ends.
            None => self.timers.stop(&expiry),
        }
        let (pool, pe) = key.clone();
        let unknown = if warnings.is_empty() { vec![] } else { self.observed(connection) };
        let response = RegistrationResponse { rejected: false, pool, pe, causes: warnings, unknown };
        self.send(connection, &Message::RegistrationResponse(response));
        self.announce_add(&key);
        if let Some(from) = home.filter(|&home| home != self.id) {
            self.event(Event::HomeChanged { pool: key.0.clone(), pe: key.1, from, to: self.id });
            self.home_lost(now, &key, from);
        }
        if let Some(reason) = reason {
            let (pool, pe) = key.clone();
            self.event(Event::ElementReassociated { pool, pe, reason, by: connection });
        }
        if taken_over {
            self.event(Event::ElementAdopted { pool: key.0.clone(), pe: key.1, from: None });
        }
        self.tell(now, connection, key, registered, recovered, moved);
    }

    /// Returns whether pool users who are told of changes would find the element elsewhere than before.
    pub(super) fn moved(&self, key: &Key, element: &PoolElementParameter) -> bool {
        self.subscribers.contains_key(&key.0)
            && self.handlespace.pool(&key.0).is_none_or(|pool| !pool.has_where(element))
    }

    /// Watches the element over this connection; a registration is a sign of life like an acknowledgement.
    /// Returns whether it was suspect before.
    pub(super) fn watch(&mut self, now: Instant, connection: ConnectionId, key: &Key, octets: usize) -> bool {
        let known = self.monitors.get_mut(key);
        let was_suspect = known.as_ref().is_some_and(|known| known.is_suspect());
        let is_new = known.is_none();
        let monitor = match known {
            Some(known) => known,
            None => self.monitors.entry(key.clone()).or_default(),
        };
        let (before, octets_before) = (monitor.connection, monitor.octets);
        self.octets = self.octets - monitor.claimed() - octets_before + octets;
        self.enrp.replicated.remove(key);
        if let Some(peer) = before.and_then(|before| self.peers.get_mut(&before)) {
            peer.octets -= octets_before;
            if before != Some(connection) {
                peer.elements.remove(key);
            }
        }
        let mut names = Vec::new();
        if let Some(peer) = self.peers.get_mut(&connection) {
            if before != Some(connection) {
                peer.elements.insert(key.clone());
            }
            peer.octets += octets;
            peer.claims.remove(key);
            names.clone_from(&peer.authority.names);
        }
        let (last_doubt, answered) = (monitor.last_doubt, monitor.answered);
        let connection = Some(connection);
        *monitor = Monitor { connection, names, octets, last_doubt, answered, ..Monitor::default() };
        if !is_new {
            self.timers.stop(&Timer::Grace(key.clone()));
            self.timers.stop(&Timer::Ack(key.clone()));
        }
        self.schedule_keep_alive(now, key);
        was_suspect
    }

    fn tell(
        &mut self,
        now: Instant,
        by: ConnectionId,
        key: Key,
        registered: Registered,
        recovered: bool,
        moved: bool,
    ) {
        let (pool, pe) = key;
        // It has just been heard. Who is new was never set aside.
        if registered != Registered::New
            && let Some(pool) = self.handlespace.pool_mut(&pool)
            && pool.aside() + pool.draining() > 0
        {
            pool.set_aside(pe, false);
        }
        if recovered || moved {
            self.pool_changed(now, &pool);
        }
        if recovered {
            self.event(Event::ElementRecovered { pool: pool.clone(), pe });
        }
        match registered {
            Registered::New => {
                self.counters.registered += 1;
                self.event(Event::ElementRegistered { pool, pe, by });
            }
            Registered::Changed => {
                self.counters.updated += 1;
                self.event(Event::ElementUpdated { pool, pe, by });
            }
            Registered::Unchanged => self.counters.updated += 1,
        }
    }

    fn reject(&mut self, connection: ConnectionId, key: &Key, cause: ErrorCause) {
        self.counters.rejected += 1;
        let (pool, pe) = key.clone();
        let causes = vec![cause.clone()];
        let invalid = cause.code == CauseCode::INVALID_VALUES;
        let unknown = if invalid { self.observed(connection) } else { vec![] };
        let mut response = RegistrationResponse { rejected: true, pool, pe, causes, unknown };
        if !self.send(connection, &Message::RegistrationResponse(response.clone())) {
            // A registration of nearly 64 KiB leaves no room for the parameter in the cause.
            response.causes = vec![ErrorCause::plain(cause.code)];
            self.send(connection, &Message::RegistrationResponse(response));
        }
        let (pool, pe) = key.clone();
        self.event(Event::RegistrationRejected { pool, pe, by: connection, cause });
    }
}

impl Registrar {
    /// Says where the sender is seen, for one whose own addresses are not those.
    fn observed(&self, connection: ConnectionId) -> Vec<UnknownParameter> {
        let peer = self.peers.get(&connection);
        let address = peer.and_then(|peer| peer.remote.addresses.first());
        address.map(|&address| observed_address::parameter(address)).into_iter().collect()
    }
}

/// "The ENRP server MUST also record the SCTP transport address" the registration came from (rule 4).
fn asap_transport(remote: &Remote) -> Option<SctpTransport> {
    let known = remote.protocol == Protocol::Sctp && !remote.addresses.is_empty();
    known.then(|| SctpTransport {
        port: remote.port,
        transport_use: TransportUse::DATA_ONLY,
        addresses: remote.addresses.clone(),
        unknown: vec![],
    })
}
