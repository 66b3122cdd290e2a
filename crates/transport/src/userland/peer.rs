//! One association: dcsctp's socket, its link to the handle, and whether the peer still lives.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dcsctp::api::{
    DcSctpSocket, ErrorKind, LifecycleId, Message as RawMessage, PpId, SendOptions, Socket, SocketEvent,
    SocketState, SocketTime, StreamId,
};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::cookie::CookieKey;
use super::packet::{self, Header, chunk};
use crate::link::{Figures, Link, Request, Wake};
use crate::{
    Association, ConnectError, Event, LossReason, Message, MsgOut, Outcome, PeerAddress, Ppid, Reliability,
    Token,
};

/// How often a peer is probed while ICMP says that it is gone.
const PROBE: Duration = Duration::from_millis(50);
/// How old the figures of `status` may be.
const FIGURES: Duration = Duration::from_millis(100);

/// What leaves the endpoint, and what that needs.
pub(crate) struct Outbox {
    pub(crate) packets: Vec<(SocketAddr, Vec<u8>)>,
    pub(crate) key: CookieKey,
    pub(crate) start: Instant,
}

impl Outbox {
    /// Queues a packet dcsctp made; an INIT ACK gets its cookie wrapped.
    pub(crate) fn push(&mut self, to: SocketAddr, packet: Vec<u8>, now: Instant) {
        let wrapped = if packet.get(packet::HEADER) == Some(&chunk::INIT_ACK) {
            self.key.wrap(&packet, to, now - self.start)
        } else {
            Some(packet)
        };
        self.packets.extend(wrapped.map(|packet| (to, packet)));
    }
}

pub(crate) enum Stage {
    Connecting { reply: oneshot::Sender<Result<Association, ConnectError>>, deadline: Instant },
    Accepting(mpsc::OwnedPermit<Association>),
    Up,
}

/// A message whose end is not known.
struct Live {
    octets: usize,
    token: Option<Token>,
    reliable: bool,
    outcome: Outcome,
    /// All of it is in flight; a restart of the peer loses it.
    sent: bool,
}

/// ICMP says the peer is gone, and nothing valid came since.
struct Trouble {
    since: Instant,
    next_probe: Instant,
}

/// How an association ended.
pub(crate) enum End {
    Lost(LossReason),
    Connect(ConnectError),
}

/// Marks an association dirty, once until the thread looks.
pub(crate) struct PeerWake {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u64,
    pub(crate) dirty: Arc<AtomicBool>,
}

impl Wake for PeerWake {
    fn wake(&self) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.shared.post(|inbox| inbox.dirty.push(self.id));
        }
    }
}

pub(crate) struct Peer {
    pub(crate) socket: Socket,
    pub(crate) link: Arc<Link>,
    pub(crate) dirty: Arc<AtomicBool>,
    pub(crate) remote: SocketAddr,
    pub(crate) ports: (u16, u16),
    /// Where the timer queue has this association.
    pub(crate) timer: Option<Instant>,
    stage: Stage,
    born: Instant,
    /// The tag the peer expects; 0 until known.
    peer_tag: u32,
    live: HashMap<u64, Live>,
    next_lifecycle: u64,
    reliable: usize,
    taken: VecDeque<MsgOut>,
    heard: Instant,
    trouble: Option<Trouble>,
    probes: u32,
    /// The last packet with DATA that came while the reader stalled.
    stalled_packet: Option<Vec<u8>>,
    stalled: bool,
    peer_closing: bool,
    held_shutdown: Option<Vec<u8>>,
    /// The last SHUTDOWN or SHUTDOWN ACK, and when it left.
    closing: Option<(Vec<u8>, Instant)>,
    restarted: bool,
    figures_due: Instant,
    end: Option<End>,
}

impl Peer {
    pub(crate) fn new(
        socket: Socket,
        link: Arc<Link>,
        dirty: Arc<AtomicBool>,
        remote: SocketAddr,
        ports: (u16, u16),
        stage: Stage,
        now: Instant,
    ) -> Peer {
        Peer {
            socket,
            link,
            dirty,
            remote,
            ports,
            timer: None,
            stage,
            born: now,
            peer_tag: 0,
            live: HashMap::new(),
            next_lifecycle: 1,
            reliable: 0,
            taken: VecDeque::new(),
            heard: now,
            trouble: None,
            probes: 0,
            stalled_packet: None,
            stalled: false,
            peer_closing: false,
            held_shutdown: None,
            closing: None,
            restarted: false,
            figures_due: now,
            end: None,
        }
    }

    pub(crate) fn connect(&mut self) {
        self.socket.connect();
    }

    pub(crate) fn address(&self) -> PeerAddress {
        super::sctp_in_udp(self.remote, self.ports.1)
    }

    /// Whether the packet may act on this association (RFC 9260 section 8.5); INIT and COOKIE ECHO are
    /// not asked about here.
    pub(crate) fn tag_is_right(&self, packet: &[u8], header: Header) -> bool {
        let mine = self.socket.verification_tag();
        let exception = packet::chunks(packet)
            .find(|chunk| matches!(chunk.kind, chunk::ABORT | chunk::SHUTDOWN_COMPLETE));
        match exception {
            Some(chunk) if chunk.reflects_tag() => self.peer_tag != 0 && header.tag == self.peer_tag,
            _ => header.tag != 0 && header.tag == mine,
        }
    }

    /// Whether an ICMP message quotes a packet this association sent (RFC 9260 section 10, ICMP7).
    pub(crate) fn sent(&self, quote: &[u8], header: Header) -> bool {
        match &self.stage {
            // An INIT has tag 0; its initiate tag follows the chunk header.
            Stage::Connecting { .. } if header.tag == 0 => packet::u32_at(quote, packet::HEADER + 4)
                .is_none_or(|tag| tag == self.socket.verification_tag()),
            _ => self.peer_tag != 0 && header.tag == self.peer_tag,
        }
    }

    /// A packet with the right tag.
    pub(crate) fn input(&mut self, packet: &[u8], now: Instant) {
        self.heard = now;
        self.trouble = None;
        self.advance(now);
        let mut closing = false;
        for chunk in packet::chunks(packet) {
            match chunk.kind {
                chunk::ABORT if matches!(self.stage, Stage::Connecting { .. }) && !chunk.reflects_tag() => {
                    // dcsctp ignores it while it waits for the INIT ACK.
                    self.end = Some(End::Connect(ConnectError::Refused(self.address())));
                    return;
                }
                chunk::SHUTDOWN => closing = true,
                chunk::DATA if self.stalled => {
                    let kept = self.stalled_packet.get_or_insert_default();
                    kept.clear();
                    kept.extend_from_slice(packet);
                }
                chunk::ABORT | chunk::SHUTDOWN_ACK | chunk::SHUTDOWN_COMPLETE => self.deliver_all(),
                _ => {}
            }
        }
        if closing && matches!(self.stage, Stage::Up) {
            self.deliver_all();
            if !self.peer_closing {
                self.peer_closing = true;
                self.link.close_sending();
                self.link.push(Event::PeerShutdown);
            }
            // dcsctp's answer could overtake reliable messages that wait for retransmission.
            self.held_shutdown = packet::keep(packet, |kind| kind == chunk::SHUTDOWN);
            if let Some(rest) = packet::keep(packet, |kind| kind != chunk::SHUTDOWN) {
                self.socket.handle_input(&rest);
            }
            return;
        }
        self.socket.handle_input(packet);
    }

    /// A COOKIE ECHO whose cookie was verified.
    pub(crate) fn cookie(&mut self, packet: &[u8], now: Instant) {
        self.heard = now;
        self.trouble = None;
        self.handshake(packet, now);
    }

    /// A packet that needs no tag.
    pub(crate) fn handshake(&mut self, packet: &[u8], now: Instant) {
        self.advance(now);
        self.socket.handle_input(packet);
    }

    /// Does everything that is due: timers, what the handle wants, what dcsctp wants.
    pub(crate) fn pump(&mut self, now: Instant, profile: &crate::Profile, out: &mut Outbox) {
        self.advance(now);
        self.check_liveness(now, profile, out);
        let request = self.take_messages();
        self.poll(now, out);
        if self.end.is_some() {
            return;
        }
        if self.reliable == 0
            && let Some(packet) = self.held_shutdown.take()
        {
            self.socket.handle_input(&packet);
        }
        match request {
            Request::None => {}
            // RFC 9260 section 9.2, but only after every reliable message reached its end: dcsctp's
            // SHUTDOWN could overtake a retransmission.
            Request::Shutdown if self.reliable == 0 => self.socket.shutdown(),
            Request::Shutdown => {}
            Request::Abort => {
                self.deliver_all();
                self.socket.close();
                self.end = Some(End::Lost(LossReason::Aborted));
            }
        }
        self.poll(now, out);
        self.deliver(now, out);
        if now >= self.figures_due {
            self.figures_due = now + FIGURES;
            self.publish();
        }
    }

    fn advance(&mut self, now: Instant) {
        if self.socket.state() == SocketState::ShuttingDown {
            // A timer may close the socket, which forgets what waits in it.
            self.deliver_all();
        }
        self.socket.advance_time(SocketTime::zero() + (now - self.born));
    }

    fn check_liveness(&mut self, now: Instant, profile: &crate::Profile, out: &mut Outbox) {
        if let Stage::Connecting { reply, deadline } = &self.stage {
            if now >= *deadline || reply.is_closed() {
                self.end.get_or_insert(End::Connect(ConnectError::TimedOut(self.address())));
            }
            return;
        }
        if now >= self.heard + profile.silence {
            self.end.get_or_insert(End::Lost(LossReason::Silent(profile.silence)));
        }
        // RFC 9260 section 6.3.3 caps the back-off at RTO.Max; dcsctp's T2-shutdown has no cap.
        if let Some((packet, sent)) = &mut self.closing
            && now >= *sent + profile.rto_max
        {
            *sent = now;
            out.packets.push((self.remote, packet.clone()));
        }
        if let Some(trouble) = &mut self.trouble
            && now >= trouble.next_probe
            && self.peer_tag != 0
        {
            trouble.next_probe = now + PROBE;
            self.probes = self.probes.wrapping_add(1);
            let header = Header { source: self.ports.0, destination: self.ports.1, tag: self.peer_tag };
            // dcsctp takes the answer for that of an older heartbeat and ignores it.
            let nonce = self.probes | 0x8000_0000;
            out.packets.push((self.remote, packet::heartbeat(header, nonce)));
        }
    }

    /// The network says that nobody listens at the peer's UDP port: a hint, so look now (RFC 9260
    /// section 10). True proof is only that nothing valid comes for a while.
    pub(crate) fn unreachable(&mut self, now: Instant, profile: &crate::Profile) {
        let Some(trouble) = &self.trouble else {
            self.trouble = Some(Trouble { since: now, next_probe: now + PROBE });
            return;
        };
        match self.stage {
            // Only T1-init makes packets; its first expiry is about as long as `unreachable`.
            Stage::Connecting { .. } if now >= trouble.since + profile.unreachable / 2 => {
                self.end.get_or_insert(End::Connect(ConnectError::Unreachable(self.address())));
            }
            Stage::Up | Stage::Accepting(_) if now >= trouble.since + profile.unreachable => {
                self.end.get_or_insert(End::Lost(LossReason::Unreachable(profile.unreachable)));
            }
            _ => {}
        }
    }

    /// This process did not run for so long; the peer is not to blame.
    pub(crate) fn excuse(&mut self, stall: Duration, now: Instant) {
        self.heard = (self.heard + stall).min(now);
        self.trouble = None;
        if let Stage::Connecting { deadline, .. } = &mut self.stage {
            *deadline += stall;
        }
    }

    fn take_messages(&mut self) -> Request {
        let request = self.link.take(&mut self.taken);
        while let Some(message) = self.taken.pop_front() {
            let id = self.next_lifecycle;
            self.next_lifecycle += 1;
            let (max_retransmissions, lifetime) = match message.reliability {
                Reliability::Full => (None, None),
                Reliability::MaxRetransmits(n) => (Some(n), None),
                Reliability::Lifetime(lifetime) => (None, Some(lifetime)),
            };
            let reliable = message.reliability == Reliability::Full;
            self.reliable += usize::from(reliable);
            let (octets, token) = (message.data.len(), message.token);
            let outcome = Outcome::Unknown;
            self.live.insert(id, Live { octets, token, reliable, outcome, sent: false });
            let options = SendOptions {
                unordered: message.unordered,
                lifetime,
                max_retransmissions,
                lifecycle_id: LifecycleId::new(id),
            };
            let raw =
                RawMessage::new(StreamId(message.stream), PpId(message.ppid.0), Vec::from(message.data));
            if let Err(error) = self.socket.send(raw, &options) {
                tracing::debug!(%error, peer = %self.address(), "message refused by the association");
            }
        }
        request
    }

    fn poll(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(event) = self.socket.poll_event() {
            match event {
                SocketEvent::SendPacket(packet) => {
                    let kind = packet.get(packet::HEADER).copied();
                    if !matches!(kind, Some(chunk::INIT | chunk::INIT_ACK)) {
                        self.peer_tag = packet::u32_at(&packet, 4).unwrap_or(self.peer_tag);
                    }
                    if matches!(kind, Some(chunk::SHUTDOWN | chunk::SHUTDOWN_ACK)) {
                        self.closing = Some((packet.clone(), now));
                    }
                    out.push(self.remote, packet, now);
                }
                SocketEvent::OnConnected() => self.connected(),
                SocketEvent::OnConnectionRestarted() => self.restart(),
                SocketEvent::OnClosed() => {
                    let reason = if self.peer_closing { LossReason::PeerClosed } else { LossReason::Closed };
                    self.end.get_or_insert(End::Lost(reason));
                }
                SocketEvent::OnAborted(kind, text) => self.aborted(kind, text),
                SocketEvent::OnLifecycleMessageFullySent(id) => {
                    self.live.entry(id.value()).and_modify(|live| live.sent = true);
                }
                SocketEvent::OnLifecycleMessageDelivered(id) => self.outcome(id, Outcome::Delivered),
                SocketEvent::OnLifecycleMessageExpired(id)
                | SocketEvent::OnLifecycleMessageMaybeExpired(id) => self.outcome(id, Outcome::Abandoned),
                SocketEvent::OnLifecycleEnd(id) => self.finish(id.value()),
                SocketEvent::OnError(kind, error) => {
                    tracing::debug!(?kind, error, peer = %self.address(), "association error");
                }
                SocketEvent::OnBufferedAmountLow(_)
                | SocketEvent::OnTotalBufferedAmountLow()
                | SocketEvent::OnStreamsResetFailed(_)
                | SocketEvent::OnStreamsResetPerformed(_)
                | SocketEvent::OnIncomingStreamReset(_) => {}
            }
        }
    }

    fn connected(&mut self) {
        if let Some(metrics) = self.socket.get_metrics() {
            self.link.agree_streams(metrics.negotiated_maximum_outgoing_streams);
        }
        if std::mem::take(&mut self.restarted) {
            self.link.push(Event::Up);
        }
        let association = || Association::new(Arc::clone(&self.link));
        match std::mem::replace(&mut self.stage, Stage::Up) {
            // A handle nobody took is dropped, which asks for an abort.
            Stage::Connecting { reply, .. } => drop(reply.send(Ok(association()))),
            Stage::Accepting(permit) => drop(permit.send(association())),
            Stage::Up => {}
        }
    }

    /// What was in flight is gone with the old association; what was not yet sent goes out on the new.
    fn restart(&mut self) {
        let mut gone: Vec<u64> = self.live.iter().filter(|(_, live)| live.sent).map(|(&id, _)| id).collect();
        gone.sort_unstable();
        for id in gone {
            self.finish(id);
        }
        self.restarted = true;
        self.held_shutdown = None;
        self.closing = None;
        self.link.push(Event::Restarted);
    }

    fn aborted(&mut self, kind: ErrorKind, text: String) {
        let address = self.address();
        let end = match (&self.stage, kind) {
            (Stage::Connecting { .. }, ErrorKind::PeerReported) => {
                End::Connect(ConnectError::Refused(address))
            }
            (Stage::Connecting { .. }, _) => End::Connect(ConnectError::Protocol(address, text)),
            // Everything the peer had to say, and we to it, was said.
            (_, _) if self.peer_closing && self.reliable == 0 => End::Lost(LossReason::PeerClosed),
            (_, ErrorKind::PeerReported) => End::Lost(LossReason::PeerAborted(text)),
            (_, _) => End::Lost(LossReason::Protocol(text)),
        };
        self.end.get_or_insert(end);
    }

    fn outcome(&mut self, id: LifecycleId, outcome: Outcome) {
        self.live.entry(id.value()).and_modify(|live| live.outcome = outcome);
    }

    fn finish(&mut self, id: u64) {
        if let Some(live) = self.live.remove(&id) {
            self.reliable -= usize::from(live.reliable);
            self.link.finished(live.octets, live.token, live.outcome);
        }
    }

    /// Gives the handle what it has room for.
    ///
    /// dcsctp tells the peer of a window that opens only with the next SACK, and without one the peer
    /// waits for its retransmission timer. A packet seen again makes it acknowledge at once.
    fn deliver(&mut self, now: Instant, out: &mut Outbox) {
        if self.socket.messages_ready_count() == 0 {
            return;
        }
        let socket = &mut self.socket;
        self.link.fill(|| socket.get_next_message().map(event));
        self.stalled = self.socket.messages_ready_count() > 0;
        if !self.stalled
            && let Some(packet) = self.stalled_packet.take()
        {
            self.socket.handle_input(&packet);
            self.poll(now, out);
        }
    }

    /// Moves what waits in the socket to the handle although it has no room: the socket is about to
    /// close and would forget it. The window bounds how much that is.
    fn deliver_all(&mut self) {
        while let Some(message) = self.socket.get_next_message() {
            self.link.push(event(message));
        }
    }

    fn publish(&mut self) {
        if let Some(metrics) = self.socket.get_metrics() {
            self.link.publish(Figures {
                srtt: Some(metrics.srtt),
                congestion_window: Some(metrics.cwnd_bytes),
                peer_window: usize::try_from(metrics.peer_rwnd_bytes).ok(),
                retransmissions: Some(metrics.rtx_packets_count as u64),
            });
        }
    }

    /// Ends the association from outside.
    pub(crate) fn close(&mut self, reason: LossReason, now: Instant, out: &mut Outbox) {
        self.deliver_all();
        self.socket.close();
        self.end.get_or_insert(End::Lost(reason));
        self.poll(now, out);
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up)
    }

    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.stage, Stage::Connecting { .. })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Tells the handle, or whoever waits for it, how it ended.
    pub(crate) fn finale(mut self, now: Instant, out: &mut Outbox) -> Option<LossReason> {
        let end = self.end.take()?;
        self.deliver_all();
        // Says ABORT if the socket is not closed yet.
        self.socket.close();
        self.poll(now, out);
        let reason = match end {
            End::Lost(reason) => reason,
            End::Connect(error) => match std::mem::replace(&mut self.stage, Stage::Up) {
                Stage::Connecting { reply, .. } => {
                    // The caller may have gone.
                    let _ = reply.send(Err(error));
                    return None;
                }
                // COOKIE ACK and ABORT came together: the handle was given out after the refusal was seen.
                Stage::Accepting(_) | Stage::Up => LossReason::PeerAborted(error.to_string()),
            },
        };
        let reason = match reason {
            LossReason::Silent(_) | LossReason::Unreachable(_) if self.peer_closing && self.reliable == 0 => {
                LossReason::PeerClosed
            }
            reason => reason,
        };
        self.link.take(&mut self.taken);
        for message in std::mem::take(&mut self.taken) {
            self.link.finished(message.data.len(), message.token, Outcome::Unknown);
        }
        let mut live: Vec<u64> = self.live.keys().copied().collect();
        live.sort_unstable();
        for id in live {
            if let Some(live) = self.live.get_mut(&id) {
                live.outcome = Outcome::Unknown;
            }
            self.finish(id);
        }
        self.link.end(reason.clone());
        Some(reason)
    }

    /// When `pump` must be called next.
    pub(crate) fn deadline(&self, profile: &crate::Profile) -> Option<Instant> {
        let socket = self.born.checked_add(self.socket.poll_timeout() - SocketTime::zero());
        let liveness = match &self.stage {
            Stage::Connecting { deadline, .. } => *deadline,
            Stage::Accepting(_) | Stage::Up => self.heard + profile.silence,
        };
        let probe = self.trouble.as_ref().map(|trouble| trouble.next_probe);
        let probe = probe.filter(|_| matches!(self.stage, Stage::Up));
        let closing = self.closing.as_ref().map(|(_, sent)| *sent + profile.rto_max);
        [socket, Some(liveness), probe, closing].into_iter().flatten().min()
    }
}

fn event(message: RawMessage) -> Event {
    Event::Message(Message {
        stream: message.stream_id.0,
        ppid: Ppid(message.ppid.0),
        unordered: false,
        data: Bytes::from(message.payload),
    })
}
