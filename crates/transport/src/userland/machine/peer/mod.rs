//! One association: dcsctp's socket, its link to the handle, and whether the peer still lives.

mod end;
mod incoming;
mod liveness;
mod outgoing;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use dcsctp::api::{DcSctpSocket, Socket, SocketEvent, SocketState, SocketTime};
use tokio::sync::{mpsc, oneshot};

use super::Outbox;
use super::packet::{self, Header, chunk};
use crate::link::{Figures, Link, Request};
use crate::userland::sctp_in_udp;
use crate::{Association, ConnectError, Event, LossReason, MsgOut, Outcome, PeerAddress, Profile};
use end::End;
use incoming::Unfinished;
use liveness::Liveness;
use outgoing::{Live, UNSENT};

/// How old the figures of `status` may be.
const FIGURES: Duration = Duration::from_millis(100);

pub(crate) enum Stage {
    Connecting { reply: oneshot::Sender<Result<Association, ConnectError>>, deadline: Instant },
    Accepting(mpsc::OwnedPermit<Association>),
    Up,
}

pub(crate) struct Peer {
    socket: Socket,
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
    /// Octets of messages that dcsctp has and has not sent.
    unsent: usize,
    /// More waits to be sent, and there is room for it.
    hungry: bool,
    taken: VecDeque<MsgOut>,
    liveness: Liveness,
    /// The last packet with DATA that came while the reader stalled.
    stalled_packet: Option<Vec<u8>>,
    stalled: bool,
    unfinished: Unfinished,
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
        let opener = matches!(stage, Stage::Connecting { .. });
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
            unsent: 0,
            hungry: false,
            taken: VecDeque::new(),
            liveness: Liveness::new(now, opener),
            stalled_packet: None,
            stalled: false,
            unfinished: Unfinished::default(),
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
        sctp_in_udp(self.remote, self.ports.1)
    }

    /// The tag packets for this association carry; 0 while there is none.
    pub(crate) fn verification_tag(&self) -> u32 {
        self.socket.verification_tag()
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
        self.liveness.heard(now);
        if self.has_no_room() && packet::has(packet, chunk::DATA) {
            // As if the network had lost it: the peer sends it again.
            return;
        }
        self.advance(now);
        let mut closing = false;
        for chunk in packet::chunks(packet) {
            if chunk.kind == chunk::DATA {
                self.unfinished.arrived(chunk.value.len());
            }
            match chunk.kind {
                chunk::ABORT if matches!(self.stage, Stage::Connecting { .. }) && !chunk.reflects_tag() => {
                    // dcsctp ignores it while it waits for the INIT ACK.
                    self.end = Some(End::Connect(ConnectError::Refused(self.address())));
                    return;
                }
                chunk::SHUTDOWN => closing = true,
                chunk::HEARTBEAT_ACK => {
                    if let Some(nonce) = packet::nonce(chunk.value) {
                        self.liveness.answered(nonce, now);
                    }
                }
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
        self.liveness.heard(now);
        self.handshake(packet, now);
    }

    /// A packet that needs no tag.
    pub(crate) fn handshake(&mut self, packet: &[u8], now: Instant) {
        self.advance(now);
        self.socket.handle_input(packet);
    }

    /// Does what is due: timers, what the handle wants, what dcsctp wants. Of what waits to be sent it takes
    /// [`UNSENT`] octets: see `hungry`.
    pub(crate) fn pump(&mut self, now: Instant, profile: &Profile, out: &mut Outbox) {
        self.advance(now);
        let (request, left) = self.take_messages(now, profile);
        self.poll(now, out);
        // What was sent made room. The packets leave first: a congestion window of them can take longer than
        // the peer waits for one.
        self.hungry = left && self.unsent < UNSENT;
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
        self.tell_unfinished();
        if now >= self.figures_due {
            self.figures_due = now + FIGURES;
            self.publish(now, profile);
        }
    }

    fn advance(&mut self, now: Instant) {
        if self.socket.state() == SocketState::ShuttingDown {
            // A timer may close the socket, which forgets what waits in it.
            self.deliver_all();
        }
        self.socket.advance_time(SocketTime::zero() + (now - self.born));
    }

    /// Asks after the peer, and ends the association where it is lost. `behind`: datagrams that arrived were
    /// not handled yet.
    pub(crate) fn check_liveness(&mut self, now: Instant, profile: &Profile, behind: bool, out: &mut Outbox) {
        if let Stage::Connecting { reply, deadline } = &self.stage {
            if now >= *deadline || reply.is_closed() {
                self.end.get_or_insert(End::Connect(ConnectError::TimedOut(self.address())));
            }
            return;
        }
        if self.liveness.is_unreachable(now, profile) {
            self.end.get_or_insert(End::Lost(LossReason::Unreachable(profile.unreachable)));
        }
        if self.liveness.is_silent(now, profile, behind) {
            self.end.get_or_insert(End::Lost(LossReason::Silent(profile.silence)));
        }
        // RFC 9260 section 6.3.3 caps the back-off at RTO.Max; dcsctp's T2-shutdown has no cap.
        if let Some((packet, sent)) = &mut self.closing
            && now >= *sent + profile.rto_max
        {
            *sent = now;
            out.packets.push_back((self.remote, packet.clone()));
        }
        if self.peer_tag != 0
            && let Some(nonce) = self.liveness.poll_probe(now, profile)
        {
            let header = Header { source: self.ports.0, destination: self.ports.1, tag: self.peer_tag };
            out.packets.push_back((self.remote, packet::heartbeat(header, nonce)));
        }
    }

    /// The network says that nobody listens at the peer's UDP port.
    pub(crate) fn unreachable(&mut self, now: Instant, profile: &Profile) {
        let lasts = self.liveness.unreachable(now);
        // Only T1-init makes packets then; its first expiry is no shorter.
        if self.is_connecting() && lasts >= profile.unreachable / 2 {
            self.end.get_or_insert(End::Connect(ConnectError::Unreachable(self.address())));
        }
    }

    /// This process did not run for so long; the peer is not to blame.
    pub(crate) fn excuse(&mut self, stall: Duration, now: Instant) {
        self.liveness.excuse(stall, now);
        if let Stage::Connecting { deadline, .. } = &mut self.stage {
            *deadline += stall;
        }
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
                    self.unfinished.look_at(&packet);
                    out.push(self.remote, packet, now);
                }
                SocketEvent::OnConnected() => self.connected(),
                SocketEvent::OnConnectionRestarted() => self.restart(),
                SocketEvent::OnClosed() => {
                    let reason = if self.peer_closing { LossReason::PeerClosed } else { LossReason::Closed };
                    self.end.get_or_insert(End::Lost(reason));
                }
                SocketEvent::OnAborted(kind, text) => self.aborted(kind, text),
                SocketEvent::OnLifecycleMessageFullySent(id) => self.fully_sent(id.value()),
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

    fn publish(&mut self, now: Instant, profile: &Profile) {
        if let Some(metrics) = self.socket.get_metrics() {
            self.link.publish(Figures {
                srtt: Some(metrics.srtt),
                congestion_window: Some(metrics.cwnd_bytes),
                peer_window: usize::try_from(metrics.peer_rwnd_bytes).ok(),
                retransmissions: Some(metrics.rtx_packets_count as u64),
                quiet: self.liveness.is_quiet(now, profile),
            });
        }
    }

    /// Whether `pump` has more to do at once.
    pub(crate) fn is_hungry(&self) -> bool {
        self.hungry
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

    /// When `pump` must be called next.
    pub(crate) fn deadline(&self, profile: &Profile) -> Option<Instant> {
        let socket = self.born.checked_add(self.socket.poll_timeout() - SocketTime::zero());
        let liveness = match &self.stage {
            Stage::Connecting { deadline, .. } => *deadline,
            Stage::Accepting(_) | Stage::Up => self.liveness.deadline(profile),
        };
        let closing = self.closing.as_ref().map(|(_, sent)| *sent + profile.rto_max);
        [socket, Some(liveness), closing].into_iter().flatten().min()
    }
}
