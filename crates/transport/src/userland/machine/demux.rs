//! Which association a datagram, or an ICMP message, is about.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::packet::{self, Header, chunk};
use super::{Machine, crc32c};

/// Longer packets can only come over a link whose offloads hand on what was never on a wire.
const LONGEST_ON_ETHERNET: usize = 1_500;

/// How long nothing more is said about them.
const EXPLAIN_AGAIN: Duration = Duration::from_secs(60);

/// What the network says about a datagram sent.
#[derive(Clone, Copy, Debug)]
pub struct NetworkError<'a> {
    /// Where the datagram went.
    pub destination: SocketAddr,
    /// Port unreachable; false for everything else (host unreachable, too big …).
    pub port_unreachable: bool,
    /// How the datagram began.
    pub quote: &'a [u8],
}

impl Machine {
    /// A UDP datagram arrived.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, octets: &[u8]) {
        let (Some(header), Some(first)) = (Header::read(octets), packet::chunks(octets).next()) else {
            return self.counters.malformed.one();
        };
        if !crc32c::verify(octets) {
            self.counters.crc_failures.one();
            if octets.len() > LONGEST_ON_ETHERNET {
                self.counters.crc_failures_large.one();
                self.explain_large_failures(now, from, octets.len());
            }
            return;
        }
        let key = (from, header.destination, header.source);
        let id = self.by_key.get(&key).copied();
        match first.kind {
            chunk::INIT => self.init(from, header, octets, first, id, now),
            chunk::COOKIE_ECHO => self.cookie_echo(from, header, octets, id, now),
            _ => match id.or_else(|| self.moved(from, header, octets)) {
                Some(id) => self.packet(id, from, header, octets, now),
                None => self.out_of_the_blue(from, header, octets, first, now),
            },
        }
    }

    /// An ICMP message arrived about a datagram sent: a hint, believed only if it quotes a packet of an
    /// association (RFC 9260 section 10).
    pub fn handle_network_error(&mut self, now: Instant, error: NetworkError<'_>) {
        let peer = Header::read(error.quote).filter(|_| error.port_unreachable).and_then(|header| {
            let key = (error.destination, header.source, header.destination);
            let id = *self.by_key.get(&key)?;
            let peer = self.peers.get_mut(&id).filter(|peer| peer.sent(error.quote, header))?;
            Some((id, peer))
        });
        let Some((id, peer)) = peer else {
            return self.counters.icmp_ignored.one();
        };
        self.counters.icmp.one();
        peer.unreachable(now, &self.config.profile);
        self.touched.push(id);
    }

    /// Says, once in a while, what makes long packets fail and how to end it.
    fn explain_large_failures(&mut self, now: Instant, from: SocketAddr, octets: usize) {
        if self.explained.is_some_and(|then| now - then < EXPLAIN_AGAIN) {
            return;
        }
        self.explained = Some(now);
        tracing::warn!(
            %from,
            octets,
            failures = self.counters.snapshot().crc_failures_large,
            "packets longer than an Ethernet's MTU have a wrong CRC32c: offloads of a virtual link hand on what \
             was never on a wire; on the sender's host: ethtool -K DEV tx-sctp-segmentation off gso off gro off"
        );
    }

    /// A packet for an association: acts only with the right tag.
    fn packet(&mut self, id: u64, from: SocketAddr, header: Header, octets: &[u8], now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.tag_is_right(octets, header) {
            self.counters.bad_tag.one();
            if peer.is_connecting() && packet::has(octets, chunk::SHUTDOWN_ACK) {
                // RFC 9260 section 8.5.1, rule E: of an earlier association, as if out of the blue.
                let answer = packet::shutdown_complete(header.answer(header.tag));
                self.answer(from, answer, now);
            }
            return;
        }
        if peer.remote != from {
            self.by_key.remove(&(peer.remote, peer.ports.0, peer.ports.1));
            self.by_key.insert((from, peer.ports.0, peer.ports.1), id);
            peer.remote = from;
            peer.link.move_peer(peer.address());
            self.counters.rebinds.one();
        }
        peer.input(octets, now);
        self.touched.push(id);
    }

    /// The association of a packet that comes from another UDP port than before (RFC 6951 section 5.4).
    fn moved(&self, from: SocketAddr, header: Header, octets: &[u8]) -> Option<u64> {
        if packet::has(octets, chunk::ABORT) || packet::has(octets, chunk::SHUTDOWN_COMPLETE) {
            return None;
        }
        let ports = (header.destination, header.source);
        self.by_address.get(&from.ip())?.iter().copied().find(|id| {
            self.peers
                .get(id)
                .is_some_and(|peer| peer.is_up() && peer.ports == ports && peer.tag_is_right(octets, header))
        })
    }
}
