//! A session of a pool user with its pool: the data channel of draft-ietf-rserpool-applic section 3 and of RFC 5352
//! section 6, over [`PoolUser`] and `transport`.
//!
//! One element is in use at a time. When it is lost, the pool's policy names the next one, the cookie of the last one is
//! sent there first (RFC 5352 section 3.8), the application is asked for its own state, and then goes what waits.
//!
//! | draft-ietf-rserpool-applic | RFC 5352 | here |
//! |---|---|---|
//! | DATA_SEND by pool handle, element handle or address (3.7) | 6.5.1, 6.5.3, 6.5.4 | [`PoolSession::send`] to a [`Destination`] |
//! | the element handle it returns (3.7) | 6.5.1 | [`Taken::element`] |
//! | acknowledgement requested (3.6) | 6.5.5 | [`SendOptions::acknowledge`], then [`SessionEvent::Outcome`] |
//! | automatic failover by a send flag (3.5) | 6.5.5, ASAP_SEND_FAILOVER | [`SendOptions::failover`] |
//! | error codes | 6.7, Error.Report | [`NotTaken`], then [`SessionEvent::Outcome`] with the data |
//! | DATA_INDICATION (3.7) | 6.6 | [`SessionEvent::Data`] with its [`Origin`] |
//! | failover callback (3.4) | 3.8 | [`SessionEvent::Ready`] |
//! | GET_PRIMARY_SERVER (3.5) | 6.9.1 | [`PoolSession::primary`] |
//! | GET_NEXT_SERVER (3.5) | 6.9.2 | [`PoolSession::next`] |
//! | cookies (3.2) | 3.8 | stored and sent back; [`PoolSession::cookie`] shows the last |
//! | business cards (3.1) | 3.9 | followed while no registrar answers; [`SessionConfig::business_card`] is sent |
//! | full and minimal service (2.2) | 3.8 | [`SessionConfig::service`] |
//! | address hiding (4.3) | | elements are identifiers; [`PoolSession::transport_of`] tells more |
//! | | 6.3, CachePopulateRequest | [`PoolUser::resolve`](crate::PoolUser::resolve) of [`PoolSession::user`] |
//!
//! A relay, a pool user that is a pool element of its own pool as well, runs a [`PoolElement`](crate::PoolElement) beside
//! the session and tells its partners that pool's other elements ([`PoolElement::peers`](crate::PoolElement::peers)) with
//! [`SessionConfig::business_card`].
//!
//! Left out: ASAP_SEND_TO_ALL, and the selection of another element for each message (section 6.5.2), which an
//! application has with [`PoolUser::next_element`](crate::PoolUser::next_element) and [`Destination::Element`].
//!
//! An acknowledgement is that of the element's transport: an element may fail with what it has not read. What must
//! survive that is the application's to repeat in the failover hook.

mod channel;
mod event;
mod primary;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rserpool_proto::{PeId, Protocol, UserTransport};
use tokio::sync::mpsc;
use tracing::debug;
use transport::{Connector, Event, MAX_MESSAGE, Outcome, PeerAddress, Ppid};

use crate::{PoolUser, Selected};

use channel::{Channel, Happened, Outgoing, What};
use primary::Primary;

pub use event::{
    Destination, Leave, MessageId, NotTaken, Origin, SendOptions, Service, SessionConfig, SessionEvent, Taken,
};

/// Peers of a session at a time.
const MAX_PEERS: usize = 64;

/// Events of associations that wait for [`PoolSession::next_event`]; beyond, the peers' windows close.
const EVENTS: usize = 64;

/// Uses a pool: sends to it, hears from it, and fails over. It does so while [`PoolSession::next_event`] is awaited.
/// Dropping it aborts its associations.
#[derive(Debug)]
pub struct PoolSession {
    user: Arc<PoolUser>,
    connector: Connector,
    config: SessionConfig,
    primary: Primary,
    /// The element that was in use last, for the hook.
    last: Option<PeId>,
    /// The last one of the element in use, for its successor.
    cookie: Option<Vec<u8>>,
    channels: BTreeMap<Origin, Channel>,
    /// For the pool, until an element is in use; in the order of their numbers.
    held: VecDeque<Outgoing>,
    /// Octets of data held and flying.
    octets: usize,
    next_message: u64,
    next_serial: u64,
    refused: u64,
    sink: mpsc::Sender<Happened>,
    inbox: mpsc::Receiver<Happened>,
    events: VecDeque<SessionEvent>,
}

impl PoolSession {
    /// Returns a session with the pool of `user`, which looks for an element at once; `connector` is how elements are
    /// reached, an endpoint alone for SCTP and TCP.
    pub fn open(user: PoolUser, connector: impl Into<Connector>, config: SessionConfig) -> PoolSession {
        let (sink, inbox) = mpsc::channel(EVENTS);
        let user = Arc::new(user);
        PoolSession {
            primary: Primary::wait(&user),
            user,
            connector: connector.into(),
            config,
            last: None,
            cookie: None,
            channels: BTreeMap::new(),
            held: VecDeque::new(),
            octets: 0,
            next_message: 0,
            next_serial: 0,
            refused: 0,
            sink,
            inbox,
            events: VecDeque::new(),
        }
    }

    /// Returns the pool user below: its state, the translation of the handle, reports.
    pub fn user(&self) -> &PoolUser {
        &self.user
    }

    /// Sends data (DATA_SEND, DataSendRequest). What goes to the pool while no element is in use is held. Returns the
    /// message's name, and the element it was sent to if there is one yet. Cancel safe: the message is taken or not.
    ///
    /// Fails, and takes nothing, where a message is empty or too long, too much waits already, or nobody is there by
    /// that name. A failure on the way is an event: [`SessionEvent::Outcome`].
    pub async fn send(
        &mut self,
        to: Destination,
        data: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<Taken, NotTaken> {
        let data = data.into();
        match data.len() {
            0 => return Err(NotTaken::Empty),
            octets if octets > MAX_MESSAGE => return Err(NotTaken::TooLong(octets)),
            octets if self.octets + octets > self.config.max_held => return Err(NotTaken::Full),
            _ => {}
        }
        let to = match to {
            Destination::Pool => self.primary.open().map(Origin::Element),
            Destination::Element(pe) => Some(self.open_element(pe).await?),
            Destination::Address(address) => Some(self.open_named(Origin::Address(address), vec![address])?),
        };
        let message = MessageId(self.next_message);
        self.next_message += 1;
        self.octets += data.len();
        let element = match to {
            Some(Origin::Element(pe)) => Some(pe),
            Some(Origin::Address(_)) | None => None,
        };
        self.pass(to, Outgoing { id: message, options, data });
        Ok(Taken { message, element })
    }

    /// Returns the element in use, or else the one to be used by the pool's policy, which is connected to from now on
    /// (GET_PRIMARY_SERVER). `None`: there is none at present; [`SessionEvent::Ready`] tells when there is. Cancel
    /// safe.
    pub async fn primary(&mut self) -> Option<PeId> {
        if let Some(pe) = self.primary.element() {
            return Some(pe);
        }
        while let Some(selected) = self.user.next_element().await {
            if let Some(pe) = self.select(selected) {
                return Some(pe);
            }
        }
        None
    }

    /// Leaves the element in use and returns the next one (GET_NEXT_SERVER), as [`PoolSession::primary`] does. What the
    /// element has not acknowledged goes to the next one, where its options say so.
    pub async fn next(&mut self, why: Leave) -> Option<PeId> {
        if let Some(pe) = self.primary.element() {
            self.leave(pe, why);
        }
        self.primary().await
    }

    /// Returns where an element serves: what a session hides unless it is asked. `None`: the pool has no such element.
    pub async fn transport_of(&self, pe: PeId) -> Option<UserTransport> {
        Some(self.user.element(pe).await?.transport)
    }

    /// Returns the last cookie of an element that was in use (RFC 5352 section 3.8), unchanged.
    pub fn cookie(&self) -> Option<&[u8]> {
        self.cookie.as_deref()
    }

    /// Returns how many messages of control channels were not understood, or not expected.
    pub fn control_refused(&self) -> u64 {
        self.refused
    }

    /// Returns how many octets of data are held or not yet acknowledged by a transport.
    pub fn held(&self) -> usize {
        self.octets
    }

    /// Waits for what happens next (DATA_INDICATION, the failover hook, Error.Report), and keeps the session going
    /// meanwhile. Cancel safe.
    pub async fn next_event(&mut self) -> SessionEvent {
        if self.primary.hook_is_over() {
            self.release();
        }
        loop {
            if let Some(event) = self.events.pop_front() {
                if let SessionEvent::Ready { element, .. } = event {
                    self.primary.hook_was_told(element);
                }
                return event;
            }
            tokio::select! {
                selected = self.primary.selected() => {
                    self.select(selected);
                }
                // This end holds a sender, so there is always a next one.
                Some(happened) = self.inbox.recv() => self.happened(happened),
            }
        }
    }

    /// Delivers what was sent, and ends every association, within `deadline`; aborts them then. What is held for an
    /// element is lost. Returns whether everything sent was delivered.
    pub async fn close(mut self, deadline: Duration) -> bool {
        self.primary = Primary::none();
        self.channels.values_mut().for_each(Channel::retire);
        let ended = async {
            while !self.channels.is_empty() {
                if let Some(happened) = self.inbox.recv().await {
                    self.happened(happened);
                }
            }
        };
        let in_time = tokio::time::timeout(deadline, ended).await.is_ok();
        in_time && self.octets == 0
    }

    /// Sends a message there, or holds it for the next element.
    fn pass(&mut self, to: Option<Origin>, outgoing: Outgoing) {
        match to.and_then(|to| self.channels.get_mut(&to)) {
            Some(channel) => channel.send(self.config.ppid, outgoing),
            None => {
                let at = self.held.partition_point(|held| held.id < outgoing.id);
                self.held.insert(at, outgoing);
            }
        }
    }

    async fn open_element(&mut self, pe: PeId) -> Result<Origin, NotTaken> {
        let with = Origin::Element(pe);
        if self.channels.get(&with).is_some_and(|channel| !channel.retiring) {
            return Ok(with);
        }
        let element = self.user.element(pe).await.ok_or(NotTaken::UnknownElement(pe))?;
        let addresses = addresses(&element, self.config.tls).ok_or(NotTaken::UnknownElement(pe))?;
        self.open_named(with, addresses)
    }

    /// As [`PoolSession::open_channel`], for whom the application names.
    fn open_named(&mut self, with: Origin, addresses: Vec<PeerAddress>) -> Result<Origin, NotTaken> {
        if !self.channels.contains_key(&with) && self.channels.len() >= MAX_PEERS {
            return Err(NotTaken::TooManyPeers);
        }
        self.open_channel(with, addresses);
        Ok(with)
    }

    /// Opens a channel unless there is one.
    fn open_channel(&mut self, with: Origin, addresses: Vec<PeerAddress>) {
        if self.channels.get(&with).is_some_and(|channel| !channel.retiring) {
            return;
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        let channel = Channel::open((serial, with), self.connector.clone(), addresses, self.sink.clone());
        if let Some(old) = self.channels.insert(with, channel) {
            self.give_up(with, old);
        }
    }

    fn happened(&mut self, Happened { serial, with, what }: Happened) {
        let Some(channel) = self.channels.get_mut(&with).filter(|channel| channel.serial == serial) else {
            // Of an association that was left.
            return;
        };
        match what {
            What::Up => {
                channel.is_up = true;
                self.up(with);
            }
            What::NotConnected(error) => self.not_connected(with, error),
            What::Unsendable(token, error) => {
                if let Some(outgoing) = channel.flying.remove(&MessageId(token.0)) {
                    self.octets -= outgoing.data.len();
                    self.events.push_back(SessionEvent::Unsendable { message: outgoing.id, to: with, error });
                }
            }
            What::Event(Event::Message(message)) if message.ppid == Ppid::ASAP => {
                channel.heard = true;
                self.control_message(with, &message.data);
            }
            What::Event(Event::Message(message)) => {
                channel.heard = true;
                self.events.push_back(SessionEvent::Data { from: with, message });
            }
            What::Event(Event::Sent { token, outcome }) => {
                if let Some(outgoing) = channel.flying.remove(&MessageId(token.0)) {
                    self.told(with, outgoing, outcome);
                }
            }
            What::Event(Event::Restarted) => self.up(with),
            What::Event(Event::PeerShutdown) => self.closing(with),
            What::Event(Event::Lost(reason)) => self.lost(with, reason),
            What::Event(_) => {}
        }
    }

    /// A message is delivered, or goes to the next element, or is over.
    fn told(&mut self, to: Origin, outgoing: Outgoing, outcome: Outcome) {
        let again = outgoing.options.failover && matches!(to, Origin::Element(_));
        if outcome == Outcome::Unknown && again {
            self.pass(None, outgoing);
            // Those of the element in use wait for what becomes of it.
            if self.primary.flows_beside(to) {
                self.release();
            }
            return;
        }
        self.octets -= outgoing.data.len();
        if outgoing.options.acknowledge || outcome != Outcome::Delivered {
            let data = (outcome != Outcome::Delivered).then_some(outgoing.data);
            self.events.push_back(SessionEvent::Outcome { message: outgoing.id, to, outcome, data });
        }
    }

    /// Nothing will be told any more of what was sent there.
    fn give_up(&mut self, with: Origin, channel: Channel) {
        for (_, outgoing) in channel.flying {
            self.told(with, outgoing, Outcome::Unknown);
        }
    }

    fn refuse_control(&mut self, from: Origin, why: &dyn std::fmt::Display) {
        self.refused += 1;
        debug!(%from, %why, "message on the control channel refused");
    }
}

/// Returns where an element is reached, in its own order; `None` where its transport is not spoken here.
fn addresses(element: &Selected, tls: bool) -> Option<Vec<PeerAddress>> {
    let UserTransport { protocol, port, encapsulation, ref addresses, .. } = element.transport;
    if protocol == Protocol::Udp || addresses.is_empty() {
        return None;
    }
    let address = |ip| match protocol {
        Protocol::Sctp => {
            let encapsulation = Some(encapsulation).filter(|&udp| udp != 0);
            PeerAddress::Sctp { ip, port, encapsulation }
        }
        Protocol::Tcp | Protocol::Udp if tls => PeerAddress::Tls((ip, port).into()),
        Protocol::Tcp | Protocol::Udp => PeerAddress::Tcp((ip, port).into()),
    };
    Some(addresses.iter().map(|&ip| address(ip)).collect())
}
