//! The registrar's machine. Here is its ASAP side (RFC 5352 section 3): it registers pool elements, watches
//! whether they live, and resolves pool handles. Its ENRP side (RFC 5353) is in `enrp`.
//!
//! Deviations and choices:
//! * An element whose association is lost becomes suspect and stays for the profile's reconnect grace; the same
//!   identifier from a new association of the same addresses is a re-registration (section 3.1). While
//!   the old association is up it is probed first: if it answers, the new one gets cause 4.
//! * Reports of unreachability never remove an element that answers keep-alives (RFC 5355 threat 13).
//! * A registrar that was itself stopped puts all its deadlines off by more than that time.
//! * An element the operator drains stays registered and watched, and is selected nowhere.
//! * An element removed for its silence is told so with an ASAP_DEREGISTRATION_RESPONSE, so that it
//!   registers again at once if it wakes.

mod announce;
mod authority;
mod config;
mod counters;
mod deregistration;
mod distance;
mod drain;
mod enrp;
mod event;
mod keep_alive;
mod life;
mod network;
mod registration;
mod resolution;
mod source;
mod status;
#[cfg(test)]
mod tests;
pub(crate) mod token_bucket;
mod unreachable;
mod updates;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub use announce::Announcement;
pub use authority::{Authority, PoolPattern};
pub use config::{AddressCheck, RegistrarConfig};
pub use counters::{Counters, Resolved};
pub use drain::DrainError;
pub use enrp::{
    Abandoned, Arbitration, EnrpConfig, EnrpCounters, NotAccepted, PeerState, PeerStatus, Reach, Refusal,
};
pub use event::{Event, Reassociation, Removal};
pub use network::{InvalidNetwork, Network};
pub use status::{ElementState, ElementStatus, PoolStatus};

use crate::handlespace::Handlespace;
use crate::hashing::{Set, Table};
use crate::policy::Distance;
use crate::random::Random;
use crate::timers::Timers;
use crate::wire::asap::deregistration::DeregistrationResponse;
use crate::wire::asap::registration::Registration;
use crate::wire::{ErrorCause, Message, MessageType, PoolElementParameter};
use crate::{ConnectionId, Output, PeId, PoolHandle, RegistrarId, Remote, inbox};
use source::{Allowances, Source};
use token_bucket::TokenBucket;
use updates::Subscribers;

/// A deadline missed by more than this means that we were stopped.
const STALL: Duration = Duration::from_millis(500);

/// After a stall elements may need so long to come back: the longest T5 of profile `fast`, spread, and connecting.
const LENIENCE: Duration = Duration::from_secs(10);

type Key = (PoolHandle, PeId);

#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Timer {
    /// The next keep-alive is due.
    KeepAlive(Key),
    /// A keep-alive should have been answered.
    Ack(Key),
    /// The registration's life ends.
    Expiry(Key),
    /// An element without association should have come back.
    Grace(Key),
    /// The registrar announces itself.
    Announce,
    /// Subscribers are told of a pool's changes.
    Update(PoolHandle),
    /// Something among registrars.
    Enrp(enrp::Timer),
}

/// A registration over a new association that waits for the old one to answer or fail.
#[derive(Debug)]
struct Claim {
    connection: ConnectionId,
    registration: Registration,
    /// Of the registration's message.
    octets: usize,
}

/// What is known about one registered element's health.
#[derive(Debug, Default)]
struct Monitor {
    connection: Option<ConnectionId>,
    /// Who registered it, where somebody vouches for that.
    names: Vec<String>,
    /// Octets of its registration: what it makes us keep.
    octets: usize,
    /// When the element was last asked out of turn.
    last_doubt: Option<Instant>,
    /// When it answered a keep-alive last.
    answered: Option<Instant>,
    /// Keep-alives in a row that were not answered.
    missed: u32,
    /// Who reported the element since it last answered.
    reporters: BTreeSet<Source>,
    claim: Option<Box<Claim>>,
    /// Another registrar says that the element is its own.
    rival: Option<Box<enrp::Rival>>,
    /// How often the element answered although another registrar said so.
    contests: u32,
    /// Whom we suggested to take the element over.
    suggested: Option<RegistrarId>,
    /// Its home was taken over by us, and it has not answered yet.
    taken_over: bool,
}

/// As runs repeat.
fn in_order(keys: &Set<Key>) -> Vec<Key> {
    let mut keys: Vec<Key> = keys.iter().cloned().collect();
    keys.sort_unstable();
    keys
}

impl Monitor {
    /// Octets of the registration that waits for this element's answer.
    fn claimed(&self) -> usize {
        self.claim.as_ref().map_or(0, |claim| claim.octets)
    }

    /// Whether the element may be dead: it was silent, or its association is lost and nobody knows why.
    fn is_suspect(&self) -> bool {
        (self.connection.is_none() && self.suggested.is_none() && !self.taken_over) || self.missed > 0
    }
}

/// What decides whether an element is preferred in a selection.
struct Health<'a> {
    /// Elements of ours.
    monitors: &'a Table<Key, Monitor>,
    /// Elements of other registrars that somebody could not reach.
    doubts: &'a BTreeSet<Key>,
}

impl Health<'_> {
    fn is_suspect(&self, key: &Key) -> bool {
        self.monitors.get(key).map_or_else(|| self.doubts.contains(key), Monitor::is_suspect)
    }
}

#[derive(Debug)]
struct Peer {
    remote: Remote,
    authority: Authority,
    /// Elements registered over this connection.
    elements: Set<Key>,
    /// Octets of their registrations.
    octets: usize,
    /// Elements this connection claims.
    claims: BTreeSet<Key>,
    /// Pools this connection wants to hear of.
    subscriptions: BTreeSet<PoolHandle>,
    /// Whom limits count it for.
    source: Source,
}

/// Registers, watches and resolves pool elements.
#[derive(Debug)]
pub struct Registrar {
    config: RegistrarConfig,
    id: RegistrarId,
    random: Random,
    handlespace: Handlespace,
    /// What was measured of connections.
    distances: BTreeMap<ConnectionId, Distance>,
    monitors: Table<Key, Monitor>,
    peers: Table<ConnectionId, Peer>,
    subscribers: BTreeMap<PoolHandle, Subscribers>,
    /// Of all connections.
    subscriptions: usize,
    timers: Timers<Timer>,
    allowances: Allowances,
    /// Registrations of all connections together.
    registrations: Option<TokenBucket>,
    /// Octets of all registrations, as of [`Monitor::octets`], and of those that wait.
    octets: usize,
    lenient_until: Option<Instant>,
    counters: Counters,
    /// Handle resolutions by pool since somebody took them.
    resolved: Table<PoolHandle, Resolved>,
    enrp: Box<enrp::Enrp>,
    outputs: VecDeque<Output<Event>>,
    /// Octets of the messages among them.
    unsent: usize,
    /// Where a message is written.
    scratch: Vec<u8>,
    /// Where a selection is written.
    chosen: Vec<PeId>,
}

impl Registrar {
    /// Returns a registrar with an empty handlespace.
    pub fn new(config: RegistrarConfig, seed: u64) -> Registrar {
        let mut random = Random::new(seed);
        let id = config.id.filter(|id| *id != RegistrarId::UNDETERMINED);
        let id = id.unwrap_or_else(|| RegistrarId(random.identifier()));
        Registrar {
            id,
            handlespace: Handlespace::new(config.limits),
            distances: BTreeMap::new(),
            enrp: Box::new(enrp::Enrp::new(config.enrp.clone(), id, seed)),
            config,
            random,
            monitors: Table::default(),
            peers: Table::default(),
            subscribers: BTreeMap::new(),
            subscriptions: 0,
            timers: Timers::new(),
            allowances: Allowances::default(),
            registrations: None,
            octets: 0,
            lenient_until: None,
            counters: Counters::default(),
            resolved: Table::default(),
            outputs: VecDeque::new(),
            unsent: 0,
            scratch: Vec::new(),
            chosen: Vec::new(),
        }
    }

    /// Returns the registrar's identifier.
    pub fn id(&self) -> RegistrarId {
        self.id
    }

    /// Returns the handlespace.
    pub fn handlespace(&self) -> &Handlespace {
        &self.handlespace
    }

    /// Returns what was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the handle resolutions answered since the last call, by pool. Pools with handles too long for a
    /// label are not among them.
    pub fn take_resolved(&mut self) -> BTreeMap<PoolHandle, Resolved> {
        self.resolved.drain().collect()
    }

    /// Returns the number of connections.
    pub fn connections(&self) -> usize {
        self.peers.len()
    }

    /// Returns what to do next, until there is nothing more.
    pub fn poll_output(&mut self) -> Option<Output<Event>> {
        let output = self.outputs.pop_front();
        if let Some(Output::Send { octets, .. }) = &output {
            self.unsent = self.unsent.saturating_sub(octets.len());
        }
        output
    }

    /// Returns when to call [`Registrar::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Fires every timer due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_stall(now);
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::KeepAlive(key) => self.probe(now, &key),
                Timer::Ack(key) => self.keep_alive_missed(now, &key),
                Timer::Expiry(key) if self.monitors.contains_key(&key) => {
                    self.remove(now, &key, Removal::Expired);
                }
                Timer::Expiry(key) => self.foreign_expired(now, &key),
                Timer::Grace(key) => self.grace_ended(now, &key),
                Timer::Announce => self.announce_server(now),
                Timer::Update(pool) => self.tell_subscribers(now, &pool),
                Timer::Enrp(timer) => self.handle_enrp_timeout(now, timer),
            }
        }
    }

    /// A pool element or pool user has connected.
    pub fn handle_accepted(&mut self, now: Instant, connection: ConnectionId, remote: Remote) {
        self.notice_stall(now);
        if self.peers.len() >= self.config.max_connections {
            self.counters.connections_refused += 1;
            self.outputs.push_back(Output::Disconnect { connection });
            return;
        }
        self.open_connection(connection, remote);
    }

    fn open_connection(&mut self, connection: ConnectionId, remote: Remote) {
        let authority = Authority::default();
        let peer = Peer {
            source: Source::of(connection, &remote, &authority),
            remote,
            authority,
            elements: Set::default(),
            octets: 0,
            claims: BTreeSet::new(),
            subscriptions: BTreeSet::new(),
        };
        self.peers.insert(connection, peer);
    }

    /// Says who the far end of a connection is and what it may register; without that it may do anything.
    pub fn authorize(&mut self, connection: ConnectionId, authority: Authority) {
        if let Some(peer) = self.peers.get_mut(&connection) {
            peer.source = Source::of(connection, &peer.remote, &authority);
            peer.authority = authority;
        }
    }

    /// A connection has ended: its elements become suspect, or go at once if the profile has no grace.
    pub fn handle_lost(&mut self, now: Instant, connection: ConnectionId) {
        self.notice_stall(now);
        self.distances.remove(&connection);
        if self.is_link(connection) {
            return self.link_closed(now, connection);
        }
        self.adoption_lost(now, connection);
        self.forget_connection(now, connection);
    }

    /// Nothing can be sent over a connection any more.
    fn forget_connection(&mut self, now: Instant, connection: ConnectionId) {
        let Some(peer) = self.peers.remove(&connection) else { return };
        for pool in &peer.subscriptions {
            self.unsubscribe(pool, connection);
        }
        for key in &peer.claims {
            if let Some(monitor) = self.monitors.get_mut(key) {
                let claim = monitor.claim.take_if(|claim| claim.connection == connection);
                self.octets -= claim.map_or(0, |claim| claim.octets);
            }
        }
        for key in in_order(&peer.elements) {
            self.element_lost_connection(now, &key);
        }
    }

    /// A message of the connection's protocol arrived.
    pub fn handle_message(&mut self, now: Instant, connection: ConnectionId, octets: &[u8]) {
        self.notice_stall(now);
        if self.is_link(connection) {
            return self.handle_enrp_message(now, connection, octets);
        }
        if !self.peers.contains_key(&connection) {
            return;
        }
        let kind = MessageType::of(octets).unwrap_or(MessageType(0));
        *self.counters.received.entry(kind).or_insert(0) += 1;
        let (decoded, answer) = inbox::open(octets);
        if let Some(answer) = answer {
            self.send(connection, &answer);
        }
        match decoded {
            Ok(Message::Registration(message)) => {
                self.handle_registration(now, connection, message, octets.len());
            }
            Ok(Message::Deregistration(message)) => self.handle_deregistration(now, connection, message),
            Ok(Message::HandleResolution(message)) => self.handle_resolution(connection, message),
            Ok(Message::EndpointKeepAliveAck(message)) => self.handle_ack(now, connection, message),
            Ok(Message::EndpointUnreachable(message)) => self.handle_unreachable(now, connection, message),
            // Nobody sends the rest to a registrar but by mistake; it was counted.
            Ok(_) => {}
            Err(error) => {
                self.counters.malformed += 1;
                self.event(Event::Malformed { connection, error });
            }
        }
    }

    /// Puts everything off by the time we were stopped and one keep-alive time-out, so that what arrived in the
    /// meantime is read before anybody seems silent.
    fn notice_stall(&mut self, now: Instant) {
        let Some(due) = self.timers.next().filter(|due| *due < now) else { return };
        let duration = now.saturating_duration_since(due);
        if duration > STALL {
            self.timers.delay_all(duration + self.config.profile.keep_alive_timeout);
            self.lenient_until = Some(now + LENIENCE);
            self.be_lenient_with_peers(now);
            self.counters.stalls += 1;
            self.event(Event::Stalled { duration });
        }
    }

    fn element_lost_connection(&mut self, now: Instant, key: &Key) {
        let Some(monitor) = self.monitors.get_mut(key) else { return };
        let before = monitor.is_suspect();
        monitor.connection = None;
        let handing_over = monitor.suggested.is_some();
        let profile = self.config.profile;
        let attempts_left = profile.keep_alive_attempts.saturating_sub(monitor.missed + 1);
        // Whoever is silent gains no time by the transport noticing it too.
        let silent_until = self
            .timers
            .deadline(&Timer::Ack(key.clone()))
            .map(|due| due + profile.keep_alive_timeout * attempts_left);
        let grace = profile.reconnect_grace;
        self.timers.stop(&Timer::KeepAlive(key.clone()));
        self.timers.stop(&Timer::Ack(key.clone()));
        if self.accept_claim(now, key) || self.give_to_rival(now, key) {
            return;
        }
        let grace = if handing_over { grace.max(profile.takeover_timeout * 2) } else { grace };
        if grace.is_zero() {
            return self.remove(now, key, Removal::ConnectionLost);
        }
        let silent_until = silent_until.filter(|_| !handing_over);
        let until = silent_until.map_or(now + grace, |silent| silent.min(now + grace));
        let until = self.lenient_until.map_or(until, |lenient| lenient.max(until));
        self.timers.set(Timer::Grace(key.clone()), until);
        if !before && !handing_over {
            self.event(Event::ElementSuspect { pool: key.0.clone(), pe: key.1 });
            self.element_changed(now, key);
        }
    }

    /// An element did not come back in time.
    fn grace_ended(&mut self, now: Instant, key: &Key) {
        let taken_over = self.monitors.get(key).is_some_and(|monitor| monitor.taken_over);
        let reason = if taken_over { Removal::TakenOverSilent } else { Removal::ConnectionLost };
        self.remove(now, key, reason);
    }

    /// Takes an element of ours out of the handlespace; it is told if it did not ask for it, and the peers are.
    fn remove(&mut self, now: Instant, key: &Key, reason: Removal) {
        self.remove_for(now, key, reason, None);
    }

    fn remove_for(&mut self, now: Instant, key: &Key, reason: Removal, by: Option<ConnectionId>) {
        for timer in [Timer::KeepAlive, Timer::Ack, Timer::Expiry, Timer::Grace] {
            self.timers.stop(&timer(key.clone()));
        }
        let Some(monitor) = self.monitors.remove(key) else { return };
        self.octets -= monitor.octets + monitor.claimed();
        self.enrp.replicated.remove(key);
        let element = self.handlespace.deregister(&key.0, key.1);
        // A registrar that leaves does not know who is dead any more.
        if let Some(element) = &element
            && (reason == Removal::Deregistered || !self.is_leaving())
        {
            self.announce_delete(&key.0, element);
        }
        if let Some(connection) = monitor.connection {
            if let Some(peer) = self.peers.get_mut(&connection) {
                peer.elements.remove(key);
                peer.octets -= monitor.octets;
            }
            if reason != Removal::Deregistered {
                self.send_deregistration_response(connection, key, vec![]);
            }
        }
        *self.counters.removed.entry(reason).or_insert(0) += 1;
        if let Some(element) = element.map(Box::new) {
            self.event(Event::ElementRemoved { pool: key.0.clone(), pe: key.1, reason, by, element });
        }
        self.element_changed(now, key);
    }

    fn send_deregistration_response(&mut self, to: ConnectionId, key: &Key, causes: Vec<ErrorCause>) {
        let (pool, pe) = key.clone();
        let response = DeregistrationResponse { pool, pe, causes, unknown: vec![] };
        self.send(to, &Message::DeregistrationResponse(response));
    }

    /// Forgets that an element is ours, without a word to anybody.
    fn unwatch(&mut self, key: &Key) {
        for timer in [Timer::KeepAlive, Timer::Ack, Timer::Expiry, Timer::Grace] {
            self.timers.stop(&timer(key.clone()));
        }
        let Some(monitor) = self.monitors.remove(key) else { return };
        self.octets -= monitor.octets + monitor.claimed();
        if let Some(claimant) = monitor.claim.and_then(|claim| self.peers.get_mut(&claim.connection)) {
            claimant.claims.remove(key);
        }
        if let Some(peer) = monitor.connection.and_then(|connection| self.peers.get_mut(&connection)) {
            peer.elements.remove(key);
            peer.octets -= monitor.octets;
        }
    }

    /// Returns a registered element, draining or not.
    fn element(&self, key: &Key) -> Option<PoolElementParameter> {
        self.handlespace.pool(&key.0).and_then(|pool| pool.element(key.1))
    }

    fn is_suspect(&self, key: &Key) -> bool {
        Health { monitors: &self.monitors, doubts: &self.enrp.doubts }.is_suspect(key)
    }

    /// Sends a message if it fits; returns whether it did.
    fn send(&mut self, connection: ConnectionId, message: &Message) -> bool {
        self.scratch.clear();
        let fits = message.encode(&mut self.scratch).is_ok();
        if fits {
            self.counters.count_sent(message);
            self.send_scratch(connection);
        }
        fits
    }

    /// Sends what is written in `scratch`.
    fn send_scratch(&mut self, connection: ConnectionId) {
        // In just the room it needs it is sent as it is; with more, that takes another allocation.
        let octets = self.scratch.clone();
        self.unsent += octets.len();
        self.outputs.push_back(Output::Send { connection, octets });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
