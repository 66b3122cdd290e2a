//! Presence, heartbeat, and who has fallen silent (RFC 5353 sections 2.1 and 3.4).
//!
//! Timers: PEER-HEARTBEAT-CYCLE, MAX-TIME-LAST-HEARD, MAX-TIME-NO-RESPONSE (section 4.2). Any message of a peer
//! counts as heard (section 3.4.3; the reference implementation counts presences only).

use std::time::Instant;

use super::super::{Event, Registrar};
use super::{Abandoned, Peer, PeerState, Timer, next_generation};
use crate::wire::enrp::Message;
use crate::wire::enrp::presence::Presence;
use crate::wire::param::draining;
use crate::wire::param::pe_checksum::PeChecksum;
use crate::wire::param::pe_checksum32::PeChecksum32;
use crate::{ControlProtocol, Output, RegistrarId};

impl Registrar {
    /// Our presence, as this registrar is told it, or somebody not known yet; with checksum and server information
    /// always, as the reference implementation refuses others.
    pub(super) fn presence(&self, to: RegistrarId, reply_required: bool) -> Presence {
        Presence {
            reply_required,
            checksum: Some(self.handlespace.checksum(self.id)),
            information: self.information_for(to),
            unknown: self
                .checksum32_for(to)
                .map(PeChecksum32::to_parameter)
                .into_iter()
                .chain([draining::mark()])
                .collect(),
        }
    }

    /// The checksum over the elements of ours that this peer is told of.
    pub(super) fn checksum_for(&self, to: RegistrarId) -> PeChecksum {
        let own = self.handlespace.checksum(self.id);
        let knows = self.enrp.peers.get(&to).is_some_and(|peer| peer.knows_draining);
        if knows || self.handlespace.pools().all(|(_, pool)| pool.draining() == 0) {
            return own;
        }
        let told =
            self.handlespace.owned_by(self.id).filter(|(_, element)| !self.is_hidden_from(to, element));
        super::table::checksum(told.map(|(pool, element)| (pool.clone(), element.pe)))
    }

    pub(super) fn heartbeat(&mut self, now: Instant) {
        let cycle = self.config.profile.peer_heartbeat;
        // Only earlier, never later: a peer counts the missing ones.
        let spread = self.random.jitter(cycle, self.config.profile.jitter_percent.min(20)).min(cycle);
        self.set_timer(Timer::Heartbeat, now + spread);
        if self.enrp.leaving {
            return;
        }
        self.announce_presence();
        self.ask_list_late();
    }

    /// Tells every peer that we live.
    pub(super) fn announce_presence(&mut self) {
        for to in self.connected_peers() {
            let presence = self.presence(to, false);
            self.tell_peer(to, presence);
        }
        if self.enrp.config.multicast {
            let receiver = RegistrarId::UNDETERMINED;
            let presence = self.presence(receiver, false);
            let message = Message { sender: self.id, receiver, body: presence.into() };
            if let Ok(octets) = message.to_octets() {
                *self.enrp.counters.sent.entry(message.body.message_type()).or_insert(0) += 1;
                self.outputs.push_back(Output::Announce { protocol: ControlProtocol::Enrp, octets });
            }
        }
    }

    pub(super) fn handle_presence(&mut self, now: Instant, sender: RegistrarId, presence: Presence) {
        let Some(peer) = self.enrp.peers.get_mut(&sender) else { return };
        let new = !std::mem::replace(&mut peer.introduced, true);
        peer.knows_draining = draining::is_marked(&presence.unknown);
        peer.next_generation = next_generation::is_told(&presence);
        // A server information of somebody else says nothing about the sender.
        if let Some(told) = presence.information.filter(|told| told.registrar == sender) {
            peer.information = Some(next_generation::bounded(told.clone()));
            self.learn(now, sender, &told);
        }
        if new {
            self.event(Event::PeerJoined { peer: sender });
        }
        if new || presence.reply_required {
            let answer = self.presence(sender, new);
            self.tell_peer(sender, answer);
        }
        match presence.checksum {
            Some(checksum) => {
                // A malformed one is as good as none. It counts only between two that both tell it.
                let checksum32 = PeChecksum32::find(&presence.unknown).ok().flatten();
                let checksum32 = checksum32.filter(|_| self.tells_next_generation(sender));
                self.compare_checksum(now, sender, checksum, checksum32);
            }
            None => self.catch_up(now, sender),
        }
    }

    /// Something came from a peer: it lives.
    pub(super) fn heard(&mut self, now: Instant, id: RegistrarId) {
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        peer.last_heard = Some(now);
        let before = std::mem::replace(&mut peer.state, PeerState::Active);
        peer.takers.clear();
        peer.conceded = None;
        self.stop_timer(Timer::NoResponse(id));
        self.set_timer(Timer::Silent(id), now + self.config.profile.peer_last_heard);
        match before {
            PeerState::Suspect | PeerState::Dead => {
                self.target_lives(id);
                self.event(Event::PeerRecovered { peer: id });
            }
            PeerState::Unheard | PeerState::Active => {}
        }
    }

    /// A peer was not heard for too long: it is asked.
    pub(super) fn peer_silent(&mut self, now: Instant, id: RegistrarId) {
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        if matches!(peer.state, PeerState::Suspect | PeerState::Dead) {
            return;
        }
        peer.state = PeerState::Suspect;
        self.stop_timer(Timer::Silent(id));
        let answered = now + self.config.profile.peer_no_response;
        let answered = self.enrp.lenient_until.map_or(answered, |lenient| lenient.max(answered));
        self.set_timer(Timer::NoResponse(id), answered);
        self.event(Event::PeerSuspect { peer: id });
        let question = self.presence(id, true);
        if !self.tell_peer(id, question) {
            self.hurry(now, id);
        }
    }

    /// We were stopped: everybody has the whole time again to be connected and heard, and what was agreed on
    /// before counts no more.
    pub(in super::super) fn be_lenient_with_peers(&mut self, now: Instant) {
        let lenient = now + self.config.profile.peer_last_heard + self.config.profile.peer_no_response;
        self.enrp.lenient_until = Some(lenient);
        let silent = |(_, peer): &(&RegistrarId, &mut Peer)| {
            matches!(peer.state, PeerState::Suspect | PeerState::Dead)
        };
        let mut waiting = Vec::new();
        for (&id, peer) in self.enrp.peers.iter_mut().filter(silent) {
            peer.state = PeerState::Suspect;
            peer.conceded = None;
            peer.takers.clear();
            waiting.push(id);
        }
        for id in waiting {
            self.abandon_takeover(id, Abandoned::Stopped);
            self.set_timer(Timer::NoResponse(id), lenient);
        }
    }

    /// The last connection with a peer is lost: it is looked for, and has to answer in time.
    pub(super) fn peer_disconnected(&mut self, now: Instant, id: RegistrarId) {
        self.enrp.sessions.retain(|(peer, _), _| *peer != id);
        self.stop_timer(Timer::Session(id, true));
        self.stop_timer(Timer::Session(id, false));
        self.abort_download(id);
        self.mentor_lost(now, id);
        self.peer_silent(now, id);
    }

    /// A peer did not answer.
    pub(super) fn peer_dead(&mut self, now: Instant, id: RegistrarId) {
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        if peer.state == PeerState::Active {
            return;
        }
        peer.state = PeerState::Dead;
        // What it says of elements when it is back is old.
        self.settle_claims(now, id);
        self.event(Event::PeerLost { peer: id, elements: self.owned(id) });
        self.abort_download(id);
        self.mentor_lost(now, id);
        self.nobody_waits_for(now, id);
        if self.owned(id) == 0 && self.is_forgettable(id) {
            return self.forget_peer(now, id);
        }
        if !self.agree_to_takeover(now, id) {
            self.begin_takeover(now, id);
        }
    }

    /// Nobody waits for our agreement to its takeover.
    fn is_forgettable(&self, id: RegistrarId) -> bool {
        self.enrp.peers.get(&id).is_none_or(|peer| peer.takers.is_empty())
    }
}
