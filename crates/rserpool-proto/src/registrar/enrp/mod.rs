//! The registrar's ENRP side (RFC 5353 section 3): one file per procedure.
//!
//! Deviations and choices:
//! * Nobody becomes a peer who is neither configured nor in a configured network (narrower than section 3.4.1,
//!   RFC 5355 threat 5). A connection speaks for one identifier.
//! * A connection that ends makes a peer suspect at once; it is dead only when it has neither come back nor
//!   answered within MAX-TIME-NO-RESPONSE.
//! * A takeover is acknowledged only when its target is silent for us too (section 3.5.1 acknowledges at once).
//! * Only an element's home changes or removes it; whose home is in doubt, the element's own association decides.
//! * An element that is taken over stays where it is until its new home has found it silent.

mod acceptance;
mod adoption;
mod audit;
mod authority;
mod claims;
mod config;
mod counters;
mod links;
mod list;
mod mentor;
mod names;
mod next_generation;
mod peers;
mod presence;
mod replicated;
mod status;
mod suggestion;
mod table;
mod takeover;
#[cfg(test)]
mod tests;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

pub use acceptance::NotAccepted;
pub(super) use authority::Rival;
pub use config::{Arbitration, EnrpConfig, Reach};
pub use counters::{EnrpCounters, Refusal};
pub use status::{PeerState, PeerStatus};
pub use takeover::Abandoned;

use super::token_bucket::TokenBucket;
use super::{Event, Key, Registrar, Timer as RegistrarTimer};
use crate::random::Random;
use crate::wire::enrp::{Body, Message, MessageType};
use crate::wire::param::long_registrar_identifier::LongRegistrarId;
use crate::wire::param::pe_checksum::PeChecksum;
use crate::wire::param::server_information::ServerInformation;
use crate::{ConnectionId, Output, PeId, PoolHandle, Protocol, RegistrarAddress, RegistrarId, Remote, inbox};
use acceptance::Refusals;
use adoption::Adoptions;
use list::LateList;
use mentor::Startup;
use names::Names;
use next_generation::Rivals;
use replicated::Replicated;
use takeover::Takeover;

/// Sets the sequence of the long identifier's upper half apart.
const UPPER: u64 = 0x7570_7065_7268_616c;

#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Timer {
    /// Our presence is due.
    Heartbeat,
    /// Somebody may be connected to again.
    Reconnect,
    /// A connection should be up, or its far end should have said who it is.
    Link(ConnectionId),
    /// A peer was not heard for MAX-TIME-LAST-HEARD.
    Silent(RegistrarId),
    /// A peer did not answer for MAX-TIME-NO-RESPONSE.
    NoResponse(RegistrarId),
    /// Nobody was found to start with.
    Discovery,
    /// The mentor did not answer, or may be asked again.
    Mentor,
    /// A peer's table did not come.
    Table(RegistrarId),
    /// A peer did not ask for the rest of a table.
    Session(RegistrarId, bool),
    /// Acknowledgements of a takeover are missing.
    Takeover(RegistrarId),
    /// A takeover starts again, or one we agreed to should have happened.
    TakeoverAgain(RegistrarId),
    /// Every table is audited.
    Audit,
    /// A pool element did not answer over this connection.
    Adoption(ConnectionId),
    /// A pool element is connected to again.
    AdoptAgain(Key),
    /// A doubt about another registrar's element is over.
    Doubt(Key),
    /// Elements should have been handed over, or are offered to the next registrar.
    Leave(usize),
}

/// A connection that carries ENRP.
#[derive(Debug)]
struct Link {
    /// Whether messages can be sent.
    up: bool,
    protocol: Protocol,
    remote: Vec<IpAddr>,
    /// Who speaks over it.
    peer: Option<RegistrarId>,
    /// A presence over it told something of the next generation.
    next_generation: bool,
    /// The far end said why it closes it.
    explained: bool,
    messages: TokenBucket,
}

/// A registrar to be connected to.
#[derive(Debug)]
struct Target {
    /// One or more addresses of its endpoints, SCTP first, tried in turn.
    addresses: Vec<RegistrarAddress>,
    /// Which of them is tried next.
    turn: usize,
    configured: bool,
    /// The configured name it was found by, of `EnrpConfig::named_peers`.
    name: Option<usize>,
    /// Who was found there.
    id: Option<RegistrarId>,
    link: Option<ConnectionId>,
    failures: u32,
    not_before: Option<Instant>,
    /// It is ourselves.
    own: bool,
    /// When a target that was only told of is given up.
    forget_at: Option<Instant>,
    /// Connections in a row that it closed before anybody said who he is.
    closed: u32,
    /// When the owner was told that it does not accept us.
    told: Option<Instant>,
}

impl Target {
    /// One from the configuration; by `name` where it was looked up.
    fn configured(address: RegistrarAddress, name: Option<usize>) -> Target {
        Target {
            addresses: vec![address],
            turn: 0,
            configured: true,
            name,
            id: None,
            link: None,
            failures: 0,
            not_before: None,
            own: false,
            forget_at: None,
            closed: 0,
            told: None,
        }
    }
}

/// One peer.
#[derive(Debug)]
struct Peer {
    state: PeerState,
    last_heard: Option<Instant>,
    /// The connection to send over.
    via: Option<ConnectionId>,
    /// It has said who it is.
    introduced: bool,
    /// It told something of the next generation in its last presence.
    next_generation: bool,
    rivals: Rivals,
    /// What it told of itself, or somebody else of it.
    information: Option<ServerInformation>,
    told: Option<PeChecksum>,
    is_reference: bool,
    /// It keeps draining elements, and selects none.
    knows_draining: bool,
    /// Who wants to take it over and waits for our agreement.
    takers: BTreeSet<RegistrarId>,
    /// Whose takeover of it we agreed to.
    conceded: Option<RegistrarId>,
    download: Option<table::Download>,
    /// What it owned here and its last table did not list.
    unlisted: BTreeSet<Key>,
    last_download: Option<Instant>,
    /// Something it told may have been lost on the way, or overtaken: what it owns is asked for.
    missed: bool,
    /// Tables in a row with elements that could not be stored here.
    incomplete: u32,
    /// The connection it last told of elements over; each may have connected to the other.
    told_over: Option<ConnectionId>,
}

impl Default for Peer {
    fn default() -> Peer {
        Peer {
            state: PeerState::Unheard,
            last_heard: None,
            via: None,
            introduced: false,
            next_generation: false,
            rivals: Rivals::default(),
            information: None,
            told: None,
            is_reference: false,
            knows_draining: false,
            takers: BTreeSet::new(),
            conceded: None,
            download: None,
            unlisted: BTreeSet::new(),
            last_download: None,
            missed: false,
            incomplete: 0,
            told_over: None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Enrp {
    enabled: bool,
    config: EnrpConfig,
    long: LongRegistrarId,
    /// Others that told our identifier.
    rivals: Rivals,
    startup: Startup,
    mentor: Option<RegistrarId>,
    /// Who is asked for the list of registrars, as we began without one.
    late_list: LateList,
    /// Nobody is dead before, as we were stopped.
    lenient_until: Option<Instant>,
    leaving: bool,
    left: bool,
    targets: Vec<Target>,
    names: Names,
    refusals: Refusals,
    links: BTreeMap<ConnectionId, Link>,
    peers: BTreeMap<RegistrarId, Peer>,
    /// Where the next part of a table starts, by who asked for it and whether for our elements only.
    sessions: BTreeMap<(RegistrarId, bool), (PoolHandle, PeId)>,
    takeovers: BTreeMap<RegistrarId, Takeover>,
    adoptions: Adoptions,
    /// What elements of others take.
    pub(super) replicated: Replicated,
    /// Elements of others somebody could not reach.
    pub(super) doubts: BTreeSet<Key>,
    /// Elements whose life ended while their home was silent.
    overdue: BTreeSet<Key>,
    /// Elements whose home has become another registrar by its word alone.
    inherited: BTreeSet<Key>,
    /// What other registrars tell as their own of elements that have another home here.
    claims: BTreeMap<Key, claims::OtherHome>,
    next_connection: u64,
    counters: EnrpCounters,
}

impl Enrp {
    pub(super) fn new(config: Option<EnrpConfig>, id: RegistrarId, seed: u64) -> Enrp {
        let enabled = config.is_some();
        let config = config.unwrap_or_default();
        // Of its own sequence, so that nothing else depends on whether there is one.
        let upper = config.upper.unwrap_or_else(|| Random::new(seed ^ UPPER).identifier());
        let target = |&address: &RegistrarAddress| Target::configured(address, None);
        Enrp {
            enabled,
            targets: config.peers.iter().take(config.max_peers).map(target).collect(),
            names: Names::new(config.named_peers.len()),
            refusals: Refusals::default(),
            config,
            long: LongRegistrarId::new(upper, id),
            rivals: Rivals::default(),
            startup: if enabled { Startup::NotStarted } else { Startup::Ready },
            mentor: None,
            late_list: LateList::NotNeeded,
            lenient_until: None,
            leaving: false,
            left: false,
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            takeovers: BTreeMap::new(),
            adoptions: Adoptions::default(),
            replicated: Replicated::default(),
            doubts: BTreeSet::new(),
            overdue: BTreeSet::new(),
            inherited: BTreeSet::new(),
            claims: BTreeMap::new(),
            next_connection: 0,
            counters: EnrpCounters::default(),
        }
    }
}

impl Registrar {
    /// Begins to look for peers, if there may be any; to be called once before anything else.
    pub fn start(&mut self, now: Instant) {
        self.begin_announcing(now);
        if !self.enrp.enabled || !matches!(self.enrp.startup, Startup::NotStarted) {
            return;
        }
        self.begin_startup(now);
        self.heartbeat(now);
        self.schedule_audit(now);
        self.reconnect(now);
    }

    /// Returns what was counted among registrars since the start.
    pub fn enrp_counters(&self) -> &EnrpCounters {
        &self.enrp.counters
    }

    /// Another registrar has connected to our ENRP port.
    pub fn handle_peer_accepted(&mut self, now: Instant, connection: ConnectionId, remote: Remote) {
        self.notice_stall(now);
        if let Err(refusal) = self.may_connect(&remote) {
            self.refuse(refusal, Some(connection));
            self.explain(now, connection, refusal);
            self.outputs.push_back(Output::Disconnect { connection });
            if refusal == Refusal::Stranger {
                self.look_up_for_stranger(now);
            }
            return;
        }
        self.open_link(now, connection, remote.protocol, remote.addresses, true);
    }

    /// A connection asked for with `Output::Connect` is up.
    pub fn handle_connected(&mut self, now: Instant, connection: ConnectionId, remote: Remote) {
        self.notice_stall(now);
        if self.enrp.links.contains_key(&connection) {
            self.link_up(now, connection, remote);
        } else {
            self.adoption_connected(now, connection, remote);
        }
    }

    /// A connection asked for with `Output::Connect` did not come up.
    pub fn handle_connect_failed(&mut self, now: Instant, connection: ConnectionId) {
        self.notice_stall(now);
        if self.enrp.links.contains_key(&connection) {
            self.link_lost(now, connection);
        } else {
            self.adoption_lost(now, connection);
        }
    }

    /// A datagram came to ENRP's multicast group.
    ///
    /// It is a hint whom to connect to, not a sign of life: its sender is not proven.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, octets: &[u8]) {
        self.notice_stall(now);
        if !self.enrp.enabled || !self.enrp.config.multicast {
            return;
        }
        self.count_received(octets);
        match Message::decode(octets) {
            Ok(Message { sender, body: Body::Presence(presence), .. }) => {
                self.announced(now, from, sender, &presence);
            }
            Ok(_) => {}
            Err(_) => self.enrp.counters.malformed += 1,
        }
    }

    /// The connection a peer is told over.
    pub(super) fn connection_to(&self, peer: RegistrarId) -> Option<ConnectionId> {
        self.enrp.peers.get(&peer).and_then(|peer| peer.via)
    }

    pub(super) fn is_link(&self, connection: ConnectionId) -> bool {
        self.enrp.links.contains_key(&connection)
    }

    /// A message arrived over a connection that carries ENRP.
    pub(super) fn handle_enrp_message(&mut self, now: Instant, connection: ConnectionId, octets: &[u8]) {
        let Some(link) = self.enrp.links.get_mut(&connection) else { return };
        self.enrp.counters.received.entry(message_type(octets)).and_modify(|count| *count += 1).or_insert(1);
        if !link.messages.take(now) {
            if let Some(peer) = link.peer.and_then(|id| self.enrp.peers.get_mut(&id)) {
                peer.missed = true;
            }
            return self.refuse(Refusal::RateLimited, Some(connection));
        }
        let (decoded, causes) = inbox::open_enrp(octets);
        if let Some(causes) = causes {
            self.send_error(connection, causes);
        }
        match decoded {
            Ok(message) => self.dispatch(now, connection, message),
            Err(error) => {
                self.enrp.counters.malformed += 1;
                self.event(Event::Malformed { connection, error });
            }
        }
    }

    fn dispatch(&mut self, now: Instant, connection: ConnectionId, message: Message) {
        let Message { sender, receiver, body } = message;
        if receiver != RegistrarId::UNDETERMINED && receiver != self.id {
            return self.refuse(Refusal::WrongReceiver, Some(connection));
        }
        if let Body::Presence(presence) = &body
            && !self.read_next_generation(now, connection, sender, presence)
        {
            return;
        }
        if let Body::EnrpError(error) = &body
            && self.hear_refusal(now, connection, error)
        {
            return;
        }
        if !self.bind(now, connection, sender) {
            return;
        }
        if matches!(body, Body::HandleUpdate(_) | Body::HandleTableResponse(_)) {
            self.notice_order(connection, sender);
        }
        let introduced = self.enrp.peers.get(&sender).is_some_and(|peer| peer.introduced);
        match body {
            Body::Presence(presence) => self.handle_presence(now, sender, presence),
            Body::ListRequest(_) => self.handle_list_request(sender),
            Body::HandleTableRequest(request) => self.handle_table_request(now, sender, &request),
            Body::EnrpError(error) => self.handle_enrp_error(sender, &error),
            _ if !introduced => {
                // Makes it tell who it is (section 3.4.1).
                let question = self.presence(sender, true);
                self.tell_peer(sender, question);
                self.refuse(Refusal::NotIntroduced, Some(connection));
            }
            Body::ListResponse(response) => self.handle_list_response(now, sender, response),
            Body::HandleTableResponse(response) => self.handle_table_response(now, sender, response),
            Body::HandleUpdate(update) => self.handle_update(now, connection, sender, receiver, update),
            Body::InitTakeover(message) => self.handle_init_takeover(now, sender, message.target),
            Body::InitTakeoverAck(message) => self.handle_takeover_ack(now, sender, message.target),
            Body::TakeoverServer(message) => self.handle_takeover_server(now, sender, message.target),
        }
    }

    /// What comes over one connection may be older than what came before over another.
    fn notice_order(&mut self, connection: ConnectionId, sender: RegistrarId) {
        if let Some(peer) = self.enrp.peers.get_mut(&sender) {
            let before = peer.told_over.replace(connection);
            peer.missed |= before.is_some_and(|before| before != connection);
        }
    }

    pub(super) fn handle_enrp_timeout(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Heartbeat => self.heartbeat(now),
            Timer::Reconnect => self.reconnect(now),
            Timer::Link(connection) => self.link_timed_out(now, connection),
            Timer::Silent(peer) => self.peer_silent(now, peer),
            Timer::NoResponse(peer) => self.peer_dead(now, peer),
            Timer::Discovery => self.discovery_ended(now),
            Timer::Mentor => self.mentor_timed_out(now),
            Timer::Table(peer) => self.download_failed(now, peer),
            Timer::Session(peer, own) => {
                self.enrp.sessions.remove(&(peer, own));
            }
            Timer::Takeover(target) => self.takeover_timed_out(now, target),
            Timer::TakeoverAgain(target) => self.begin_takeover(now, target),
            Timer::Audit => self.audit(now),
            Timer::Adoption(connection) => self.adoption_failed(now, connection),
            Timer::AdoptAgain(key) => self.adopt(now, &key),
            Timer::Doubt(key) => self.doubt_ended(now, &key),
            Timer::Leave(round) => self.offer(now, round),
        }
    }

    fn set_timer(&mut self, timer: Timer, at: Instant) {
        self.timers.set(RegistrarTimer::Enrp(timer), at);
    }

    fn stop_timer(&mut self, timer: Timer) {
        self.timers.stop(&RegistrarTimer::Enrp(timer));
    }

    fn new_connection(&mut self) -> ConnectionId {
        self.enrp.next_connection += 1;
        ConnectionId(self.enrp.next_connection)
    }

    fn refuse(&mut self, refusal: Refusal, from: Option<ConnectionId>) {
        *self.enrp.counters.refused.entry(refusal).or_insert(0) += 1;
        self.event(Event::PeerRefused { from, refusal });
    }

    fn count_received(&mut self, octets: &[u8]) {
        *self.enrp.counters.received.entry(message_type(octets)).or_insert(0) += 1;
    }

    /// Sends to one peer, if there is a connection; returns whether there is.
    fn tell_peer(&mut self, to: RegistrarId, body: impl Into<Body>) -> bool {
        let Some(connection) = self.enrp.peers.get(&to).and_then(|peer| peer.via) else { return false };
        self.send_over(connection, to, body.into())
    }

    fn send_over(&mut self, connection: ConnectionId, to: RegistrarId, mut body: Body) -> bool {
        if let Body::Presence(presence) = &mut body {
            presence.checksum = Some(self.checksum_for(to));
        }
        let kind = body.message_type();
        let message = Message { sender: self.id, receiver: to, body };
        let Ok(octets) = message.to_octets() else {
            self.refuse(Refusal::TooLong, None);
            return false;
        };
        *self.enrp.counters.sent.entry(kind).or_insert(0) += 1;
        self.outputs.push_back(Output::Send { connection, octets });
        true
    }

    /// Sends to every connected peer ("group-cast", RFC 5353 section 3.1).
    fn tell_all(&mut self, body: &Body) {
        for to in self.connected_peers() {
            self.tell_peer(to, body.clone());
        }
    }

    fn has_connected_peers(&self) -> bool {
        self.enrp.peers.values().any(|peer| peer.via.is_some())
    }

    fn connected_peers(&self) -> Vec<RegistrarId> {
        self.enrp.peers.iter().filter(|(_, peer)| peer.via.is_some()).map(|(&id, _)| id).collect()
    }
}

fn message_type(octets: &[u8]) -> MessageType {
    MessageType::of(octets).unwrap_or(MessageType(0))
}
