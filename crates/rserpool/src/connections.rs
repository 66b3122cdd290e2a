//! The associations of one machine, by the [`ConnectionId`] the machine knows them under.
//!
//! One task per association reads it and passes on what happens, in order, through one bounded queue: a
//! driver that is late stops the reading, which closes the peers' windows, and no peer can fill the
//! queue alone, since the tasks wait for room in turn; what waits stays in the association, whose receive
//! queue bounds it. Nothing here blocks the driver: a peer that lets its send queue run full does not
//! read, and its association is aborted. A server slows its ASAP peers down before that ([`Pacing`]).

mod pacing;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rserpool_proto::{ConnectionId, ControlProtocol};
use tokio::sync::{mpsc, oneshot};
use transport::{
    Association, ConnectError, ConnectOptions, Connector, Event, LossReason, MsgOut, PeerAddress, Ppid,
    Sender, TrySendError,
};

pub use pacing::Pacing;

use pacing::Pace;

/// How many events wait for the driver.
const QUEUE: usize = 64;

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

/// The associations of one machine.
#[derive(Debug)]
pub struct Connections {
    connector: Connector,
    open: BTreeMap<ConnectionId, Open>,
    /// Kept so that the queue never ends; every task has a clone.
    sink: mpsc::Sender<(ConnectionId, Inner)>,
    queue: mpsc::Receiver<(ConnectionId, Inner)>,
    /// Those with messages that are queued and not flushed.
    unflushed: Vec<ConnectionId>,
    /// Of connections for ASAP.
    pacing: Option<Pacing>,
}

#[derive(Debug)]
struct Open {
    /// What its messages are said to be.
    ppid: Ppid,
    /// None while it is being set up.
    sender: Option<Sender>,
    /// It is in `unflushed`.
    waits: bool,
    /// Asks the task for a graceful close. Dropping it aborts.
    close: oneshot::Sender<()>,
}

#[derive(Debug)]
enum Inner {
    Up(Sender, PeerAddress),
    Event(ConnectionEvent),
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
        let (sink, queue) = mpsc::channel(QUEUE);
        let connector = connector.into();
        Connections { connector, open: BTreeMap::new(), sink, queue, unflushed: Vec::new(), pacing: None }
    }

    /// Slows down the ASAP peers of connections made from here on: none is read while much waits to be sent to it,
    /// nor while it has asked for more than it may.
    #[must_use]
    pub fn paced(self, pacing: Pacing) -> Connections {
        Connections { pacing: Some(pacing), ..self }
    }

    fn pace(&self, protocol: ControlProtocol) -> Option<Pace> {
        self.pacing.clone().filter(|_| protocol == ControlProtocol::Asap).map(Pace::new)
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
        let (mut connector, sink) = (self.connector.clone(), self.sink.clone());
        // TCP has no PPID.
        connector.tcp.control = ppid_of(protocol);
        let (closing, pace) = (self.open(id, protocol, None), self.pace(protocol));
        tokio::spawn(async move {
            let mut closing = closing;
            let connected = tokio::select! {
                _ = &mut closing => return,
                connected = connector.connect_with(peer, options) => connected,
            };
            match connected {
                Ok(association) => {
                    let up = Inner::Up(association.sender(), association.local());
                    if sink.send((id, up)).await.is_ok() {
                        read(id, association, closing, sink, pace).await;
                    }
                }
                Err(error) => {
                    let _ = sink.send((id, Inner::Event(ConnectionEvent::Failed(error)))).await;
                }
            }
        });
    }

    /// Adds an association that a listener for ASAP accepted.
    pub fn accept(&mut self, id: ConnectionId, association: Association) {
        self.accept_for(id, ControlProtocol::Asap, association);
    }

    /// As [`Connections::accept`], for either protocol.
    pub fn accept_for(&mut self, id: ConnectionId, protocol: ControlProtocol, association: Association) {
        let closing = self.open(id, protocol, Some(association.sender()));
        tokio::spawn(read(id, association, closing, self.sink.clone(), self.pace(protocol)));
    }

    fn open(
        &mut self,
        id: ConnectionId,
        protocol: ControlProtocol,
        sender: Option<Sender>,
    ) -> oneshot::Receiver<()> {
        let (close, closing) = oneshot::channel();
        let ppid = ppid_of(protocol);
        self.open.insert(id, Open { ppid, sender, waits: false, close });
        closing
    }

    /// Queues a message of the connection's protocol: reliable, in order, on stream 0. It goes out with the next
    /// [`Connections::flush`] or [`Connections::next`], together with others.
    pub fn send(&mut self, id: ConnectionId, message: impl Into<Bytes>) -> Result<(), NotSent> {
        let open = self.open.get_mut(&id).ok_or(NotSent::NotConnected)?;
        let sender = open.sender.as_ref().ok_or(NotSent::NotConnected)?;
        match sender.try_queue(MsgOut::new(open.ppid, message)) {
            Ok(()) => {
                if !std::mem::replace(&mut open.waits, true) {
                    self.unflushed.push(id);
                }
                Ok(())
            }
            Err(TrySendError::Full(_)) => {
                self.abort(id);
                Err(NotSent::Stuck)
            }
            Err(TrySendError::Unsendable(_)) => Err(NotSent::Unsendable),
            // Its end is in the queue already.
            Err(_) => Err(NotSent::NotConnected),
        }
    }

    /// Has everything sent that [`Connections::send`] has queued.
    pub fn flush(&mut self) {
        for id in self.unflushed.drain(..) {
            // A connection being closed sends what it has by itself.
            let Some(open) = self.open.get_mut(&id) else { continue };
            open.waits = false;
            if let Some(sender) = &open.sender {
                sender.flush();
            }
        }
    }

    /// Returns the smoothed round trip time of each connection that knows it.
    pub fn round_trips(&self) -> Vec<(ConnectionId, Duration)> {
        let known = |(&id, open): (&ConnectionId, &Open)| Some((id, open.sender.as_ref()?.status().srtt?));
        self.open.iter().filter_map(known).collect()
    }

    /// Closes gracefully: what was sent is delivered first, in the background. No event follows.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(open) = self.open.remove(&id) {
            let _ = open.close.send(());
        }
    }

    /// Ends at once. No event follows.
    pub fn abort(&mut self, id: ConnectionId) {
        self.open.remove(&id);
    }

    /// Closes everything gracefully, within 2 s.
    pub async fn shutdown(mut self) {
        for open in std::mem::take(&mut self.open).into_values() {
            let _ = open.close.send(());
        }
        // Every task has a sink of its own until it ends.
        drop(self.sink);
        while self.queue.recv().await.is_some() {}
    }

    /// Returns the next event if there is one now.
    pub fn try_next(&mut self) -> Option<(ConnectionId, ConnectionEvent)> {
        while let Ok(next) = self.queue.try_recv() {
            if let Some(event) = self.admit(next) {
                return Some(event);
            }
        }
        None
    }

    /// Flushes, and waits for the next event of any connection. Cancel safe.
    pub async fn next(&mut self) -> (ConnectionId, ConnectionEvent) {
        self.flush();
        loop {
            let next = self.queue.recv().await.expect("the sink lives in self");
            if let Some(event) = self.admit(next) {
                return event;
            }
        }
    }

    /// Drops the events of connections that the driver has closed.
    fn admit(&mut self, (id, inner): (ConnectionId, Inner)) -> Option<(ConnectionId, ConnectionEvent)> {
        let open = self.open.get_mut(&id)?;
        let event = match inner {
            Inner::Up(sender, local) => {
                let peer = sender.peer();
                open.sender = Some(sender);
                ConnectionEvent::Up { peer, local }
            }
            Inner::Event(event) => event,
        };
        if matches!(event, ConnectionEvent::Failed(_) | ConnectionEvent::Lost(_)) {
            self.open.remove(&id);
        }
        Some((id, event))
    }
}

const fn ppid_of(protocol: ControlProtocol) -> Ppid {
    match protocol {
        ControlProtocol::Asap => Ppid::ASAP,
        ControlProtocol::Enrp => Ppid::ENRP,
    }
}

/// Passes on what happens to `association` until it ends or the driver closes it.
async fn read(
    id: ConnectionId,
    mut association: Association,
    mut closing: oneshot::Receiver<()>,
    sink: mpsc::Sender<(ConnectionId, Inner)>,
    mut pace: Option<Pace>,
) {
    loop {
        let permit = tokio::select! {
            biased;
            asked = &mut closing => return finish(association, asked.is_ok()).await,
            permit = turn(&association, &sink, pace.as_ref()) => permit,
        };
        let Some(mut permit) = permit else { return };
        for _ in 0..IN_A_ROW {
            let Some(event) = event_of(&mut association, pace.as_mut()) else { break };
            let last = matches!(event, ConnectionEvent::Lost(_));
            permit.send((id, Inner::Event(event)));
            if last {
                return;
            }
            if pace.as_ref().is_some_and(|pace| !pace.goes_on(&association)) {
                break;
            }
            let Ok(next) = sink.try_reserve() else { break };
            permit = next;
        }
    }
}

/// The next event that is passed on, if there is one now.
fn event_of(association: &mut Association, pace: Option<&mut Pace>) -> Option<ConnectionEvent> {
    loop {
        return Some(match association.try_recv()? {
            Event::Message(message) => {
                if let Some(pace) = pace {
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

/// Waits until there is something to pass on, and room for it; `None`: nobody wants it.
async fn turn<'a>(
    association: &Association,
    sink: &'a mpsc::Sender<(ConnectionId, Inner)>,
    pace: Option<&Pace>,
) -> Option<mpsc::Permit<'a, (ConnectionId, Inner)>> {
    association.readable().await;
    if let Some(pace) = pace {
        pace.wait(association).await;
    }
    sink.reserve().await.ok()
}

async fn finish(mut association: Association, gracefully: bool) {
    if gracefully && let Err(error) = association.shutdown(CLOSE_DEADLINE).await {
        tracing::debug!(peer = %association.peer(), %error, "association not closed gracefully");
    }
}
