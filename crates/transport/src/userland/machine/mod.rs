//! Userland SCTP without socket, thread or clock: everything that decides.
//!
//! A [`Machine`] is one endpoint. It is told what happened and when (`handle_*`), and is asked what to
//! send ([`Machine::poll_transmit`]) and when to be called again ([`Machine::poll_timeout`]). The thread
//! in `driver` is the one that runs in production; simulations and the fuzz target run the same machine
//! on virtual time.
//!
//! `demux` finds the association of a packet, `handshake` keeps INIT and cookie stateless (RFC 9260
//! section 5), `out_of_the_blue` answers what belongs to nobody (8.4), `peer` is one association.

mod cookie;
mod crc32c;
mod demux;
mod handshake;
mod out_of_the_blue;
mod packet;
mod peer;
mod wakes;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dcsctp::api::Socket;
use tokio::sync::{mpsc, oneshot};

use super::counters::Cells;
use super::sctp_in_udp;
use crate::link::Link;
use crate::{Association, ConnectError, Counters, EndpointConfig, LossReason, PeerAddress};
pub(super) use cookie::CookieKey;
pub use demux::NetworkError;
use out_of_the_blue::AnswerLimit;
use peer::{Peer, Stage};
use wakes::{PeerWake, Wakes};

/// How much of a datagram an ICMP message may quote that is worth handing over, in octets.
pub const QUOTE: usize = 64;

/// Octets of datagrams to hand over before [`Machine::handle_timeout`] is called and what it made is sent, where
/// more wait: a peer hears nothing until then.
pub const TURN: usize = 64 << 10;

/// A source of random numbers nobody can predict; in simulations, of a seed.
pub type Randomness = Box<dyn FnMut() -> io::Result<u64>>;

/// How many octets of UDP payload reach an address unfragmented; none where that is not known.
pub type PathPayload = Box<dyn Fn(SocketAddr) -> Option<usize>>;

/// A datagram to send, and where to.
pub type Transmit = (SocketAddr, Vec<u8>);

/// The operating system's random numbers.
pub fn system_randomness() -> Randomness {
    Box::new(|| getrandom::u64().map_err(io::Error::from))
}

/// A key for state cookies.
pub(super) fn cookie_key(randomness: &mut Randomness) -> io::Result<CookieKey> {
    Ok(CookieKey::new([randomness()?, randomness()?, randomness()?, randomness()?]))
}

/// A free port of the dynamic range (RFC 6335 section 6), at random.
pub(super) fn ephemeral_port(random: u64) -> u16 {
    49_152 + (random & 0x3fff) as u16
}

/// UDP address of the peer, our SCTP port, its SCTP port.
type Key = (SocketAddr, u16, u16);

/// What leaves the endpoint, and what that needs.
struct Outbox {
    packets: VecDeque<Transmit>,
    key: CookieKey,
    start: Instant,
}

impl Outbox {
    /// Queues a packet dcsctp made; an INIT ACK gets its cookie wrapped.
    fn push(&mut self, to: SocketAddr, packet: Vec<u8>, now: Instant) {
        let wrapped = if packet.get(packet::HEADER) == Some(&packet::chunk::INIT_ACK) {
            self.key.wrap(&packet, to, now - self.start)
        } else {
            Some(packet)
        };
        self.packets.extend(wrapped.map(|packet| (to, packet)));
    }
}

/// One endpoint of userland SCTP in UDP: all its associations and listeners. See the module.
pub struct Machine {
    config: EndpointConfig,
    local: SocketAddr,
    randomness: Randomness,
    counters: Arc<Cells>,
    wakes: Arc<Wakes>,
    out: Outbox,
    peers: HashMap<u64, Peer>,
    by_key: HashMap<Key, u64>,
    /// For peers whose UDP port moved (RFC 6951 section 5.4), and to count.
    by_address: HashMap<IpAddr, Vec<u64>>,
    listeners: HashMap<u16, mpsc::Sender<Association>>,
    timers: BTreeSet<(Instant, u64)>,
    /// Associations with something to do at the next `handle_timeout`.
    touched: Vec<u64>,
    /// When that was last called.
    pumped: Instant,
    behind: bool,
    next_id: u64,
    answers: AnswerLimit,
    path_payload: PathPayload,
    /// When long packets with a wrong checksum were last explained.
    explained: Option<Instant>,
    scratch: Vec<u8>,
}

impl Machine {
    /// An endpoint at the UDP address `local`. `bell` is called, from any thread, when a handle wants
    /// something: `handle_timeout` is due then. Fails when `randomness` does.
    pub fn new(
        config: EndpointConfig,
        local: SocketAddr,
        mut randomness: Randomness,
        bell: impl Fn() + Send + Sync + 'static,
        now: Instant,
    ) -> io::Result<Machine> {
        let key = cookie_key(&mut randomness)?;
        Ok(Machine::with_counters(config, local, key, randomness, bell, Arc::default(), now))
    }

    pub(super) fn with_counters(
        config: EndpointConfig,
        local: SocketAddr,
        key: CookieKey,
        randomness: Randomness,
        bell: impl Fn() + Send + Sync + 'static,
        counters: Arc<Cells>,
        now: Instant,
    ) -> Machine {
        Machine {
            config,
            local,
            randomness,
            counters,
            wakes: Arc::new(Wakes::new(bell)),
            out: Outbox { packets: VecDeque::new(), key, start: now },
            peers: HashMap::new(),
            by_key: HashMap::new(),
            by_address: HashMap::new(),
            listeners: HashMap::new(),
            timers: BTreeSet::new(),
            touched: Vec::new(),
            pumped: now,
            behind: false,
            next_id: 0,
            answers: AnswerLimit::new(now),
            path_payload: Box::new(|_| None),
            explained: None,
            scratch: Vec::new(),
        }
    }

    /// Asks `path_payload` for the longest packet of each new association, where the configuration names
    /// none.
    pub fn set_path_payload(&mut self, path_payload: PathPayload) {
        self.path_payload = path_payload;
    }

    /// Accepts associations at an SCTP port. Fails if the port is taken.
    pub fn listen(&mut self, port: u16, incoming: mpsc::Sender<Association>) -> io::Result<()> {
        // A listener that is gone may not have been removed yet.
        if self.listeners.get(&port).is_some_and(|incoming| !incoming.is_closed()) {
            let address = self.address(port);
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{address}: address in use")));
        }
        self.listeners.insert(port, incoming);
        Ok(())
    }

    /// Accepts no more associations at an SCTP port.
    pub fn unlisten(&mut self, port: u16) {
        self.listeners.remove(&port);
    }

    /// Sets up an association; `reply` gets it once it is up. Aborted when nobody waits for it any more.
    pub fn connect(
        &mut self,
        now: Instant,
        address: PeerAddress,
        reply: oneshot::Sender<Result<Association, ConnectError>>,
    ) {
        match self.destination(address) {
            Ok((remote, port)) => match self.free_port(remote, port) {
                Ok(local_port) => self.start(now, (local_port, port), remote, address, reply),
                Err(error) => drop(reply.send(Err(ConnectError::Io(address, error)))),
            },
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// The same from SCTP port `local_port`, which may listen. Fails with [`ConnectError::Exists`] beside an
    /// association between the same ports.
    pub fn connect_from(
        &mut self,
        now: Instant,
        local_port: u16,
        address: PeerAddress,
        reply: oneshot::Sender<Result<Association, ConnectError>>,
    ) {
        match self.destination(address) {
            Ok((remote, port)) if self.by_key.contains_key(&(remote, local_port, port)) => {
                drop(reply.send(Err(ConnectError::Exists(address))));
            }
            Ok((remote, port)) => self.start(now, (local_port, port), remote, address, reply),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// The UDP address and the SCTP port of a peer that can be reached from here.
    fn destination(&self, address: PeerAddress) -> Result<(SocketAddr, u16), ConnectError> {
        let PeerAddress::Sctp { ip, port, encapsulation: Some(encapsulation) } = address else {
            return Err(ConnectError::Address(address));
        };
        if ip.is_ipv4() != self.local.is_ipv4() || ip.is_unspecified() || port == 0 {
            return Err(ConnectError::Address(address));
        }
        Ok((SocketAddr::new(ip, encapsulation), port))
    }

    fn start(
        &mut self,
        now: Instant,
        ports: (u16, u16),
        remote: SocketAddr,
        address: PeerAddress,
        reply: oneshot::Sender<Result<Association, ConnectError>>,
    ) {
        if let Err(error) = self.seed_tags() {
            return drop(reply.send(Err(ConnectError::Io(address, error))));
        }
        let deadline = now + self.config.profile.connect;
        let stage = Stage::Connecting { reply, deadline };
        let id = self.add(remote, ports, stage, now);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.connect();
        }
        self.touched.push(id);
    }

    /// This process did not run for `late`, until `now`: while it was stopped no packet could arrive, so
    /// nobody's silence is counted.
    pub fn handle_stall(&mut self, now: Instant, late: Duration) {
        self.counters.stalls.one();
        for peer in self.peers.values_mut() {
            peer.excuse(late, now);
        }
    }

    /// Fires every timer due and does what datagrams and handles asked for. To be called after every
    /// batch of other calls, when the bell rang, and at [`Machine::poll_timeout`], which is at once where
    /// more is left to do: what there is to send should leave, and what arrived be handled, first.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, id)) = self.timers.first() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.timer = None;
                self.touched.push(id);
            }
        }
        for id in self.wakes.take() {
            if let Some(peer) = self.peers.get(&id) {
                // Cleared before the pump looks, so that nothing is missed.
                peer.dirty.store(false, Ordering::Release);
                self.touched.push(id);
            }
        }
        self.pump_touched(now);
    }

    /// Tells whether datagrams that arrived wait to be handed over. While they do, nobody is lost for
    /// silence before twice the time is up: a sign of life may be among them.
    pub fn set_behind(&mut self, behind: bool) {
        self.behind = behind;
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.packets.pop_front()
    }

    /// When [`Machine::handle_timeout`] is due next, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.touched.is_empty() {
            return Some(self.pumped);
        }
        self.timers.first().map(|&(due, _)| due)
    }

    /// Whether there is neither an association nor a listener.
    pub fn is_idle(&self) -> bool {
        self.peers.is_empty() && self.listeners.is_empty()
    }

    /// Associations, those being set up included.
    pub fn associations(&self) -> usize {
        self.peers.len()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters.snapshot()
    }

    /// How a peer reaches an SCTP port of this endpoint.
    pub fn address(&self, port: u16) -> PeerAddress {
        sctp_in_udp(self.local, port)
    }

    /// Aborts every association; the last datagrams are left to send.
    pub fn close(&mut self, now: Instant) {
        self.listeners.clear();
        let mut ids: Vec<u64> = self.peers.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(mut peer) = self.remove(id) {
                peer.close(LossReason::EndpointClosed, now, &mut self.out);
                self.bury(peer, now);
            }
        }
    }

    /// Ends every association without touching the protocol machines: one of them may have failed.
    pub(super) fn abandon(&mut self) {
        for peer in self.peers.values() {
            peer.link.end(LossReason::EndpointClosed);
        }
    }

    /// Makes dcsctp's tags and sequence numbers unpredictable: they come from this thread's generator.
    fn seed_tags(&mut self) -> io::Result<()> {
        fastrand::seed((self.randomness)()?);
        Ok(())
    }

    fn free_port(&mut self, remote: SocketAddr, remote_port: u16) -> io::Result<u16> {
        for _ in 0..256 {
            let port = ephemeral_port((self.randomness)()?);
            if !self.by_key.contains_key(&(remote, port, remote_port)) && !self.listeners.contains_key(&port)
            {
                return Ok(port);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no free SCTP port"))
    }

    fn add(&mut self, remote: SocketAddr, ports: (u16, u16), stage: Stage, now: Instant) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let mtu = self.config.packet_length((self.path_payload)(remote));
        let socket = Socket::new("", &self.config.options(ports.0, ports.1, mtu));
        let wake = PeerWake::new(Arc::clone(&self.wakes), id);
        let dirty = wake.dirty();
        let (local, peer) = (self.address(ports.0), sctp_in_udp(remote, ports.1));
        let link =
            Link::new(local, peer, self.config.queues, false, Box::new(wake), self.config.budget.as_ref());
        link.set_max_payload(mtu - packet::HEADER - packet::DATA_HEADER);
        let mut peer = Peer::new(socket, link, dirty, remote, ports, stage, now);
        peer.set_window(self.config.window());
        self.peers.insert(id, peer);
        self.by_key.insert((remote, ports.0, ports.1), id);
        self.by_address.entry(remote.ip()).or_default().push(id);
        id
    }

    fn remove(&mut self, id: u64) -> Option<Peer> {
        let peer = self.peers.remove(&id)?;
        if let Some(due) = peer.timer {
            self.timers.remove(&(due, id));
        }
        self.by_key.remove(&(peer.remote, peer.ports.0, peer.ports.1));
        if let Some(ids) = self.by_address.get_mut(&peer.remote.ip()) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.by_address.remove(&peer.remote.ip());
            }
        }
        Some(peer)
    }

    fn pump_touched(&mut self, now: Instant) {
        self.pumped = now;
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched.retain(|&id| self.pump(id, now));
        self.touched = touched;
    }

    /// Returns whether the association has more to do at once.
    fn pump(&mut self, id: u64, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        let connecting = peer.is_connecting();
        peer.check_liveness(now, &self.config.profile, self.behind, &mut self.out);
        peer.pump(now, &self.config.profile, &mut self.out);
        if connecting && peer.is_up() {
            self.counters.connected.one();
        }
        if peer.is_over() {
            if let Some(peer) = self.remove(id) {
                self.bury(peer, now);
            }
            return false;
        }
        let hungry = peer.is_hungry();
        let due = peer.deadline(&self.config.profile);
        if due != peer.timer {
            if let Some(due) = peer.timer {
                self.timers.remove(&(due, id));
            }
            self.timers.extend(due.map(|due| (due, id)));
            peer.timer = due;
        }
        hungry
    }

    fn bury(&mut self, peer: Peer, now: Instant) {
        let address = peer.address();
        match peer.finale(now, &mut self.out) {
            Some(LossReason::Silent(_)) => self.counters.lost_silent.one(),
            Some(LossReason::Unreachable(_)) => self.counters.lost_unreachable.one(),
            _ => {}
        }
        tracing::debug!(%address, "association ended");
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine({}, {} associations)", self.local, self.peers.len())
    }
}
