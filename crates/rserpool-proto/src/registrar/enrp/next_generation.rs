//! The next generation among registrars (docs/wire.md sections 15 to 18): to whom it is told, and who has an
//! identifier by right.
//!
//! Who connects offers it in its first presence. From then on it is told to those who told some of it in their last
//! presence, and everybody else gets the messages of RFC 5353 and nothing more.
//!
//! Of two registrars with one short identifier the second is refused, if both told long ones that differ and no
//! place in common; at the same place it is a restart. The same long identifier elsewhere is a move, unless the one
//! that has it answers when it is asked.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::super::{Event, Registrar};
use super::{Link, PeerState, Refusal};
use crate::wire::ParameterType;
use crate::wire::enrp::presence::Presence;
use crate::wire::param::long_registrar_identifier::LongRegistrarId;
use crate::wire::param::pe_checksum32::PeChecksum32;
use crate::wire::param::registrar_tcp::RegistrarTcp;
use crate::wire::param::server_information::ServerInformation;
use crate::{ConnectionId, Protocol, RegistrarId};

/// Octets of parameters that are kept of a server information and passed on, beside its SCTP transport.
const MAX_KEPT: usize = 1_024;

/// SCTP addresses that are kept of a server information.
const MAX_ADDRESSES: usize = 16;

/// A conflict of one identifier is told once in this time.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// An answer to the question whether a registrar still lives where it was counts for so long.
const ASKED_FOR: Duration = Duration::from_secs(10);

/// An endpoint: protocol, address and port.
type Place = (Protocol, IpAddr, u16);

/// What is remembered of others that told an identifier somebody has.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// When the owner was told last.
    told: Option<Instant>,
    /// When who has it was asked whether it lives, as the same one had come from elsewhere.
    asked: Option<Instant>,
}

impl Rivals {
    /// Whether the owner is to be told again.
    fn tell(&mut self, now: Instant) -> bool {
        let due = self.told.is_none_or(|told| now >= told + TOLD_AGAIN);
        if due {
            self.told = Some(now);
        }
        due
    }
}

impl Registrar {
    /// Our long identifier, where the next generation is told.
    pub fn long_id(&self) -> Option<LongRegistrarId> {
        self.enrp.config.next_generation.then_some(self.enrp.long)
    }

    /// Whether it is told to this registrar; to one we do not know yet it is offered.
    pub(super) fn tells_next_generation(&self, to: RegistrarId) -> bool {
        let tells = |to| self.enrp.peers.get(&to).is_some_and(|peer| peer.next_generation);
        self.enrp.config.next_generation && (to == RegistrarId::UNDETERMINED || tells(to))
    }

    /// Our server information, as this registrar is told it.
    pub(super) fn information_for(&self, to: RegistrarId) -> Option<ServerInformation> {
        let long = Some(self.enrp.long).filter(|_| self.tells_next_generation(to));
        self.enrp.config.information(self.id, long)
    }

    /// Our 32-bit checksum, if this registrar is told it; not while elements drain of which it is told that they left.
    pub(super) fn checksum32_for(&self, to: RegistrarId) -> Option<PeChecksum32> {
        let tells =
            self.tells_next_generation(to) && self.checksum_for(to) == self.handlespace.checksum(self.id);
        tells.then(|| PeChecksum32(self.handlespace.checksum32(self.id)))
    }

    /// Sees whether a presence tells of the next generation, before anything is answered, and whether it comes from
    /// who has its identifier; otherwise it is refused. Returns whether it is to be heard.
    pub(super) fn read_next_generation(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        sender: RegistrarId,
        presence: &Presence,
    ) -> bool {
        if let Some(link) = self.enrp.links.get_mut(&connection) {
            link.next_generation = is_told(presence);
        }
        let told = presence.information.as_ref().filter(|told| told.registrar == sender);
        let Some(told) = told.filter(|_| self.enrp.config.next_generation) else { return true };
        if lies(told) {
            self.refuse(Refusal::LongIdentifier, Some(connection));
            return false;
        }
        let conflict = self.contradicts(told) || !self.may_be_elsewhere(now, connection, told);
        if conflict {
            self.conflict(now, Some(connection), told);
            self.explain(now, connection, Refusal::IdConflict);
            self.close_link(now, connection);
        }
        !conflict
    }

    /// Whether this is told of another registrar than the one that has the identifier.
    pub(super) fn contradicts(&self, told: &ServerInformation) -> bool {
        if !self.enrp.config.next_generation {
            return false;
        }
        let Some(holder) = self.holder(told.registrar) else { return false };
        let (Some(long), Some(held)) = (long_id(told), long_id(&holder)) else { return false };
        let ours = told.registrar == self.id;
        held != long && (ours || !share_a_place(told, &holder))
    }

    /// What who has an identifier told of itself, or somebody else of it.
    fn holder(&self, id: RegistrarId) -> Option<ServerInformation> {
        match id == self.id {
            true => self.enrp.config.information(id, Some(self.enrp.long)),
            false => self.enrp.peers.get(&id)?.information.clone(),
        }
    }

    /// A registrar that is connected from elsewhere as well, with the same long identifier: the known one is asked
    /// and the new one sent away. If it comes again and the known one has not answered, it has moved.
    fn may_be_elsewhere(&mut self, now: Instant, connection: ConnectionId, told: &ServerInformation) -> bool {
        let id = told.registrar;
        if id == self.id || self.is_where_it_was(connection, id) {
            return true;
        }
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return true };
        let held = peer.information.as_ref().and_then(long_id);
        if held.is_none() || held != long_id(told) {
            return true;
        }
        let asked = peer.rivals.asked.filter(|&asked| now < asked + ASKED_FOR);
        let Some(asked) = asked else {
            peer.rivals.asked = Some(now);
            let question = self.presence(id, true);
            self.tell_peer(id, question);
            // Binding refuses it, as it is elsewhere, and nobody is told.
            return true;
        };
        if peer.last_heard.is_some_and(|heard| heard > asked) {
            return false;
        }
        peer.rivals.asked = None;
        self.close_links_of(now, id);
        true
    }

    /// Whether a connection may be one of a registrar that is connected already: it comes from an address of it.
    pub(super) fn is_where_it_was(&self, connection: ConnectionId, id: RegistrarId) -> bool {
        let links = &self.enrp.links;
        let (Some(peer), Some(link)) = (self.enrp.peers.get(&id), links.get(&connection)) else {
            return true;
        };
        if peer.via.is_none() || peer.state != PeerState::Active || link.peer == Some(id) {
            return true;
        }
        let known = peer.via.and_then(|via| links.get(&via)).into_iter().flat_map(|link: &Link| &link.remote);
        let told = peer.information.iter().flat_map(places).map(|(_, ip, _)| ip);
        let mut known = known.copied().chain(told).map(|ip| ip.to_canonical());
        known.any(|known| link.remote.iter().any(|here| here.to_canonical() == known))
    }

    /// Tells the owner, not too often, and counts.
    pub(super) fn conflict(
        &mut self,
        now: Instant,
        from: Option<ConnectionId>,
        newcomer: &ServerInformation,
    ) {
        self.refuse(Refusal::IdConflict, from);
        let id = newcomer.registrar;
        let Some(holder) = self.holder(id) else { return };
        let rivals = match self.enrp.peers.get_mut(&id) {
            Some(peer) => &mut peer.rivals,
            None => &mut self.enrp.rivals,
        };
        let due = rivals.tell(now);
        let (Some(holder_id), Some(newcomer_id)) = (long_id(&holder), long_id(newcomer)) else { return };
        if due {
            let [holder_at, newcomer_at] =
                [&holder, newcomer].map(|told| self.enrp.config.told_endpoints(told));
            let ours = id == self.id;
            self.event(Event::IdConflict {
                holder: holder_id,
                ours,
                holder_at,
                newcomer: newcomer_id,
                newcomer_at,
                from,
            });
        }
    }
}

/// Whether a presence tells anything of the next generation.
pub(super) fn is_told(presence: &Presence) -> bool {
    let information = presence.information.iter().flat_map(|information| &information.unknown);
    presence.unknown.iter().chain(information).any(|parameter| is_of_it(parameter.kind))
}

/// Whether a parameter of a presence or of a server information is one of the next generation.
fn is_of_it(kind: ParameterType) -> bool {
    [ParameterType::REGISTRAR_TCP, ParameterType::PE_CHECKSUM_32, ParameterType::LONG_REGISTRAR_IDENTIFIER]
        .contains(&kind)
}

/// The long identifier in a server information; a malformed one is as good as none.
pub(super) fn long_id(told: &ServerInformation) -> Option<LongRegistrarId> {
    LongRegistrarId::find(&told.unknown).ok().flatten()
}

/// Whether the long identifier is not one of the short one beside it.
pub(super) fn lies(told: &ServerInformation) -> bool {
    long_id(told).is_some_and(|long| long.short() != told.registrar)
}

/// Where a registrar can be, by what it tells.
fn places(told: &ServerInformation) -> Vec<Place> {
    let sctp = &told.transport;
    let sctp = sctp.addresses.iter().map(|ip| (Protocol::Sctp, ip.to_canonical(), sctp.port));
    let tcp = RegistrarTcp::all(&told.unknown).into_iter().map(|tcp| tcp.address);
    let tcp = tcp.map(|address| (Protocol::Tcp, address.ip().to_canonical(), address.port()));
    sctp.chain(tcp).collect()
}

fn share_a_place(one: &ServerInformation, other: &ServerInformation) -> bool {
    let other = places(other);
    places(one).iter().any(|place| place.2 != 0 && other.contains(place))
}

/// A server information as it is kept and passed on: bounded, whatever it brought.
pub(super) fn bounded(mut told: ServerInformation) -> ServerInformation {
    told.transport.addresses.truncate(MAX_ADDRESSES);
    told.transport.unknown.clear();
    let mut octets = 0;
    told.unknown.retain(|parameter| {
        octets += parameter.value.len() + 4;
        octets <= MAX_KEPT
    });
    told
}

/// A server information as somebody is told it who told nothing of the next generation; `None` for a registrar that
/// can only be reached by what it would not read.
pub(super) fn without_it(mut told: ServerInformation) -> Option<ServerInformation> {
    told.unknown.retain(|parameter| !is_of_it(parameter.kind));
    (told.transport.port != 0).then_some(told)
}
