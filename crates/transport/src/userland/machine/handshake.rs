//! The handshake from the listener's side (RFC 9260 section 5.1): nothing is kept of an INIT; an
//! association comes to be with a COOKIE ECHO whose cookie is ours and fresh.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dcsctp::api::{DcSctpSocket, Socket, SocketEvent};

use super::Machine;
use super::cookie::{self, Rejected};
use super::packet::{self, Chunk, Header};
use super::peer::Stage;

impl Machine {
    pub(super) fn init(
        &mut self,
        from: SocketAddr,
        header: Header,
        octets: &[u8],
        init: Chunk<'_>,
        id: Option<u64>,
        now: Instant,
    ) {
        // RFC 9260 section 8.5.1, rule A: tag 0, and alone. Section 3.3.2: the initiate tag is not 0.
        let initiate_tag = packet::u32_at(init.value, 0).unwrap_or(0);
        if header.tag != 0 || init.end() < octets.len() || initiate_tag == 0 || header.source == 0 {
            return self.counters.bad_tag.one();
        }
        let listens = self.listeners.contains_key(&header.destination);
        if id.is_none() && !listens {
            self.counters.out_of_the_blue.one();
            let answer = packet::abort(header.answer(initiate_tag), false);
            return self.answer(from, answer, now);
        }
        if let Err(error) = self.seed_tags() {
            return tracing::error!(%error, "no randomness: INIT not answered");
        }
        self.counters.inits_answered.one();
        if let Some(peer) = id.and_then(|id| self.peers.get_mut(&id)) {
            peer.handshake(octets, now);
            self.touched.extend(id);
            return;
        }
        // Nothing is kept: the answer comes from a socket that is thrown away.
        let mtu = self.config.packet_length(None);
        let options = self.config.options(header.destination, header.source, mtu);
        let mut throwaway = Socket::new("", &options);
        throwaway.handle_input(octets);
        while let Some(event) = throwaway.poll_event() {
            if let SocketEvent::SendPacket(packet) = event {
                self.out.push(from, packet, now);
            }
        }
    }

    pub(super) fn cookie_echo(
        &mut self,
        from: SocketAddr,
        header: Header,
        octets: &[u8],
        id: Option<u64>,
        now: Instant,
    ) {
        let mut stripped = std::mem::take(&mut self.scratch);
        match self.out.key.unwrap(octets, from, now - self.out.start, &mut stripped) {
            Ok(()) => self.cookie(from, header, &stripped, id, now),
            Err(Rejected::Stale(by)) => {
                self.counters.cookies_stale.one();
                self.stale(from, header, octets, by, now);
            }
            Err(Rejected::Malformed | Rejected::Forged) => self.counters.cookies_rejected.one(),
        }
        self.scratch = stripped;
    }

    /// A COOKIE ECHO whose cookie is ours and fresh: only here an association comes to be.
    fn cookie(&mut self, from: SocketAddr, header: Header, octets: &[u8], id: Option<u64>, now: Instant) {
        if self.seed_tags().is_err() {
            return;
        }
        if let Some(peer) = id.and_then(|id| self.peers.get_mut(&id)) {
            let tag = peer.verification_tag();
            peer.cookie(octets, now);
            if peer.verification_tag() != tag {
                self.counters.restarts.one();
            }
            self.touched.extend(id);
            return;
        }
        let Some(incoming) = self.listeners.get(&header.destination) else {
            self.counters.out_of_the_blue.one();
            return self.answer(from, packet::abort(header.answer(header.tag), true), now);
        };
        let with_address = self.by_address.get(&from.ip()).map_or(0, Vec::len);
        let room =
            self.peers.len() < self.config.max_associations && with_address < self.config.max_per_address;
        // The peer repeats its COOKIE ECHO: a full backlog only delays it.
        let Some(permit) = incoming.clone().try_reserve_owned().ok().filter(|_| room) else {
            return self.counters.handshakes_refused.one();
        };
        let ports = (header.destination, header.source);
        let id = self.add(from, ports, Stage::Accepting(permit), now);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.cookie(octets, now);
        if peer.verification_tag() == 0 {
            // The cookie was ours, but the packet's tag was not the cookie's.
            self.counters.bad_tag.one();
            self.remove(id);
            return;
        }
        self.counters.accepted.one();
        self.touched.push(id);
    }

    /// RFC 9260 section 5.2.6: tells the peer by how much its cookie was late.
    fn stale(&mut self, from: SocketAddr, header: Header, octets: &[u8], by: Duration, now: Instant) {
        // The peer's tag stands in dcsctp's cookie, after its magic; its MAC was right.
        let Some(peer_tag) = packet::u32_at(octets, packet::HEADER + 4 + cookie::ENVELOPE + 8) else {
            return;
        };
        let staleness = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        self.answer(from, packet::stale_cookie(header.answer(peer_tag), staleness), now);
    }
}
