//! Connections to peers: whom to connect to, who speaks over which (RFC 5353 sections 3.1 and 3.4.1).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::super::token_bucket::TokenBucket;
use super::super::{Event, Registrar};
use super::{Link, Refusal, Target, Timer};
use crate::wire::ErrorCause;
use crate::wire::enrp::error::EnrpError;
use crate::wire::enrp::presence::Presence;
use crate::wire::param::server_information::ServerInformation;
use crate::{ConnectionId, ControlProtocol, Output, Protocol, RegistrarAddress, RegistrarId, Remote};

/// Connections one peer may have with us: each may have connected to the other, and be reconnecting.
const LINKS_PER_PEER: usize = 4;

/// Addresses of one registrar that are tried.
const MAX_TARGET_ADDRESSES: usize = 16;

/// How long a registrar we were only told of is looked for after it is gone.
pub(super) const FORGET: Duration = Duration::from_secs(600);

impl Registrar {
    pub(super) fn may_connect(&self, remote: &Remote) -> Result<(), Refusal> {
        let allowed = |address: &IpAddr| self.enrp.config.allows(*address);
        if !self.enrp.enabled || self.enrp.leaving || !remote.addresses.iter().any(allowed) {
            return Err(Refusal::Stranger);
        }
        if self.enrp.links.len() >= self.enrp.config.max_peers * LINKS_PER_PEER {
            return Err(Refusal::TooMany);
        }
        Ok(())
    }

    pub(super) fn open_link(
        &mut self,
        now: Instant,
        link: ConnectionId,
        protocol: Protocol,
        remote: Vec<IpAddr>,
        up: bool,
    ) {
        let messages = TokenBucket::new(self.enrp.config.messages_per_second, now);
        let (peer, next_generation, explained) = (None, false, false);
        self.enrp
            .links
            .insert(link, Link { up, protocol, remote, peer, next_generation, explained, messages });
        self.set_timer(Timer::Link(link), now + self.config.profile.peer_no_response);
    }

    /// Connects to everybody who is not connected and may be tried again, and sees when to look next.
    pub(super) fn reconnect(&mut self, now: Instant) {
        self.enrp.targets.retain(|target| target.configured || target.forget_at.is_none_or(|at| at > now));
        for index in 0..self.enrp.targets.len() {
            self.connect_target(now, index);
        }
        self.look_up_unknown(now);
        let waiting = self.enrp.targets.iter().filter(|target| self.is_wanted(target));
        let next = waiting.filter_map(|target| target.not_before).chain(self.next_lookup()).min();
        match next {
            Some(at) => self.set_timer(Timer::Reconnect, at),
            None => self.stop_timer(Timer::Reconnect),
        }
    }

    fn is_wanted(&self, target: &Target) -> bool {
        let connected = |id| self.enrp.peers.get(&id).is_some_and(|peer| peer.via.is_some());
        let connected = target.id.is_some_and(connected);
        !self.enrp.leaving && !target.own && target.link.is_none() && !connected
    }

    fn connect_target(&mut self, now: Instant, index: usize) {
        let target = &self.enrp.targets[index];
        if !self.is_wanted(target) || target.not_before.is_some_and(|at| at > now) {
            return;
        }
        let address = target.addresses[target.turn % target.addresses.len()];
        let profile = &self.config.profile;
        let wait = profile.peer_retry * 2_u32.saturating_pow(target.failures.min(10));
        let wait = self.random.jitter(wait.min(profile.peer_retry_max), profile.jitter_percent);
        let connection = self.new_connection();
        let target = &mut self.enrp.targets[index];
        target.link = Some(connection);
        target.failures = target.failures.saturating_add(1);
        target.turn = target.turn.wrapping_add(1);
        target.not_before = Some(now + wait);
        if let Some(name) = target.name {
            self.look_up(now, name);
        }
        self.enrp.counters.connects += 1;
        self.open_link(now, connection, address.protocol, vec![address.ip], false);
        let protocol = ControlProtocol::Enrp;
        self.outputs.push_back(Output::Connect { connection, protocol, address });
    }

    pub(super) fn link_up(&mut self, now: Instant, connection: ConnectionId, remote: Remote) {
        let Some(link) = self.enrp.links.get_mut(&connection) else { return };
        link.up = true;
        if !remote.addresses.is_empty() {
            link.remote = remote.addresses;
        }
        self.set_timer(Timer::Link(connection), now + self.config.profile.peer_no_response);
        // Whom we were told is there is believed to be there, so that it hears what all hear.
        let target = self.enrp.targets.iter().find(|target| target.link == Some(connection));
        let expected = target.and_then(|target| target.id).filter(|id| self.enrp.peers.contains_key(id));
        let to = expected.unwrap_or(RegistrarId::UNDETERMINED);
        // The next generation is offered, whatever was told over an earlier connection.
        let presence = self.presence(RegistrarId::UNDETERMINED, true);
        self.send_over(connection, to, presence.into());
    }

    pub(super) fn link_timed_out(&mut self, now: Instant, connection: ConnectionId) {
        self.close_link(now, connection);
    }

    pub(super) fn close_link(&mut self, now: Instant, connection: ConnectionId) {
        if self.enrp.links.contains_key(&connection) {
            self.outputs.push_back(Output::Disconnect { connection });
            self.link_lost(now, connection);
        }
    }

    /// Ends all connections with a peer.
    pub(super) fn close_links_of(&mut self, now: Instant, id: RegistrarId) {
        let of_peer =
            |(&connection, link): (&ConnectionId, &Link)| (link.peer == Some(id)).then_some(connection);
        let links: Vec<ConnectionId> = self.enrp.links.iter().filter_map(of_peer).collect();
        for connection in links {
            self.close_link(now, connection);
        }
    }

    /// A connection is gone, or never came up.
    pub(in super::super) fn link_lost(&mut self, now: Instant, connection: ConnectionId) {
        let Some(link) = self.enrp.links.remove(&connection) else { return };
        self.stop_timer(Timer::Link(connection));
        for target in self.enrp.targets.iter_mut().filter(|target| target.link == Some(connection)) {
            target.link = None;
            // No path over SCTP may have one over TCP, and that is tried at once.
            let next = target.addresses[target.turn % target.addresses.len()].protocol;
            if !link.up && link.protocol == Protocol::Sctp && next == Protocol::Tcp {
                target.not_before = Some(now);
            }
        }
        if let Some(id) = link.peer {
            let other =
                |(&other, link): (&ConnectionId, &Link)| (link.peer == Some(id) && link.up).then_some(other);
            let via = self.enrp.links.iter().find_map(other);
            if let Some(peer) = self.enrp.peers.get_mut(&id) {
                peer.missed = true;
                if peer.via == Some(connection) {
                    peer.via = via;
                    if via.is_none() {
                        self.peer_disconnected(now, id);
                    }
                }
            }
        }
        self.reconnect(now);
    }

    /// Sees who speaks over a connection; returns whether he may.
    pub(super) fn bind(&mut self, now: Instant, connection: ConnectionId, sender: RegistrarId) -> bool {
        let Some(link) = self.enrp.links.get(&connection) else { return false };
        if let Some(bound) = link.peer {
            if bound != sender {
                self.refuse(Refusal::WrongSender, Some(connection));
            } else {
                self.heard(now, sender);
            }
            return bound == sender;
        }
        if let Err(refusal) = self.may_bind(connection, sender) {
            self.refuse(refusal, Some(connection));
            if sender == self.id {
                self.hear_our_id(now, connection);
                self.found_ourselves(connection);
            } else {
                self.explain(now, connection, refusal);
            }
            self.close_link(now, connection);
            return false;
        }
        self.bound(now, connection, sender);
        true
    }

    fn may_bind(&self, connection: ConnectionId, sender: RegistrarId) -> Result<(), Refusal> {
        if sender == RegistrarId::UNDETERMINED {
            return Err(Refusal::WrongSender);
        }
        if sender == self.id {
            return Err(Refusal::IdConflict);
        }
        if !self.enrp.peers.contains_key(&sender) {
            let full = self.enrp.peers.len() >= self.enrp.config.max_peers;
            return if full { Err(Refusal::TooMany) } else { Ok(()) };
        }
        let links = self.enrp.links.values().filter(|link| link.peer == Some(sender)).count();
        if links >= LINKS_PER_PEER {
            return Err(Refusal::TooMany);
        }
        if self.is_where_it_was(connection, sender) { Ok(()) } else { Err(Refusal::IdConflict) }
    }

    fn bound(&mut self, now: Instant, connection: ConnectionId, sender: RegistrarId) {
        let holding = self.owned(sender) > 0;
        let peer = self.enrp.peers.entry(sender).or_default();
        // What others told us of its elements may be old, and so may what it told over another connection.
        peer.missed |= holding || peer.via.is_some();
        peer.via = Some(connection);
        if let Some(link) = self.enrp.links.get_mut(&connection) {
            link.peer = Some(sender);
            peer.next_generation |= link.next_generation;
        }
        self.stop_timer(Timer::Link(connection));
        if let Some(target) = self.enrp.targets.iter_mut().find(|target| target.link == Some(connection)) {
            target.id = Some(sender);
            (target.failures, target.turn, target.closed) = (0, 0, 0);
            target.forget_at = None;
        }
        self.heard(now, sender);
        self.resend_takeovers(sender);
        self.found_mentor(now, sender);
    }

    /// A configured address is our own: it is not looked for again. Where the accepting end hears us first, the other
    /// one is closed and hears nothing: its address tells.
    fn found_ourselves(&mut self, connection: ConnectionId) {
        let (targets, config) = (&mut self.enrp.targets, &self.enrp.config);
        let connected = targets.iter().any(|target| target.link == Some(connection));
        for target in targets.iter_mut().filter(|target| target.link.is_some()) {
            target.own |= if connected {
                target.link == Some(connection)
            } else {
                target.addresses.iter().any(|address| config.is_own(address))
            };
        }
    }

    /// A peer told where it is.
    pub(super) fn learn(&mut self, now: Instant, id: RegistrarId, information: &ServerInformation) {
        let addresses = self.enrp.config.endpoints(information);
        if addresses.is_empty() || id == self.id {
            return;
        }
        // Whether in UDP or native: it is the same endpoint.
        let same = |known: &RegistrarAddress, told: &RegistrarAddress| {
            (known.protocol, known.ip.to_canonical(), known.port)
                == (told.protocol, told.ip.to_canonical(), told.port)
        };
        let shares = |target: &Target| {
            target.addresses.iter().any(|known| addresses.iter().any(|told| same(known, told)))
        };
        let known = |target: &Target| target.id == Some(id) || shares(target);
        if let Some(at) = self.enrp.targets.iter().position(known) {
            // A name has all addresses of a registrar: one connection is enough.
            for target in self.enrp.targets.iter_mut().filter(|target| target.name.is_some()) {
                if target.id.is_none() && target.link.is_none() && shares(target) {
                    target.id = Some(id);
                }
            }
            let target = &mut self.enrp.targets[at];
            target.id = Some(id);
            target.forget_at = None;
            let secured = target.addresses.iter().any(|known| known.secured);
            for address in addresses {
                let room = target.addresses.len() < MAX_TARGET_ADDRESSES;
                // Where TLS is used, nothing less is (RFC 5355 threat 9).
                let downgrade = secured && !address.secured;
                if room && !downgrade && !target.addresses.contains(&address) {
                    target.addresses.push(address);
                }
            }
            // SCTP comes first; what is configured stays in its order.
            if !target.configured {
                target.addresses.sort_by_key(|address| address.protocol != Protocol::Sctp);
            }
            return;
        }
        if self.enrp.targets.len() >= self.enrp.config.max_peers * 2 {
            return;
        }
        let connected = self.enrp.peers.get(&id).is_some_and(|peer| peer.via.is_some());
        self.enrp.targets.push(Target {
            addresses,
            turn: 0,
            configured: false,
            name: None,
            id: Some(id),
            link: None,
            failures: 0,
            not_before: Some(now),
            own: false,
            forget_at: (!connected).then(|| now + FORGET),
            closed: 0,
            told: None,
        });
    }

    /// A peer is gone: where it was somebody may come again, under another identifier.
    pub(super) fn unlearn(&mut self, now: Instant, id: RegistrarId) {
        for target in self.enrp.targets.iter_mut().filter(|target| target.id == Some(id)) {
            target.id = None;
            target.forget_at = Some(now + FORGET);
        }
    }

    /// Looks for a peer at once, as it is missed.
    pub(super) fn hurry(&mut self, now: Instant, id: RegistrarId) {
        for target in self.enrp.targets.iter_mut().filter(|target| target.id == Some(id)) {
            target.failures = 0;
            target.not_before = Some(now);
        }
        self.reconnect(now);
    }

    /// Somebody announced himself by multicast.
    pub(super) fn announced(
        &mut self,
        now: Instant,
        from: SocketAddr,
        sender: RegistrarId,
        presence: &Presence,
    ) {
        if sender == self.id || sender == RegistrarId::UNDETERMINED {
            return;
        }
        if !self.enrp.config.allows(from.ip()) {
            self.refuse(Refusal::Stranger, None);
            return self.look_up_for_stranger(now);
        }
        let Some(information) = &presence.information else { return };
        if information.registrar == sender && self.contradicts(information) {
            return self.refuse(Refusal::IdConflict, None);
        }
        // The reference implementation means the source address and the port it tells.
        let mut information = information.clone();
        let addresses = &mut information.transport.addresses;
        addresses.retain(|address| !same(*address, from.ip()));
        addresses.insert(0, from.ip());
        self.learn(now, sender, &information);
        self.reconnect(now);
    }

    pub(super) fn send_error(&mut self, connection: ConnectionId, causes: Vec<ErrorCause>) {
        let to = self.enrp.links.get(&connection).and_then(|link| link.peer);
        for cause in &causes {
            *self.enrp.counters.causes.entry(cause.code).or_insert(0) += 1;
        }
        let error = EnrpError { causes, unknown: vec![] };
        self.send_over(connection, to.unwrap_or(RegistrarId::UNDETERMINED), error.into());
    }

    /// An error is only counted, and shows the reference implementation by its private causes.
    pub(super) fn handle_enrp_error(&mut self, sender: RegistrarId, error: &EnrpError) {
        for cause in &error.causes {
            *self.enrp.counters.causes_received.entry(cause.code.label()).or_insert(0) += 1;
        }
        if error.causes.iter().any(|cause| cause.code.0 >= 0x10)
            && let Some(peer) = self.enrp.peers.get_mut(&sender)
        {
            peer.is_reference = true;
        }
        self.event(Event::PeerError { peer: sender, causes: error.causes.clone() });
    }
}

fn same(one: IpAddr, other: IpAddr) -> bool {
    one.to_canonical() == other.to_canonical()
}
