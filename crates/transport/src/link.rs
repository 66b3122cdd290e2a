//! The two queues between an [`Association`](crate::Association) and its back end, both bounded in octets.
//!
//! Outgoing messages are charged when accepted and released when the back end knows their end (SCTP:
//! acknowledged or abandoned; TCP: handed to the kernel). Incoming events are charged until `recv` takes
//! them; a back end with no room left stops reading, which closes the peer's window.

mod outbound;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::budget::{Account, Budget};
use crate::status::{State, Status};
use crate::{Event, LossReason, MAX_MESSAGE, MsgOut, Outcome, PeerAddress, SendError, Token, TrySendError};
use outbound::Outbound;

/// What a message costs in a queue beyond its octets.
pub(crate) const OVERHEAD: usize = 64;

/// How much an association may buffer, in octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueLimits {
    /// Accepted and not yet delivered or abandoned. Default 2 MiB.
    pub send: usize,
    /// Arrived and not yet taken by `recv`. Default 1 MiB.
    pub receive: usize,
}

impl Default for QueueLimits {
    fn default() -> QueueLimits {
        QueueLimits { send: 2 << 20, receive: 1 << 20 }
    }
}

/// Tells the back end that there is something to do for an association.
pub(crate) trait Wake: Send + Sync {
    fn wake(&self);
}

/// What the association wants of its back end, beyond sending what is queued.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Request {
    #[default]
    None,
    Shutdown,
    Abort,
}

#[derive(Default)]
struct Inbound {
    queue: VecDeque<Event>,
    octets: usize,
    dry: bool,
    /// The back end waits for room.
    starved: bool,
    end: Option<LossReason>,
}

/// Figures a back end publishes now and then.
#[derive(Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) srtt: Option<std::time::Duration>,
    pub(crate) congestion_window: Option<usize>,
    pub(crate) peer_window: Option<usize>,
    pub(crate) retransmissions: Option<u64>,
    pub(crate) quiet: bool,
}

/// What is to be done when something came in.
pub(crate) type Arrival = dyn Fn() + Send + Sync;

pub(crate) struct Link {
    local: PeerAddress,
    /// At least one: the peer as reached at present, and then its other addresses.
    peers: Mutex<Vec<PeerAddress>>,
    limits: QueueLimits,
    /// Octets 2 and 3 of every message must be its length.
    framed: bool,
    outbound: Mutex<Outbound>,
    inbound: Mutex<Inbound>,
    figures: Mutex<Figures>,
    /// Outgoing streams agreed on; 0 where any number does.
    streams: AtomicU16,
    multipath: AtomicBool,
    /// What the peer was authenticated as.
    names: OnceLock<Vec<String>>,
    /// The longest message that fits one packet, in octets; 0 where that means nothing.
    max_payload: AtomicUsize,
    space: Notify,
    ready: Notify,
    ended: Notify,
    /// Called when something came in, with no lock held that is taken for reading.
    arrival: OnceLock<Box<Arrival>>,
    wake: Box<dyn Wake>,
    /// What it holds of a budget that it shares with others.
    account: Option<Account>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cost(event: &Event) -> usize {
    match event {
        Event::Message(message) => message.data.len() + OVERHEAD,
        // Charged to the send queue until `recv` takes it: see `next`.
        Event::Sent { .. } => 0,
        _ => OVERHEAD,
    }
}

impl Link {
    pub(crate) fn new(
        local: PeerAddress,
        peer: PeerAddress,
        limits: QueueLimits,
        framed: bool,
        wake: Box<dyn Wake>,
        budget: Option<&Budget>,
    ) -> Arc<Link> {
        Arc::new_cyclic(|link| Link {
            local,
            peers: Mutex::new(vec![peer]),
            limits,
            framed,
            outbound: Mutex::default(),
            inbound: Mutex::default(),
            figures: Mutex::default(),
            streams: AtomicU16::new(0),
            multipath: AtomicBool::new(false),
            names: OnceLock::new(),
            max_payload: AtomicUsize::new(0),
            space: Notify::new(),
            ready: Notify::new(),
            ended: Notify::new(),
            arrival: OnceLock::new(),
            wake,
            account: budget.map(|budget| Account::open(budget, link)),
        })
    }

    // The association's side.

    pub(crate) fn offer(&self, message: MsgOut) -> Result<(), TrySendError> {
        if self.queue(message)? {
            self.wake.wake();
        }
        Ok(())
    }

    /// Has the back end send what was queued.
    pub(crate) fn flush(&self) {
        self.wake.wake();
    }

    /// Queues a message without a word to the back end. Returns whether it is the only one that waits.
    pub(crate) fn queue(&self, message: MsgOut) -> Result<bool, TrySendError> {
        let length = message.data.len();
        if length == 0 {
            return Err(TrySendError::Unsendable(SendError::Empty));
        }
        if length > MAX_MESSAGE {
            return Err(TrySendError::Unsendable(SendError::TooLong(length)));
        }
        if self.framed && crate::tcp::framed_length(&message.data) != Some(length) {
            return Err(TrySendError::Unsendable(SendError::Framing(length)));
        }
        let streams = self.streams.load(Ordering::Relaxed);
        if streams > 0 && message.stream >= streams {
            return Err(TrySendError::Unsendable(SendError::Stream(message.stream)));
        }
        let mut outbound = lock(&self.outbound);
        if outbound.closing {
            return Err(TrySendError::Closed);
        }
        let before = outbound.charged;
        let charge = length + OVERHEAD;
        let mut given_up = Vec::new();
        if outbound.charged > 0 && outbound.charged + charge > self.limits.send {
            let missing = outbound.charged + charge - self.limits.send;
            // On TCP nothing gets lost.
            let room = if self.framed { None } else { outbound.make_room(missing, message.reliability) };
            let Some(leaving) = room else { return Err(TrySendError::Full(message)) };
            given_up = leaving;
        }
        let first = outbound.push(message);
        let charged = outbound.charged;
        drop(outbound);
        self.settle(before, charged);
        if !given_up.is_empty() {
            let tokens = given_up.iter().filter_map(|message| message.token);
            let outcomes = tokens.map(|token| Event::Sent { token, outcome: Outcome::Abandoned });
            lock(&self.inbound).queue.extend(outcomes);
            self.ready.notify_one();
        }
        Ok(first)
    }

    pub(crate) async fn send(&self, message: MsgOut) -> Result<(), SendError> {
        let mut message = message;
        loop {
            let space = self.space.notified();
            let mut space = std::pin::pin!(space);
            space.as_mut().enable();
            match self.offer(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(again)) => message = again,
                Err(TrySendError::Closed) => return Err(SendError::Closed),
                Err(TrySendError::Unsendable(error)) => return Err(error),
            }
            space.await;
        }
    }

    pub(crate) async fn recv(&self) -> Event {
        loop {
            if let Some(event) = self.next() {
                return event;
            }
            self.ready.notified().await;
        }
    }

    pub(crate) fn next(&self) -> Option<Event> {
        let mut inbound = lock(&self.inbound);
        let Some(event) = inbound.queue.pop_front() else {
            if std::mem::take(&mut inbound.dry) && lock(&self.outbound).live == 0 {
                return Some(Event::SenderDry);
            }
            return inbound.end.clone().map(Event::Lost);
        };
        let cost = cost(&event);
        inbound.octets -= cost;
        let resume = inbound.starved && inbound.octets <= self.limits.receive / 2;
        if resume {
            inbound.starved = false;
        }
        drop(inbound);
        self.settle(cost, 0);
        if resume {
            self.wake.wake();
        }
        if matches!(event, Event::Sent { .. }) {
            lock(&self.outbound).charged -= OVERHEAD;
            self.settle(OVERHEAD, 0);
            self.space.notify_waiters();
        }
        Some(event)
    }

    pub(crate) fn request(&self, request: Request) {
        let mut outbound = lock(&self.outbound);
        outbound.closing = true;
        if outbound.request != Request::Abort {
            outbound.request = request;
        }
        drop(outbound);
        self.space.notify_waiters();
        self.wake.wake();
    }

    /// Waits until `recv` has something. Nothing is taken. Cancel safe.
    pub(crate) async fn readable(&self) {
        loop {
            let ready = self.ready.notified();
            if self.is_readable() {
                return;
            }
            ready.await;
        }
    }

    fn is_readable(&self) -> bool {
        let inbound = lock(&self.inbound);
        !inbound.queue.is_empty() || inbound.dry || inbound.end.is_some()
    }

    /// Has `arrival` called from here on when something came in, and at once; what it was told before stays.
    pub(crate) fn on_arrival(&self, arrival: Box<Arrival>) {
        let _ = self.arrival.set(arrival);
        self.arrived();
    }

    /// Waits until the send queue is charged with `octets` or fewer, or the association is over. Cancel safe.
    pub(crate) async fn drained(&self, octets: usize) {
        loop {
            let space = self.space.notified();
            let mut space = std::pin::pin!(space);
            space.as_mut().enable();
            if lock(&self.outbound).charged <= octets || lock(&self.inbound).end.is_some() {
                return;
            }
            space.await;
        }
    }

    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Tells the budget that something takes `after` octets that took `before`.
    fn settle(&self, before: usize, after: usize) {
        let Some(account) = &self.account else { return };
        if after > before {
            account.add(after - before);
        } else if before > after {
            account.sub(before - after);
        }
    }

    pub(crate) async fn ended(&self) -> LossReason {
        loop {
            let ended = self.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if let Some(reason) = lock(&self.inbound).end.clone() {
                return reason;
            }
            ended.await;
        }
    }

    pub(crate) fn local(&self) -> PeerAddress {
        self.local
    }

    pub(crate) fn peer(&self) -> PeerAddress {
        lock(&self.peers)[0]
    }

    pub(crate) fn peers(&self) -> Vec<PeerAddress> {
        lock(&self.peers).clone()
    }

    pub(crate) fn send_queue(&self) -> usize {
        lock(&self.outbound).charged
    }

    pub(crate) fn status(&self) -> Status {
        let (receive_queue, over) = {
            let inbound = lock(&self.inbound);
            (inbound.octets, inbound.end.is_some())
        };
        let outbound = lock(&self.outbound);
        let figures = *lock(&self.figures);
        let state = match (over, outbound.closing) {
            (true, _) => State::Closed,
            (false, true) => State::Closing,
            (false, false) => State::Up,
        };
        Status {
            state,
            peer: self.peer(),
            local: self.local,
            send_queue: outbound.charged,
            receive_queue,
            unacknowledged: outbound.live,
            srtt: figures.srtt,
            congestion_window: figures.congestion_window,
            peer_window: figures.peer_window,
            retransmissions: figures.retransmissions,
            quiet: figures.quiet,
            max_payload: Some(self.max_payload.load(Ordering::Relaxed)).filter(|octets| *octets > 0),
        }
    }

    // The back end's side.

    /// The back end holds so many octets of messages that have not come whole.
    pub(crate) fn hold(&self, octets: usize) {
        if let Some(account) = &self.account {
            account.hold(octets);
        }
    }

    /// Waits until the budget, if there is one, lets the back end read on.
    pub(crate) async fn may_read(&self) {
        if let Some(account) = &self.account {
            account.budget().room().await;
        }
    }

    /// Takes everything that was queued, however long it has waited.
    pub(crate) fn take(&self, into: &mut VecDeque<MsgOut>) -> Request {
        let mut outbound = lock(&self.outbound);
        into.extend(outbound.drain());
        outbound.request
    }

    /// Takes queued messages until they hold `octets` or more; whatever is left may still give way to others, and
    /// is given up when its lifetime is over. Once the association closes, it takes all. Returns whether some are left.
    pub(crate) fn take_some(
        &self,
        into: &mut VecDeque<MsgOut>,
        octets: usize,
        now: Instant,
    ) -> (Request, bool) {
        self.take_until(into, now, outbound::after(octets))
    }

    /// Takes what is queued up to the first message that may give way, and further while what was taken holds
    /// fewer than `octets`. Otherwise as `take_some`.
    #[cfg(feature = "kernel-sctp")]
    pub(crate) fn take_unyielding(
        &self,
        into: &mut VecDeque<MsgOut>,
        octets: usize,
        now: Instant,
    ) -> (Request, bool) {
        self.take_until(into, now, outbound::at_yielding_after(octets))
    }

    fn take_until(
        &self,
        into: &mut VecDeque<MsgOut>,
        now: Instant,
        stop: impl FnMut(&MsgOut) -> bool,
    ) -> (Request, bool) {
        let mut expired = Vec::new();
        let mut outbound = lock(&self.outbound);
        let left = outbound.take(into, &mut expired, now, stop);
        let request = outbound.request;
        drop(outbound);
        for message in expired {
            self.finished(message.data.len(), message.token, Outcome::Abandoned);
        }
        (request, left)
    }

    pub(crate) fn requested(&self) -> Request {
        lock(&self.outbound).request
    }

    /// A message of `octets` reached its end; one with a token is told to the reader.
    pub(crate) fn finished(&self, octets: usize, token: Option<Token>, outcome: Outcome) {
        let mut outbound = lock(&self.outbound);
        outbound.live -= 1;
        let dry = outbound.live == 0;
        // The overhead of a message with a token is charged until the outcome was read.
        let released = if token.is_some() { octets } else { octets + OVERHEAD };
        outbound.charged -= released;
        drop(outbound);
        self.settle(released, 0);
        self.space.notify_waiters();
        if token.is_none() && !dry {
            return;
        }
        let mut inbound = lock(&self.inbound);
        inbound.queue.extend(token.map(|token| Event::Sent { token, outcome }));
        inbound.dry = dry;
        drop(inbound);
        self.ready.notify_one();
    }

    /// Moves events in as long as there is room. Returns whether there is room left; if not, the back end
    /// is woken when there is again.
    pub(crate) fn fill(&self, mut next: impl FnMut() -> Option<Event>) -> bool {
        let mut any = false;
        let mut inbound = lock(&self.inbound);
        let before = inbound.octets;
        inbound.starved = inbound.octets >= self.limits.receive;
        while inbound.octets < self.limits.receive {
            let Some(event) = next() else { break };
            inbound.octets += cost(&event);
            inbound.queue.push_back(event);
            any = true;
            inbound.starved = inbound.octets >= self.limits.receive;
        }
        let (room, octets) = (!inbound.starved, inbound.octets);
        drop(inbound);
        self.settle(before, octets);
        if any {
            self.arrived();
        }
        room
    }

    /// Moves an event in, room or not.
    pub(crate) fn push(&self, event: Event) {
        let mut inbound = lock(&self.inbound);
        let cost = cost(&event);
        inbound.octets += cost;
        inbound.queue.push_back(event);
        drop(inbound);
        self.settle(0, cost);
        self.arrived();
    }

    fn arrived(&self) {
        self.ready.notify_one();
        if let Some(arrival) = self.arrival.get() {
            arrival();
        }
    }

    /// Refuses further messages: the peer or this side closes.
    pub(crate) fn close_sending(&self) {
        lock(&self.outbound).closing = true;
        self.space.notify_waiters();
    }

    /// Whether everything accepted has reached its end.
    pub(crate) fn is_dry(&self) -> bool {
        lock(&self.outbound).live == 0
    }

    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.outbound).closing
    }

    /// The association is over. What was not sent is reported as unknown first.
    pub(crate) fn end(&self, reason: LossReason) {
        let mut outbound = lock(&self.outbound);
        outbound.closing = true;
        let unsent: Vec<MsgOut> = outbound.drain().collect();
        drop(outbound);
        for message in unsent {
            self.finished(message.data.len(), message.token, Outcome::Unknown);
        }
        self.hold(0);
        let mut inbound = lock(&self.inbound);
        inbound.dry = false;
        inbound.end.get_or_insert(reason);
        drop(inbound);
        self.arrived();
        self.ended.notify_waiters();
        self.space.notify_waiters();
    }

    /// Tells all addresses of the peer; that in use stays in use. For back ends with several paths.
    #[cfg_attr(not(feature = "kernel-sctp"), expect(dead_code, reason = "userland has one path"))]
    pub(crate) fn set_peers(&self, all: impl IntoIterator<Item = PeerAddress>) {
        let mut peers = lock(&self.peers);
        peers.truncate(1);
        let in_use = peers[0];
        peers.extend(all.into_iter().filter(|peer| *peer != in_use));
    }

    /// The peer is reached at another address: one of those it has, or it has moved.
    pub(crate) fn move_peer(&self, peer: PeerAddress) {
        let mut peers = lock(&self.peers);
        match peers.iter().position(|known| *known == peer) {
            Some(at) => peers[..=at].rotate_right(1),
            None => *peers = vec![peer],
        }
        drop(peers);
        self.push(Event::PathUp(peer));
    }

    /// Both sides speak MPTCP.
    pub(crate) fn agree_multipath(&self) {
        self.multipath.store(true, Ordering::Relaxed);
    }

    pub(crate) fn names(&self) -> &[String] {
        self.names.get().map_or(&[], Vec::as_slice)
    }

    /// Once, before anybody asks.
    pub(crate) fn set_names(&self, names: Vec<String>) {
        let _ = self.names.set(names);
    }

    pub(crate) fn is_multipath(&self) -> bool {
        self.multipath.load(Ordering::Relaxed)
    }

    pub(crate) fn set_max_payload(&self, octets: usize) {
        self.max_payload.store(octets, Ordering::Relaxed);
    }

    pub(crate) fn agree_streams(&self, streams: u16) {
        self.streams.store(streams, Ordering::Relaxed);
    }

    pub(crate) fn publish(&self, figures: Figures) {
        *lock(&self.figures) = figures;
    }
}
