//! One association: a task that reads messages and notifications, writes, and watches the paths.

mod sending;
mod watch;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::ledger::{Entry, Ledger};
use super::notification::{self, Notification};
use super::paths::Paths;
use super::reader::{Read, Reader};
use super::socket::Socket;
use super::sys;
use super::{Admission, Shared, options};
use crate::link::{Link, Request, Wake};
use crate::quiet::quiet;
use crate::{Association, Event, LossReason, MAX_MESSAGE, MsgOut, Outcome, PeerAddress};
use watch::Hints;

/// How often a socket that is closing is looked at.
const CLOSING: Duration = Duration::from_millis(10);

/// Gives the kernel what was queued, at once: what is not in the kernel when the peer's SHUTDOWN comes can
/// not be sent any more. Then wakes the half of the task that is meant: that which waits for room in the receive
/// queue, and that which goes on where the kernel had no room, and closes.
impl Wake for Weak<Connection> {
    fn wake(&self) {
        // None once the association is over.
        let Some(connection) = self.upgrade() else { return };
        if connection.pump() != Request::None || connection.needs_writable() != (false, false) {
            connection.write.notify_one();
        }
        if connection.starved.load(Ordering::SeqCst) {
            connection.read.notify_one();
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
        let link = Link::new(
            local,
            peer,
            shared.config.queues,
            false,
            Box::new(Weak::clone(weak)),
            shared.config.budget.as_ref(),
        );
        link.agree_streams(status.streams);
        let told_when_dry = shared.config.prompt;
        Connection {
            link,
            socket,
            shared,
            starved: AtomicBool::new(false),
            read: Notify::new(),
            write: Notify::new(),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                taken: VecDeque::new(),
                ledger: Ledger::default(),
                hints: Hints::new(status.rto),
                paths: Paths::new(remote, encapsulation),
                settling: Settling::No,
                full: false,
                told_when_dry,
            }),
        }
    });
    connection.publish_peers();
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
    /// Nothing before this context waits any more; if there is still nothing to read, that is not because of
    /// a restart or a loss that is yet to be read.
    Confirm(u32),
}

struct State {
    hints: Hints,
    /// Accepted, and not yet in the kernel.
    queue: VecDeque<Waiting>,
    /// Empty; where messages pass through on their way there.
    taken: VecDeque<MsgOut>,
    ledger: Ledger,
    paths: Paths,
    settling: Settling,
    /// The kernel's send buffer had no room for the first of `queue`.
    full: bool,
    /// The kernel tells when nothing waits for an acknowledgement any more.
    told_when_dry: bool,
}

struct Connection {
    link: Arc<Link>,
    socket: Socket,
    shared: Arc<Shared>,
    /// The reader waits for room in the receive queue.
    starved: AtomicBool,
    read: Notify,
    write: Notify,
    state: Mutex<State>,
}

/// A message on its way to the kernel, and until when it is worth it.
type Waiting = (MsgOut, Option<Instant>);

impl Connection {
    async fn run(&self) -> LossReason {
        // All of them run until the end. What comes in wakes the first alone.
        let mut rest = pin!(async {
            tokio::select! {
                biased;
                reason = self.write() => reason,
                reason = self.watch() => reason,
                () = self.shared.closed() => LossReason::EndpointClosed,
            }
        });
        let reason = tokio::select! {
            biased;
            reason = self.read() => reason,
            reason = quiet(rest.as_mut()) => reason,
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
            if !self.link.fill(|| reader.ready.take().map(Event::Message)) {
                self.starved.store(true, Ordering::SeqCst);
                // Looked at again: room that came before that was set wakes nobody.
                if !self.link.fill(|| reader.ready.take().map(Event::Message)) {
                    self.read.notified().await;
                }
                self.starved.store(false, Ordering::SeqCst);
                continue;
            }
            self.link.hold(reader.unfinished());
            self.link.may_read().await;
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
                Ok(Read::End) => return self.ended(),
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
                Err(error) => return self.lost(&error),
            }
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Acts on a notification. Returns a reason if the association is over.
    fn notified(&self, notification: Notification, reader: &mut Reader) -> Option<LossReason> {
        match notification {
            Notification::Up { streams } => self.link.agree_streams(streams),
            Notification::Lost { peer: Some(text), .. } => return Some(LossReason::PeerAborted(text)),
            Notification::Lost { peer: None, error } | Notification::CannotStart { error } => {
                return Some(match self.socket.take_error() {
                    Some(error) => self.lost(&error),
                    None => LossReason::Protocol(format!("association lost, error cause {error}")),
                });
            }
            Notification::Closed => {
                let ours = self.link.requested() == Request::Shutdown;
                return Some(if ours { LossReason::Closed } else { LossReason::PeerClosed });
            }
            Notification::Restarted { streams } => self.restarted(streams, reader),
            Notification::PathUp(address) => {
                self.publish_peers();
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
                let memory = options::send_queue(&self.socket).ok();
                let waiting = memory.map(|memory| state.ledger.waiting_from(memory as usize));
                let alive = options::status(&self.socket).is_ok();
                let settled = waiting.filter(|&waiting| alive && state.ledger.settles(waiting));
                state.settling = settled.map_or(Settling::No, Settling::Confirm);
                settled.is_some()
            }
            Settling::Confirm(context) => {
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
                    context,
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
    fn ended(&self) -> LossReason {
        match (self.socket.take_error(), self.link.requested()) {
            (Some(error), _) => self.lost(&error),
            (None, Request::Shutdown) => LossReason::Closed,
            (None, Request::None | Request::Abort) => LossReason::PeerClosed,
        }
    }

    fn lost(&self, error: &io::Error) -> LossReason {
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
}
