//! The associations of one machine, by the [`ConnectionId`] the machine knows them under.
//!
//! What a connection has received stays in its association until the driver takes it, some at a time from each that has
//! something: a driver that is late stops the reading, which closes the peers' windows, and no peer can keep the others
//! from being heard. Nothing here blocks the driver: a peer that lets its send queue run full does not
//! read, and its association is aborted. A server slows its ASAP peers down before that ([`Pacing`]).

mod arrivals;
mod pacing;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rserpool_proto::{ConnectionId, ControlProtocol};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use transport::{
    Association, ConnectError, ConnectOptions, Connector, Event, LossReason, MsgOut, PeerAddress, Ppid,
    Sender, TrySendError,
};

pub use pacing::Pacing;

use arrivals::{Arrival, Arrivals, Attempt};
use pacing::Pace;

/// How many events of one connection follow each other at most while others wait.
const IN_A_ROW: usize = 16;

/// How long a graceful close may take before the association is aborted.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// What happened to a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// It is up; only for those asked for by [`Connections::connect`].
    Up {
        /// The peer.
        peer: PeerAddress,
        /// This side.
        local: PeerAddress,
    },
    /// It could not be set up. Nothing follows.
    Failed(ConnectError),
    /// The peer sent a message.
    Message {
        /// What it is said to be: [`Ppid::ASAP`], [`Ppid::ENRP`] or anything else.
        ppid: Ppid,
        /// Its octets.
        data: Bytes,
    },
    /// The peer lost its state; what it knew about us is gone.
    Restarted,
    /// It is over, and not because the driver asked for it. Nothing follows.
    Lost(LossReason),
}

/// The associations of one machine. When it is dropped they are aborted, but for those being closed.
#[derive(Debug)]
pub struct Connections {
    connector: Connector,
    open: BTreeMap<ConnectionId, Open>,
    arrivals: Arc<Arrivals>,
    /// Those with something to tell, in the order of their turns.
    turns: VecDeque<ConnectionId>,
    /// Whose turn it is, and how many more of its events at most.
    turn: Option<(ConnectionId, usize)>,
    /// Attempts to connect that have ended.
    attempts: VecDeque<Attempt>,
    /// Those with messages that are queued and not flushed.
    unflushed: Vec<ConnectionId>,
    /// Being closed.
    closing: JoinSet<()>,
    /// Of connections for ASAP.
    pacing: Option<Pacing>,
}

#[derive(Debug)]
struct Open {
    protocol: ControlProtocol,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Being set up until this is dropped.
    Connecting {
        _wanted: oneshot::Sender<()>,
    },
    Up(Up),
}

#[derive(Debug)]
struct Up {
    association: Association,
    sender: Sender,
    /// It is in `unflushed`.
    waits: bool,
    arrival: Arc<Arrival>,
    pace: Option<Pace>,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// There is no such connection, or it is not up.
    #[error("not connected")]
    NotConnected,
    /// The peer does not read; the connection was aborted and no event tells so.
    #[error("the peer does not read")]
    Stuck,
    /// The message has no octets, or too many.
    #[error("the message cannot be sent")]
    Unsendable,
}

impl Connections {
    /// No connections yet. `connector` is how they go out: an endpoint alone reaches SCTP and TCP.
    pub fn new(connector: impl Into<Connector>) -> Connections {
        Connections {
            connector: connector.into(),
            open: BTreeMap::new(),
            arrivals: Arc::default(),
            turns: VecDeque::new(),
            turn: None,
            attempts: VecDeque::new(),
            unflushed: Vec::new(),
            closing: JoinSet::new(),
            pacing: None,
        }
    }

    /// Slows down the ASAP peers of connections made from here on: none is read while much waits to be sent to it,
    /// nor while it has asked for more than it may.
    #[must_use]
    pub fn paced(mut self, pacing: Pacing) -> Connections {
        self.pacing = Some(pacing);
        self
    }

    /// Returns how many connections there are, those being set up included.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Sets up a connection, with options where the transport is SCTP; [`ConnectionEvent::Up`] or
    /// [`ConnectionEvent::Failed`] tells the end.
    pub fn connect(
        &mut self,
        id: ConnectionId,
        protocol: ControlProtocol,
        peer: PeerAddress,
        options: ConnectOptions,
    ) {
        let (mut connector, arrivals) = (self.connector.clone(), Arc::clone(&self.arrivals));
        // TCP has no PPID.
        connector.tcp.control = ppid_of(protocol);
        let (wanted, mut unwanted) = oneshot::channel();
        self.open.insert(id, Open { protocol, stage: Stage::Connecting { _wanted: wanted } });
        tokio::spawn(async move {
            tokio::select! {
                _ = &mut unwanted => {}
                ended = connector.connect_with(peer, options) => arrivals.attempted((id, ended)),
            }
        });
    }

    /// Adds an association that a listener for ASAP accepted.
    pub fn accept(&mut self, id: ConnectionId, association: Association) {
        self.accept_for(id, ControlProtocol::Asap, association);
    }

    /// As [`Connections::accept`], for either protocol.
    pub fn accept_for(&mut self, id: ConnectionId, protocol: ControlProtocol, association: Association) {
        let stage = Stage::Up(self.up(id, protocol, association));
        self.open.insert(id, Open { protocol, stage });
    }

    fn up(&self, id: ConnectionId, protocol: ControlProtocol, association: Association) -> Up {
        let arrival = self.arrivals.connection(id);
        let hook = Arc::clone(&arrival);
        association.on_arrival(move || hook.tell());
        let pacing = self.pacing.clone().filter(|_| protocol == ControlProtocol::Asap);
        let (sender, pace) = (association.sender(), pacing.map(Pace::new));
        Up { association, sender, waits: false, arrival, pace }
    }

    /// Queues a message of the connection's protocol: reliable, in order, on stream 0. It goes out with the next
    /// [`Connections::flush`] or [`Connections::next`], together with others.
    pub fn send(&mut self, id: ConnectionId, message: impl Into<Bytes>) -> Result<(), NotSent> {
        let Some(Open { protocol, stage: Stage::Up(up) }) = self.open.get_mut(&id) else {
            return Err(NotSent::NotConnected);
        };
        match up.sender.try_queue(MsgOut::new(ppid_of(*protocol), message)) {
            Ok(()) => {
                if !std::mem::replace(&mut up.waits, true) {
                    self.unflushed.push(id);
                }
                Ok(())
            }
            Err(TrySendError::Full(_)) => {
                self.abort(id);
                Err(NotSent::Stuck)
            }
            Err(TrySendError::Unsendable(_)) => Err(NotSent::Unsendable),
            // Its end is to be read already.
            Err(_) => Err(NotSent::NotConnected),
        }
    }

    /// Has everything sent that [`Connections::send`] has queued.
    pub fn flush(&mut self) {
        for id in self.unflushed.drain(..) {
            // A connection being closed sends what it has by itself.
            if let Some(Open { stage: Stage::Up(up), .. }) = self.open.get_mut(&id) {
                up.waits = false;
                up.sender.flush();
            }
        }
    }

    /// Returns the smoothed round trip time of each connection that knows it.
    pub fn round_trips(&self) -> Vec<(ConnectionId, Duration)> {
        let known = |(&id, open): (&ConnectionId, &Open)| match &open.stage {
            Stage::Up(up) => Some((id, up.association.status().srtt?)),
            Stage::Connecting { .. } => None,
        };
        self.open.iter().filter_map(known).collect()
    }

    /// Closes gracefully: what was sent is delivered first, in the background. No event follows.
    pub fn close(&mut self, id: ConnectionId) {
        while self.closing.try_join_next().is_some() {}
        if let Some(Open { stage: Stage::Up(up), .. }) = self.open.remove(&id) {
            self.closing.spawn(finish(up.association));
        }
    }

    /// Ends at once. No event follows.
    pub fn abort(&mut self, id: ConnectionId) {
        self.open.remove(&id);
    }

    /// Closes everything gracefully, within 2 s.
    pub async fn shutdown(mut self) {
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(id);
        }
        while self.closing.join_next().await.is_some() {}
    }

    /// Returns the next event if there is one now.
    pub fn try_next(&mut self) -> Option<(ConnectionId, ConnectionEvent)> {
        loop {
            if let Some((id, left)) = self.turn.take() {
                if let Some(event) = self.next_of(id, left) {
                    return Some((id, event));
                }
                continue;
            }
            if let Some(event) = self.attempts.pop_front().and_then(|attempt| self.attempted(attempt)) {
                return Some(event);
            }
            if self.turns.is_empty() && self.attempts.is_empty() {
                self.attempts = self.arrivals.take(&mut self.turns);
            }
            let Some(id) = self.turns.pop_front() else {
                if self.attempts.is_empty() {
                    return None;
                }
                continue;
            };
            if let Some(Open { stage: Stage::Up(up), .. }) = self.open.get_mut(&id)
                && up.begin()
            {
                self.turn = Some((id, IN_A_ROW));
            }
        }
    }

    /// Flushes, and waits for the next event of any connection. Cancel safe.
    pub async fn next(&mut self) -> (ConnectionId, ConnectionEvent) {
        self.flush();
        // Who never waits would leave the others no turn.
        tokio::task::coop::consume_budget().await;
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            self.arrivals.any().await;
        }
    }

    /// The next event of the connection whose turn it is, of `left` more at most.
    fn next_of(&mut self, id: ConnectionId, left: usize) -> Option<ConnectionEvent> {
        let Some(Open { stage: Stage::Up(up), .. }) = self.open.get_mut(&id) else { return None };
        if left == 0 {
            // There may be more, behind the others.
            up.arrival.tell();
            return None;
        }
        let event = up.event()?;
        if matches!(event, ConnectionEvent::Lost(_)) {
            self.open.remove(&id);
        } else if up.goes_on() {
            self.turn = Some((id, left - 1));
        }
        Some(event)
    }

    /// An attempt has ended; `None`: the driver has closed it.
    fn attempted(&mut self, (id, ended): Attempt) -> Option<(ConnectionId, ConnectionEvent)> {
        let protocol = self.open.get(&id)?.protocol;
        let event = match ended {
            Ok(association) => {
                let (peer, local) = (association.peer(), association.local());
                let stage = Stage::Up(self.up(id, protocol, association));
                self.open.insert(id, Open { protocol, stage });
                ConnectionEvent::Up { peer, local }
            }
            Err(error) => {
                self.open.remove(&id);
                ConnectionEvent::Failed(error)
            }
        };
        Some((id, event))
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.closing.detach_all();
    }
}

impl Up {
    /// Its turn has come. Returns whether it is read now.
    fn begin(&mut self) -> bool {
        self.arrival.begin() && self.goes_on()
    }

    /// The next event that is passed on, if there is one now.
    fn event(&mut self) -> Option<ConnectionEvent> {
        loop {
            return Some(match self.association.try_recv()? {
                Event::Message(message) => {
                    if let Some(pace) = &mut self.pace {
                        pace.spend(&message.data);
                    }
                    ConnectionEvent::Message { ppid: message.ppid, data: message.data }
                }
                Event::Restarted => ConnectionEvent::Restarted,
                Event::Lost(reason) => ConnectionEvent::Lost(reason),
                _ => continue,
            });
        }
    }

    /// Returns whether it may be read further at once; otherwise it gets another turn when it may.
    fn goes_on(&mut self) -> bool {
        let pause = self.pace.as_mut().and_then(|pace| pace.pause(&self.sender));
        pause.is_none_or(|end| {
            self.arrival.pause(end);
            false
        })
    }
}

const fn ppid_of(protocol: ControlProtocol) -> Ppid {
    match protocol {
        ControlProtocol::Asap => Ppid::ASAP,
        ControlProtocol::Enrp => Ppid::ENRP,
    }
}

async fn finish(mut association: Association) {
    if let Err(error) = association.shutdown(CLOSE_DEADLINE).await {
        tracing::debug!(peer = %association.peer(), %error, "association not closed gracefully");
    }
}
