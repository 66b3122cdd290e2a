//! The thread of an endpoint: reads datagrams, finds their association, runs timers, sends.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dcsctp::api::{DcSctpSocket, Socket, SocketEvent};
use tokio::sync::{mpsc, oneshot};

use super::cookie::{CookieKey, Rejected};
use super::packet::{self, Chunk, Header, chunk};
use super::peer::{Outbox, Peer, PeerWake, Stage};
use super::sys::{self, BATCH, Receiver};
use super::{Command, Shared, crc32c, sctp_in_udp};
use crate::link::Link;
use crate::{Association, ConnectError, LossReason, PeerAddress};

/// Answers to packets out of the blue, each second.
const ANSWERS: u32 = 100;
/// A loop that comes this much too late was not running: stopped, or starved.
const STALL: Duration = Duration::from_millis(250);
/// Batches read before timers and handles get their turn.
const ROUNDS: usize = 4;
/// How much of a datagram an ICMP message may quote that is worth reading.
const QUOTE: usize = 64;

/// A free port of the dynamic range (RFC 6335 section 6), at random.
pub(crate) fn ephemeral_port() -> io::Result<u16> {
    let random = getrandom::u32().map_err(io::Error::from)?;
    Ok(49_152 + (random & 0x3fff) as u16)
}

/// Makes dcsctp's tags and sequence numbers unpredictable: they come from this thread's generator.
fn seed_tags() -> io::Result<()> {
    fastrand::seed(getrandom::u64().map_err(io::Error::from)?);
    Ok(())
}

pub(crate) fn start(socket: UdpSocket, shared: Arc<Shared>) -> io::Result<()> {
    let key = CookieKey::random().map_err(io::Error::from)?;
    std::thread::Builder::new().name(format!("sctp {}", shared.local)).spawn(move || {
        let now = Instant::now();
        let mut driver = Driver {
            socket,
            shared: Arc::clone(&shared),
            out: Outbox { packets: Vec::new(), key, start: now },
            peers: HashMap::new(),
            by_key: HashMap::new(),
            by_address: HashMap::new(),
            listeners: HashMap::new(),
            timers: BTreeSet::new(),
            touched: Vec::new(),
            next_id: 0,
            answers: ANSWERS,
            answers_since: now,
            scratch: Vec::new(),
            blocked: false,
            closed: false,
        };
        let mut receiver = Receiver::new();
        if let Err(error) = driver.run(&mut receiver) {
            tracing::error!(%error, local = %driver.shared.local, "SCTP endpoint failed");
        }
        drop(driver);
    })?;
    Ok(())
}

/// UDP address of the peer, our SCTP port, its SCTP port.
type Key = (SocketAddr, u16, u16);

struct Driver {
    socket: UdpSocket,
    shared: Arc<Shared>,
    out: Outbox,
    peers: HashMap<u64, Peer>,
    by_key: HashMap<Key, u64>,
    /// For peers whose UDP port moved (RFC 6951 section 5.4), and to count.
    by_address: HashMap<IpAddr, Vec<u64>>,
    listeners: HashMap<u16, mpsc::Sender<Association>>,
    timers: BTreeSet<(Instant, u64)>,
    /// Associations to pump before the next wait.
    touched: Vec<u64>,
    next_id: u64,
    answers: u32,
    answers_since: Instant,
    scratch: Vec<u8>,
    /// The socket took no more datagrams.
    blocked: bool,
    closed: bool,
}

impl Driver {
    fn run(&mut self, receiver: &mut Receiver) -> io::Result<()> {
        let mut now = Instant::now();
        while !self.closed {
            self.commands(now);
            if self.is_idle() {
                break;
            }
            self.pump_touched(now);
            self.flush()?;

            let before = Instant::now();
            let timeout = self.timers.first().map(|(due, _)| due.saturating_duration_since(before));
            let ready = sys::wait(self.socket.as_fd(), &self.shared.event, self.blocked, timeout)?;
            let after = Instant::now();
            self.notice_stall(before.saturating_duration_since(now), after);
            if let Some(timeout) = timeout {
                self.notice_stall(after.saturating_duration_since(before + timeout), after);
            }
            now = after;
            if ready.errors {
                self.network_errors(now);
            }
            if ready.readable {
                // Before the timers: what waits here may say that a peer lives.
                self.receive(receiver, now)?;
            }
            self.expire(now);
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.shared.handles.load(Ordering::Acquire) == 0 && self.peers.is_empty() && self.listeners.is_empty()
    }

    /// While this process was stopped no packet could arrive: nobody's silence is counted.
    fn notice_stall(&mut self, late: Duration, now: Instant) {
        if late < STALL {
            return;
        }
        self.shared.counters.stalls.one();
        for peer in self.peers.values_mut() {
            peer.excuse(late, now);
        }
    }

    fn commands(&mut self, now: Instant) {
        let (commands, dirty) = {
            let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut inbox.commands), std::mem::take(&mut inbox.dirty))
        };
        for id in dirty {
            if let Some(peer) = self.peers.get(&id) {
                // Cleared before the pump looks, so that nothing is missed.
                peer.dirty.store(false, Ordering::Release);
                self.touched.push(id);
            }
        }
        for command in commands {
            match command {
                Command::Listen { port, incoming, reply } => {
                    let result = self.listen(port, incoming);
                    // The caller may have gone; its listener is then removed with its stop command.
                    if reply.send(result).is_err() {
                        self.listeners.remove(&port);
                    }
                }
                Command::Unlisten(port) => drop(self.listeners.remove(&port)),
                Command::Connect { peer, reply } => self.connect(peer, reply, now),
                Command::Close => self.closed = true,
            }
        }
    }

    fn listen(&mut self, port: u16, incoming: mpsc::Sender<Association>) -> io::Result<()> {
        // A listener that is gone may not have been removed yet.
        if self.listeners.get(&port).is_some_and(|incoming| !incoming.is_closed()) {
            let address = self.shared.address(port);
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{address}: address in use")));
        }
        self.listeners.insert(port, incoming);
        Ok(())
    }

    fn connect(
        &mut self,
        address: PeerAddress,
        reply: oneshot::Sender<Result<Association, ConnectError>>,
        now: Instant,
    ) {
        let PeerAddress::Sctp { ip, port, encapsulation: Some(encapsulation) } = address else {
            return drop(reply.send(Err(ConnectError::Address(address))));
        };
        if ip.is_ipv4() != self.shared.local.is_ipv4() || ip.is_unspecified() || port == 0 {
            return drop(reply.send(Err(ConnectError::Address(address))));
        }
        let remote = SocketAddr::new(ip, encapsulation);
        let local_port = match self.free_port(remote, port).and_then(|port| seed_tags().map(|()| port)) {
            Ok(port) => port,
            Err(error) => return drop(reply.send(Err(ConnectError::Io(address, error)))),
        };
        let deadline = now + self.shared.config.profile.connect;
        let stage = Stage::Connecting { reply, deadline };
        let id = self.add(remote, (local_port, port), stage, now);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.connect();
        }
        self.touched.push(id);
    }

    fn free_port(&self, remote: SocketAddr, remote_port: u16) -> io::Result<u16> {
        for _ in 0..256 {
            let port = ephemeral_port()?;
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
        let config = &self.shared.config;
        let socket = Socket::new("", &config.options(ports.0, ports.1));
        let dirty = Arc::new(AtomicBool::new(false));
        let wake = PeerWake { shared: Arc::clone(&self.shared), id, dirty: Arc::clone(&dirty) };
        let peer_address = sctp_in_udp(remote, ports.1);
        let local = self.shared.address(ports.0);
        let link = Link::new(local, peer_address, config.queues, false, Box::new(wake));
        self.peers.insert(id, Peer::new(socket, link, dirty, remote, ports, stage, now));
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
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for id in touched.drain(..) {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let connecting = peer.is_connecting();
            peer.pump(now, &self.shared.config.profile, &mut self.out);
            if connecting && peer.is_up() {
                self.shared.counters.connected.one();
            }
            if peer.is_over() {
                if let Some(peer) = self.remove(id) {
                    self.bury(peer, now);
                }
                continue;
            }
            let due = peer.deadline(&self.shared.config.profile);
            if due != peer.timer {
                if let Some(due) = peer.timer {
                    self.timers.remove(&(due, id));
                }
                self.timers.extend(due.map(|due| (due, id)));
                peer.timer = due;
            }
        }
        self.touched = touched;
    }

    fn bury(&mut self, peer: Peer, now: Instant) {
        let address = peer.address();
        match peer.finale(now, &mut self.out) {
            Some(LossReason::Silent(_)) => self.shared.counters.lost_silent.one(),
            Some(LossReason::Unreachable(_)) => self.shared.counters.lost_unreachable.one(),
            _ => {}
        }
        tracing::debug!(%address, "association ended");
    }

    fn expire(&mut self, now: Instant) {
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
    }

    fn flush(&mut self) -> io::Result<()> {
        let counters = &self.shared.counters;
        let packets = &mut self.out.packets;
        let mut sent = 0;
        self.blocked = false;
        while sent < packets.len() {
            match sys::send(self.socket.as_fd(), &packets[sent..]) {
                Ok(n) => {
                    counters.packets_out.add(n);
                    counters.octets_out.add(packets[sent..sent + n].iter().map(|(_, p)| p.len()).sum());
                    sent += n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The error of an earlier datagram, reported here by the kernel; the queue has it too.
                Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => {}
                Err(error) => {
                    // This datagram cannot be sent: as if the network lost it.
                    tracing::debug!(%error, to = %packets[sent].0, "datagram not sent");
                    counters.send_failures.one();
                    sent += 1;
                }
            }
        }
        packets.drain(..sent);
        Ok(())
    }

    fn receive(&mut self, receiver: &mut Receiver, now: Instant) -> io::Result<()> {
        for _ in 0..ROUNDS {
            let count = match receiver.receive(self.socket.as_fd()) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A pending error of an earlier datagram, or a signal: the next read has the data.
                Err(error) if is_transient(&error) => continue,
                Err(error) => return Err(error),
            };
            for i in 0..count {
                if let Some((from, datagram)) = receiver.datagram(i) {
                    self.shared.counters.packets_in.one();
                    self.shared.counters.octets_in.add(datagram.len());
                    self.datagram(from, datagram, now);
                }
            }
            if count < BATCH {
                break;
            }
        }
        Ok(())
    }

    fn datagram(&mut self, from: SocketAddr, octets: &[u8], now: Instant) {
        let counters = &self.shared.counters;
        let (Some(header), Some(first)) = (Header::read(octets), packet::chunks(octets).next()) else {
            return counters.malformed.one();
        };
        if !crc32c::verify(octets) {
            counters.crc_failures.one();
            if octets.len() > 1_500 {
                counters.crc_failures_large.one();
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

    /// A packet for an association: acts only with the right tag.
    fn packet(&mut self, id: u64, from: SocketAddr, header: Header, octets: &[u8], now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.tag_is_right(octets, header) {
            self.shared.counters.bad_tag.one();
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
            self.shared.counters.rebinds.one();
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

    fn init(
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
            return self.shared.counters.bad_tag.one();
        }
        let listens = self.listeners.contains_key(&header.destination);
        if id.is_none() && !listens {
            self.shared.counters.out_of_the_blue.one();
            let answer = packet::abort(header.answer(initiate_tag), false);
            return self.answer(from, answer, now);
        }
        if let Err(error) = seed_tags() {
            return tracing::error!(%error, "no randomness: INIT not answered");
        }
        self.shared.counters.inits_answered.one();
        if let Some(peer) = id.and_then(|id| self.peers.get_mut(&id)) {
            peer.handshake(octets, now);
            self.touched.extend(id);
            return;
        }
        // Nothing is kept: the answer comes from a socket that is thrown away.
        let options = self.shared.config.options(header.destination, header.source);
        let mut throwaway = Socket::new("", &options);
        throwaway.handle_input(octets);
        while let Some(event) = throwaway.poll_event() {
            if let SocketEvent::SendPacket(packet) = event {
                self.out.push(from, packet, now);
            }
        }
    }

    fn cookie_echo(
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
                self.shared.counters.cookies_stale.one();
                self.stale(from, header, octets, by, now);
            }
            Err(Rejected::Malformed | Rejected::Forged) => self.shared.counters.cookies_rejected.one(),
        }
        self.scratch = stripped;
    }

    /// A COOKIE ECHO whose cookie is ours and fresh: only here an association comes to be.
    fn cookie(&mut self, from: SocketAddr, header: Header, octets: &[u8], id: Option<u64>, now: Instant) {
        if seed_tags().is_err() {
            return;
        }
        if let Some(peer) = id.and_then(|id| self.peers.get_mut(&id)) {
            let tag = peer.socket.verification_tag();
            peer.cookie(octets, now);
            if peer.socket.verification_tag() != tag {
                self.shared.counters.restarts.one();
            }
            self.touched.extend(id);
            return;
        }
        let Some(incoming) = self.listeners.get(&header.destination) else {
            self.shared.counters.out_of_the_blue.one();
            return self.answer(from, packet::abort(header.answer(header.tag), true), now);
        };
        let config = &self.shared.config;
        let with_address = self.by_address.get(&from.ip()).map_or(0, Vec::len);
        let room = self.peers.len() < config.max_associations && with_address < config.max_per_address;
        // The peer repeats its COOKIE ECHO: a full backlog only delays it.
        let Some(permit) = incoming.clone().try_reserve_owned().ok().filter(|_| room) else {
            return self.shared.counters.handshakes_refused.one();
        };
        let ports = (header.destination, header.source);
        let id = self.add(from, ports, Stage::Accepting(permit), now);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.cookie(octets, now);
        if peer.socket.verification_tag() == 0 {
            // The cookie was ours, but the packet's tag was not the cookie's.
            self.shared.counters.bad_tag.one();
            self.remove(id);
            return;
        }
        self.shared.counters.accepted.one();
        self.touched.push(id);
    }

    /// RFC 9260 section 5.2.6: tells the peer by how much its cookie was late.
    fn stale(&mut self, from: SocketAddr, header: Header, octets: &[u8], by: Duration, now: Instant) {
        // The peer's tag stands in dcsctp's cookie, after its magic; its MAC was right.
        let Some(peer_tag) = packet::u32_at(octets, packet::HEADER + 4 + super::cookie::ENVELOPE + 8) else {
            return;
        };
        let staleness = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        self.answer(from, packet::stale_cookie(header.answer(peer_tag), staleness), now);
    }

    /// RFC 9260 section 8.4, in its order.
    fn out_of_the_blue(
        &mut self,
        from: SocketAddr,
        header: Header,
        octets: &[u8],
        first: Chunk<'_>,
        now: Instant,
    ) {
        self.shared.counters.out_of_the_blue.one();
        if packet::has(octets, chunk::ABORT)
            || packet::has(octets, chunk::SHUTDOWN_COMPLETE)
            || matches!(first.kind, chunk::ERROR | chunk::COOKIE_ACK)
            || header.tag == 0
        {
            return;
        }
        let answer = if packet::has(octets, chunk::SHUTDOWN_ACK) {
            packet::shutdown_complete(header.answer(header.tag))
        } else {
            packet::abort(header.answer(header.tag), true)
        };
        self.answer(from, answer, now);
    }

    fn answer(&mut self, to: SocketAddr, packet: Vec<u8>, now: Instant) {
        if now - self.answers_since >= Duration::from_secs(1) {
            (self.answers, self.answers_since) = (ANSWERS, now);
        }
        if self.answers == 0 {
            return self.shared.counters.answers_suppressed.one();
        }
        self.answers -= 1;
        self.shared.counters.out_of_the_blue_answers.one();
        self.out.packets.push((to, packet));
    }

    fn network_errors(&mut self, now: Instant) {
        let mut quote = [0; QUOTE];
        // Bounded: each entry answers a datagram of ours.
        while let Ok(Some(error)) = sys::network_error(self.socket.as_fd(), &mut quote) {
            let quote = &quote[..error.quoted.min(QUOTE)];
            let peer = Header::read(quote).filter(|_| error.port_unreachable).and_then(|header| {
                let key = (error.destination, header.source, header.destination);
                let id = *self.by_key.get(&key)?;
                let peer = self.peers.get_mut(&id).filter(|peer| peer.sent(quote, header))?;
                Some((id, peer))
            });
            let Some((id, peer)) = peer else {
                self.shared.counters.icmp_ignored.one();
                continue;
            };
            self.shared.counters.icmp.one();
            peer.unreachable(now, &self.shared.config.profile);
            self.touched.push(id);
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
        || matches!(
            error.raw_os_error(),
            Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EMSGSIZE | libc::EPROTO)
        )
}

impl Drop for Driver {
    /// However the thread ends, every handle hears of it.
    fn drop(&mut self) {
        let now = Instant::now();
        let commands = {
            let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            inbox.stopped = true;
            std::mem::take(&mut inbox.commands)
        };
        drop(commands);
        let ids: Vec<u64> = self.peers.keys().copied().collect();
        for id in ids {
            let Some(mut peer) = self.remove(id) else { continue };
            if std::thread::panicking() {
                // The protocol machine may be the one that failed: leave it alone.
                peer.link.end(LossReason::EndpointClosed);
                continue;
            }
            peer.close(LossReason::EndpointClosed, now, &mut self.out);
            self.bury(peer, now);
        }
        let _ = self.flush();
    }
}
