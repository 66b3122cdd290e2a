//! One association: a task that reads messages and notifications, writes, and watches the paths.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::ledger::{Entry, Ledger};
use super::notification::{self, Notification};
use super::options::Statistics;
use super::paths::Paths;
use super::reader::{Read, Reader};
use super::socket::Socket;
use super::sys::{self, SendInfo};
use super::{
    Admission, SCTP_PR_SCTP_NONE, SCTP_PR_SCTP_PRIO, SCTP_PR_SCTP_RTX, SCTP_PR_SCTP_TTL, Shared, options,
};
use crate::link::{Figures, Link, Request, Wake};
use crate::{Association, Event, LossReason, MAX_MESSAGE, MsgOut, Outcome, PeerAddress, Reliability};

const SCTP_UNORDERED: u16 = 1;
/// Asks the peer for a SACK at once (RFC 7053).
const SCTP_SACK_IMMEDIATELY: u16 = 8;
/// With so many octets unacknowledged, the last message queued asks for a SACK at once: then nothing waits
/// for the peer's delayed one.
const HURRY: usize = 64 << 10;
/// How often a socket that is closing is looked at.
const CLOSING: Duration = Duration::from_millis(10);

/// Gives the kernel what was queued, at once: what is not in the kernel when the peer's SHUTDOWN comes can
/// not be sent any more. Then wakes both halves of the task; each looks whether it is meant.
impl Wake for Weak<Connection> {
    fn wake(&self) {
        // None once the association is over.
        if let Some(connection) = self.upgrade() {
            connection.pump();
            connection.read.notify_one();
            connection.write.notify_one();
        }
    }
}

/// Starts the task of an association that is up.
pub(super) fn start(socket: Socket, admission: Admission) -> io::Result<Association> {
    let shared = Arc::clone(&admission.shared);
    let status = options::status(&socket)?;
    let (local, remote) = (socket.local()?, status.primary.map_or_else(|| socket.peer(), Ok)?);
    let encapsulation = options::encapsulation(&socket, remote)?;
    let address = |address: SocketAddr, encapsulation| PeerAddress::Sctp {
        ip: address.ip(),
        port: address.port(),
        encapsulation,
    };
    let peer = address(remote, encapsulation);
    let local = address(local, encapsulation.and(shared.encapsulation));
    let connection = Arc::new_cyclic(|weak: &Weak<Connection>| {
        let link = Link::new(local, peer, shared.config.queues, false, Box::new(Weak::clone(weak)));
        link.agree_streams(status.streams);
        Connection {
            link,
            socket,
            shared,
            read: Notify::new(),
            write: Notify::new(),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                ledger: Ledger::default(),
                hints: Hints { rto: status.rto, ..Hints::default() },
                paths: Paths::new(remote, encapsulation),
                settling: Settling::No,
                full: false,
            }),
        }
    });
    let link = Arc::clone(&connection.link);
    tokio::spawn(async move {
        let _admission = admission;
        let reason = connection.run().await;
        tracing::debug!(%reason, peer = %connection.link.peer(), "kernel SCTP association over");
        connection.link.end(reason);
    });
    Ok(Association::new(link))
}

/// How far it is known that nothing waits for an acknowledgement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Settling {
    No,
    /// Perhaps: look once there is nothing to read.
    Look,
    /// The send queue was empty; if there is still nothing to read, it was not emptied by a restart or a
    /// loss that is yet to be read.
    Confirm,
}

/// Hints that something was lost since the last settlement.
#[derive(Default)]
struct Hints {
    gaps: u64,
    retransmissions: u64,
    rto: Duration,
    seen: bool,
}

impl Hints {
    fn look(&mut self, statistics: &Statistics) {
        // A retransmission time-out doubles the RTO.
        self.seen |= statistics.gaps != self.gaps
            || statistics.retransmissions != self.retransmissions
            || statistics.longest_rto * 2 >= self.rto * 3;
        (self.gaps, self.retransmissions) = (statistics.gaps, statistics.retransmissions);
    }
}

struct State {
    hints: Hints,
    /// Accepted, and not yet in the kernel.
    queue: VecDeque<Waiting>,
    ledger: Ledger,
    paths: Paths,
    settling: Settling,
    /// The kernel's send buffer had no room for the first of `queue`.
    full: bool,
}

struct Connection {
    link: Arc<Link>,
    socket: Socket,
    shared: Arc<Shared>,
    read: Notify,
    write: Notify,
    state: Mutex<State>,
}

/// A message on its way to the kernel, and until when it is worth it.
type Waiting = (MsgOut, Option<Instant>);

impl Connection {
    async fn run(&self) -> LossReason {
        let reason = tokio::select! {
            reason = self.read() => reason,
            reason = self.write() => reason,
            reason = self.watch() => reason,
            () = self.shared.closed() => LossReason::EndpointClosed,
        };
        self.link.close_sending();
        let mut state = self.state();
        for (message, _) in state.queue.drain(..) {
            self.link.finished(message.data.len(), message.token, Outcome::Unknown);
        }
        for entry in state.ledger.drain() {
            // A graceful end means that everything reliable was acknowledged.
            let graceful = matches!(reason, LossReason::Closed | LossReason::PeerClosed);
            let known = graceful && entry.lane.is_none();
            self.finish(entry, if known { Outcome::Delivered } else { Outcome::Unknown });
        }
        reason
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, entry: Entry, outcome: Outcome) {
        self.link.finished(entry.octets, entry.token, outcome);
    }

    async fn read(&self) -> LossReason {
        let mut reader = Reader::default();
        loop {
            let room = self.link.fill(|| reader.ready.take().map(Event::Message));
            if !room {
                self.read.notified().await;
                continue;
            }
            // Asked for before the read that finds nothing, so that nothing is missed.
            let received = sys::receive(&self.socket, |piece, octets, last| reader.take(piece, octets, last));
            match received {
                Ok(Read::More) => {}
                Ok(Read::Notification) => {
                    let parsed = notification::parse(&reader.notification);
                    tracing::trace!(?parsed, "notification");
                    reader.notification.clear();
                    if let Some(reason) = parsed.and_then(|parsed| self.notified(parsed, &mut reader)) {
                        return reason;
                    }
                }
                Ok(Read::TooLong) => {
                    return LossReason::Protocol(format!("a message longer than {MAX_MESSAGE} octets"));
                }
                Ok(Read::End) if options::status(&self.socket).is_ok() => {
                    // The peer's SHUTDOWN came, ours is still to be answered. The socket stays readable
                    // without anything to read.
                    self.settle();
                    tokio::time::sleep(CLOSING).await;
                }
                Ok(Read::End) => return self.ended(None),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.settle() {
                        continue;
                    }
                    tokio::select! {
                        ready = self.socket.readable() => if let Err(error) = ready {
                            return LossReason::Io(error.to_string());
                        },
                        () = self.read.notified() => {}
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.ended(Some(&error)),
            }
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Acts on a notification. Returns a reason if the association is over.
    fn notified(&self, notification: Notification, reader: &mut Reader) -> Option<LossReason> {
        match notification {
            Notification::Up { streams } => self.link.agree_streams(streams),
            Notification::Lost { peer: Some(text), .. } => return Some(LossReason::PeerAborted(text)),
            Notification::Lost { peer: None, .. } | Notification::CannotStart { .. } => {
                return Some(self.ended(None));
            }
            Notification::Closed => {
                let ours = self.link.requested() == Request::Shutdown;
                return Some(if ours { LossReason::Closed } else { LossReason::PeerClosed });
            }
            Notification::Restarted { streams } => self.restarted(streams, reader),
            Notification::PathUp(address) => {
                self.state().paths.up(&self.link, address);
            }
            Notification::PathDown(address) => {
                self.state().paths.down(&self.link, address);
            }
            Notification::SendFailed { context, error } => self.send_failed(context, error),
            Notification::Dry => self.look(),
            Notification::Shutdown => {
                if self.link.requested() == Request::None {
                    self.link.push(Event::PeerShutdown);
                }
                self.link.close_sending();
            }
            Notification::PartialDeliveryAborted => reader.abandon(),
            Notification::Other(_) => {}
        }
        None
    }

    /// The peer lost its state: what the kernel had of us is gone.
    fn restarted(&self, streams: u16, reader: &mut Reader) {
        reader.abandon();
        self.shared.counters.restarts.one();
        let lost = {
            let mut state = self.state();
            state.settling = Settling::No;
            state.ledger.drain()
        };
        for entry in lost {
            self.finish(entry, Outcome::Unknown);
        }
        self.link.agree_streams(streams);
        self.link.push(Event::Restarted);
        self.link.push(Event::Up);
        self.write.notify_one();
    }

    fn send_failed(&self, context: u32, error: u32) {
        let failed = self.state().ledger.failed(context);
        if let Some(entry) = failed {
            // Only a limited message is ever given up while the association lives.
            let given_up = entry.lane.is_some() && error == 0;
            self.finish(entry, if given_up { Outcome::Abandoned } else { Outcome::Unknown });
        }
        self.look();
        self.write.notify_one();
    }

    fn look(&self) {
        let mut state = self.state();
        if !state.ledger.is_empty() && state.settling == Settling::No {
            state.settling = Settling::Look;
        }
    }

    /// There is nothing to read. Returns whether to look again whether that is so.
    fn settle(&self) -> bool {
        let mut state = self.state();
        match state.settling {
            Settling::No => false,
            Settling::Look => {
                let empty = options::send_queue(&self.socket).is_ok_and(|octets| octets == 0);
                let alive = empty && options::status(&self.socket).is_ok();
                state.settling = if alive { Settling::Confirm } else { Settling::No };
                alive
            }
            Settling::Confirm => {
                state.settling = Settling::No;
                let (mut outcomes, socket) = (Vec::new(), &self.socket);
                match options::statistics(socket) {
                    Ok(statistics) => state.hints.look(&statistics),
                    Err(_) => state.hints.seen = true,
                }
                let lossless = !std::mem::take(&mut state.hints.seen);
                if let Ok(status) = options::status(socket) {
                    state.hints.rto = status.rto;
                }
                state.ledger.settle(
                    lossless,
                    |(stream, policy)| options::abandoned(socket, stream, policy).ok(),
                    |entry, outcome| outcomes.push((entry, outcome)),
                );
                drop(state);
                for (entry, outcome) in outcomes {
                    self.finish(entry, outcome);
                }
                self.write.notify_one();
                false
            }
        }
    }

    /// Why nothing comes any more.
    fn ended(&self, error: Option<&io::Error>) -> LossReason {
        let pending = self.socket.take_error();
        let Some(error) = error.or(pending.as_ref()) else {
            return match self.link.requested() {
                Request::Shutdown => LossReason::Closed,
                _ => LossReason::PeerClosed,
            };
        };
        match error.kind() {
            io::ErrorKind::TimedOut => {
                self.shared.counters.lost_silent.one();
                LossReason::Silent(self.shared.config.profile.silence)
            }
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::BrokenPipe => LossReason::PeerAborted("connection reset".to_owned()),
            _ => LossReason::Io(error.to_string()),
        }
    }

    /// Goes on where the kernel had no room, and closes.
    async fn write(&self) -> LossReason {
        let mut shut = false;
        loop {
            let request = self.pump();
            if request == Request::Abort {
                return LossReason::Aborted;
            }
            if request == Request::Shutdown && !shut && self.link.is_dry() {
                shut = true;
                if let Err(error) = self.socket.shutdown(Shutdown::Write) {
                    tracing::debug!(%error, "shutdown refused; the association is over");
                }
            }
            let full = self.state().full;
            tokio::select! {
                ready = self.socket.writable(), if full => if let Err(error) = ready {
                    return LossReason::Io(error.to_string());
                },
                () = self.write.notified() => {}
            }
        }
    }

    /// Takes what was queued and gives the kernel as much as it takes.
    fn pump(&self) -> Request {
        let mut state = self.state();
        let mut taken = VecDeque::new();
        let request = self.link.take(&mut taken);
        let now = Instant::now();
        state.queue.extend(taken.into_iter().map(|message| {
            let until = match message.reliability {
                Reliability::Lifetime(lifetime) => now.checked_add(lifetime),
                _ => None,
            };
            (message, until)
        }));
        if request == Request::Abort {
            return request;
        }
        match self.hand_over(&mut state) {
            Ok(full) => state.full = full,
            Err(error) => {
                // The association is closing or over, and the reader will see why.
                let messages = state.queue.len();
                tracing::debug!(%error, messages, "kernel SCTP takes no more messages");
                state.full = false;
                self.link.close_sending();
                for (message, _) in state.queue.drain(..) {
                    self.link.finished(message.data.len(), message.token, Outcome::Unknown);
                }
            }
        }
        request
    }

    /// Gives the kernel what it takes. Returns whether it is full.
    fn hand_over(&self, state: &mut State) -> io::Result<bool> {
        while let Some((message, until)) = state.queue.front() {
            let (octets, token) = (message.data.len(), message.token);
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                state.queue.pop_front();
                self.link.finished(octets, token, Outcome::Abandoned);
                continue;
            }
            let info = send_info(message, left, &state.ledger, state.queue.len() == 1);
            match sys::send(&self.socket, &message.data, &info) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_full(&error) => return Ok(true),
                Err(error) => return Err(error),
            }
            state.queue.pop_front();
            let lane = (info.policy != SCTP_PR_SCTP_NONE).then_some((info.stream, info.policy));
            state.ledger.sent(Entry { octets, token, lane });
        }
        Ok(false)
    }

    /// Publishes figures and ends an association whose peer is silent. The kernel's own limit on
    /// retransmissions is set so high that it does not end one whose reader only stalls.
    async fn watch(&self) -> LossReason {
        let profile = &self.shared.config.profile;
        let tick = (profile.heartbeat / 2).min(profile.silence / 4).max(Duration::from_millis(10));
        let (mut heard, mut silence, mut last) = (0, Duration::ZERO, Instant::now());
        loop {
            tokio::time::sleep(tick).await;
            // Time in which this process did not run counts as one tick.
            let passed = last.elapsed().min(tick * 2);
            last = Instant::now();
            let Ok(statistics) = options::statistics(&self.socket) else { continue };
            let Ok(status) = options::status(&self.socket) else { continue };
            self.link.publish(Figures {
                srtt: Some(status.srtt).filter(|srtt| !srtt.is_zero()),
                congestion_window: Some(status.congestion_window as usize),
                peer_window: Some(status.peer_window as usize),
                retransmissions: Some(statistics.retransmissions),
            });
            silence = if statistics.packets_in == heard { silence + passed } else { Duration::ZERO };
            heard = statistics.packets_in;
            self.state().hints.look(&statistics);
            self.look();
            self.read.notify_one();
            self.write.notify_one();
            if silence >= profile.silence + 2 * status.srtt {
                self.shared.counters.lost_silent.one();
                return LossReason::Silent(silence);
            }
            if silence >= profile.heartbeat {
                for path in options::peer_addresses(&self.socket).unwrap_or_default() {
                    let _ = options::demand_heartbeat(&self.socket, path);
                }
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory)
        || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// How a message goes out; `left` is what is left of its lifetime, `last` that none waits behind it.
fn send_info(message: &MsgOut, left: Option<Duration>, ledger: &Ledger, last: bool) -> SendInfo {
    let (policy, value) = match (message.reliability, left) {
        (Reliability::Full, _) | (Reliability::Lifetime(_), None) => (SCTP_PR_SCTP_NONE, 0),
        (Reliability::MaxRetransmits(count), _) => (SCTP_PR_SCTP_RTX, count.into()),
        (Reliability::Priority(priority), _) => (SCTP_PR_SCTP_PRIO, priority),
        (Reliability::Lifetime(_), Some(left)) => {
            (SCTP_PR_SCTP_TTL, u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1))
        }
    };
    let mut flags = if message.unordered { SCTP_UNORDERED } else { 0 };
    if last && ledger.octets() + message.data.len() >= HURRY {
        flags |= SCTP_SACK_IMMEDIATELY;
    }
    let context = ledger.next_context();
    SendInfo { stream: message.stream, flags, ppid: message.ppid, context, policy, value }
}
