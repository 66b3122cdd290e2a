//! Data to and from the elements of a pool: the pool user's upper-layer interface (RFC 5352 sections 6.5 and 6.6,
//! draft-ietf-rserpool-applic section 3).
//!
//! [`DataChannel`] is the full service over a [`PoolUser`]: it selects an element, keeps one association at a time, moves
//! to the next element when that one is lost, and sends again what no element has acknowledged. An application that
//! has connections of its own uses [`PoolUser::get_primary`] and [`PoolUser::get_next`] instead.
//!
//! | primitive | here |
//! |---|---|
//! | DATA_SEND by pool handle, PE handle or transport address | [`DataChannel::send`] with a [`Destination`] |
//! | acknowledgement requested | [`SendOptions::acknowledge`], then [`Indication::Acknowledged`] |
//! | DATA_INDICATION | [`Indication::Data`] |
//! | GET_PRIMARY, GET_NEXT | [`PoolUser::get_primary`], [`PoolUser::get_next`] |
//! | failover callback | [`DataChannel::on_failover`], and [`Indication::Failover`] |
//! | address hiding | [`PoolUserConfig::hide_addresses`](crate::PoolUserConfig::hide_addresses) |
//!
//! An acknowledgement is the transport's: the element's host has the message (SCTP only; TCP cannot tell). What was
//! acknowledged and not yet read by an element that failed is lost (section 6.5.5): for more, cookies carry the element's
//! state, and a failover callback sends what the next element needs.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use rserpool_proto::wire::asap::business_card::BusinessCard;
use rserpool_proto::wire::asap::cookie::CookieEcho;
use rserpool_proto::wire::{Message, TransportUse};
use rserpool_proto::{PeId, Protocol, UserTransport};
use tracing::{debug, info};
use transport::{
    Association, ConnectError, Connector, Event, MsgOut, Outcome, PeerAddress, Ppid, SendError, Token,
};

use crate::{PoolUser, Selected};

/// Messages that wait for their acknowledgement, at most; one more waits for room.
const MAX_PENDING: usize = 1_024;

/// How data goes out.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// What the data is said to be; never ASAP's identifier (RFC 5352 section 5).
    pub ppid: Ppid,
    /// Elements with a TCP transport are reached over TLS.
    pub secured: bool,
    /// The pool this pool user is itself in, as the element is told over the control channel (section 3.9).
    pub card: Option<BusinessCard>,
}

/// Where a message is to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// To the element in use, or one that the pool's policy chooses.
    Pool,
    /// To this element.
    Element(PeId),
    /// To a transport address, whoever is there: no failover.
    Address(PeerAddress),
}

/// How a message is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SendOptions {
    /// [`Indication::Acknowledged`] or [`Indication::Unsent`] tells what became of it.
    pub acknowledge: bool,
    /// Where its element is lost before it has acknowledged it, it is sent to another (ASAP_SEND_FAILOVER).
    pub failover: bool,
}

impl Default for SendOptions {
    fn default() -> SendOptions {
        SendOptions { acknowledge: false, failover: true }
    }
}

/// Where a message went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The element, for further messages to the same; `None` for a transport address.
    pub pe: Option<PeId>,
    /// Names the message in indications.
    pub token: Token,
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The pool does not have the element, as far as is known.
    #[error("the pool has no element {0}")]
    NoSuchElement(PeId),
    /// The address or the one element it had to be cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The transport does not take the message.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// What happened on a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Indication {
    /// Data from the element in use.
    Data {
        /// The element; `None` for a transport address.
        from: Option<PeId>,
        /// What it is said to be.
        ppid: Ppid,
        /// The message.
        data: Bytes,
    },
    /// A message has arrived at the element's host.
    Acknowledged {
        /// The message.
        token: Token,
    },
    /// A message has not, or nobody can tell, and it is not sent again.
    Unsent {
        /// The message.
        token: Token,
    },
    /// Another element is in use; what it needed to be told first was sent.
    Failover {
        /// The element that was lost.
        from: PeId,
        /// The element in use.
        to: PeId,
    },
    /// The transport address, or the element that must not be replaced, is lost.
    Lost,
}

type Hook = Box<dyn FnMut(PeId, PeId) -> Vec<Bytes> + Send>;

/// Sends and receives data over a pool.
pub struct DataChannel {
    user: PoolUser,
    connector: Connector,
    config: ChannelConfig,
    link: Option<Link>,
    /// The element that was lost and not replaced yet.
    lost: Option<PeId>,
    /// The last cookie of any element.
    cookie: Option<Vec<u8>>,
    hook: Option<Hook>,
    pending: VecDeque<Pending>,
    indications: VecDeque<Indication>,
    tokens: u64,
}

struct Link {
    association: Association,
    pe: Option<PeId>,
}

struct Pending {
    token: Token,
    data: Bytes,
    options: SendOptions,
}

impl DataChannel {
    /// A channel that connects when there is something to send. `connector` is how elements are reached.
    pub fn new(user: PoolUser, connector: impl Into<Connector>, config: ChannelConfig) -> DataChannel {
        DataChannel {
            user,
            connector: connector.into(),
            config,
            link: None,
            lost: None,
            cookie: None,
            hook: None,
            pending: VecDeque::new(),
            indications: VecDeque::new(),
            tokens: 0,
        }
    }

    /// Calls `hook` with the element lost and the one in its place as soon as the association is up, and sends the
    /// messages it returns before all others.
    pub fn on_failover(&mut self, hook: impl FnMut(PeId, PeId) -> Vec<Bytes> + Send + 'static) {
        self.hook = Some(Box::new(hook));
    }

    /// Returns the pool user, for selections by the application itself.
    pub fn user(&self) -> &PoolUser {
        &self.user
    }

    /// Returns the element in use.
    pub fn element(&self) -> Option<PeId> {
        self.link.as_ref().and_then(|link| link.pe)
    }

    /// Sends a message; connects first where there is no association with the destination. To a pool, that waits until
    /// the pool has an element that can be reached.
    ///
    /// Fails where a destination that cannot be replaced is not reached, and for messages the transport does not take.
    pub async fn send(
        &mut self,
        to: Destination,
        data: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<Receipt, ChannelError> {
        while self.pending.len() >= MAX_PENDING {
            self.turn().await;
        }
        self.reach(to).await?;
        self.tokens += 1;
        let (token, data) = (Token(self.tokens), data.into());
        let Some(link) = &self.link else { return Err(ConnectError::NoAddress.into()) };
        let pe = link.pe;
        let message = MsgOut { token: Some(token), ..MsgOut::new(self.config.ppid, data.clone()) };
        let sent = link.association.send(message).await;
        let options = SendOptions { failover: options.failover && pe.is_some(), ..options };
        // Of a lost association the next turn learns, and sends it elsewhere.
        if let Err(error) = sent
            && !options.failover
        {
            return Err(error.into());
        }
        self.pending.push_back(Pending { token, data, options });
        Ok(Receipt { pe, token })
    }

    /// Waits for what happens next; fails over meanwhile. Cancel safe.
    pub async fn next(&mut self) -> Indication {
        loop {
            if let Some(indication) = self.indications.pop_front() {
                return indication;
            }
            self.turn().await;
        }
    }

    /// Delivers what was sent and closes, within `deadline`.
    pub async fn close(mut self, deadline: Duration) {
        if let Some(mut link) = self.link.take()
            && let Err(error) = link.association.shutdown(deadline).await
        {
            debug!(%error, "association not closed gracefully");
        }
    }

    /// Takes in one event, or finds another element in place of one that is lost.
    async fn turn(&mut self) {
        if self.lost.is_some() {
            return self.replace().await;
        }
        let Some(link) = &mut self.link else { return std::future::pending().await };
        match link.association.recv().await {
            Event::Message(message) if message.ppid == Ppid::ASAP => self.control(&message.data),
            Event::Message(message) => {
                let from = link.pe;
                self.indications.push_back(Indication::Data { from, ppid: message.ppid, data: message.data });
            }
            Event::Sent { token, outcome } => self.sent(token, outcome),
            Event::Lost(_) | Event::PeerShutdown | Event::Restarted => self.lose(),
            _ => {}
        }
    }

    fn control(&mut self, octets: &[u8]) {
        match Message::decode(octets) {
            Ok(Message::Cookie(message)) => self.cookie = Some(message.cookie),
            Ok(Message::BusinessCard(card)) => self.user.business_card(card),
            Ok(other) => debug!(message = %other.message_type(), "message on the control channel ignored"),
            Err(error) => debug!(%error, "message on the control channel refused"),
        }
    }

    fn sent(&mut self, token: Token, outcome: Outcome) {
        let Some(at) = self.pending.iter().position(|pending| pending.token == token) else { return };
        match outcome {
            Outcome::Delivered => self.settle(at, true),
            // The association's end is on its way, and the message goes elsewhere.
            Outcome::Unknown if self.pending[at].options.failover && !self.is_streamless() => {}
            Outcome::Abandoned | Outcome::Unknown => self.settle(at, false),
        }
    }

    /// TCP and TLS never tell what has arrived.
    fn is_streamless(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !matches!(link.association.peer(), PeerAddress::Sctp { .. }))
    }

    fn settle(&mut self, at: usize, delivered: bool) {
        let Some(Pending { token, options, .. }) = self.pending.remove(at) else { return };
        if options.acknowledge {
            self.indications.push_back(match delivered {
                true => Indication::Acknowledged { token },
                false => Indication::Unsent { token },
            });
        }
    }

    /// The association has ended: its element is reported and replaced.
    fn lose(&mut self) {
        let Some(link) = self.link.take() else { return };
        self.lost = link.pe;
        match link.pe {
            Some(pe) => self.user.report_unreachable(pe),
            None => self.indications.push_back(Indication::Lost),
        }
        for at in (0..self.pending.len()).rev() {
            if !self.pending[at].options.failover {
                self.settle(at, false);
            }
        }
    }

    async fn replace(&mut self) {
        let Some(from) = self.lost else { return };
        let element = self.user.wait_element().await;
        let pe = element.pe;
        if let Err(error) = self.connect(&element).await {
            debug!(%pe, %error, "element not reached, taking the next");
            return self.user.report_unreachable(pe);
        }
        self.lost = None;
        info!(%from, to = %pe, "failed over to another element");
        let first = self.hook.as_mut().map(|hook| hook(from, pe)).unwrap_or_default();
        let again = self.pending.iter().map(|pending| (Some(pending.token), pending.data.clone()));
        let messages: Vec<_> = first.into_iter().map(|data| (None, data)).chain(again).collect();
        for (token, data) in messages {
            let message = MsgOut { token, ..MsgOut::new(self.config.ppid, data) };
            let Some(link) = &self.link else { return };
            // Its end is learnt by the next turn.
            if link.association.send(message).await.is_err() {
                break;
            }
        }
        self.indications.push_back(Indication::Failover { from, to: pe });
    }

    /// Makes sure that there is an association with the destination.
    async fn reach(&mut self, to: Destination) -> Result<(), ChannelError> {
        match to {
            Destination::Pool => {
                while self.link.as_ref().is_none_or(|link| link.pe.is_none()) {
                    if self.lost.is_some() {
                        self.replace().await;
                        continue;
                    }
                    let element = self.user.wait_element().await;
                    if let Err(error) = self.connect(&element).await {
                        debug!(pe = %element.pe, %error, "element not reached, taking the next");
                        self.user.report_unreachable(element.pe);
                    }
                }
                Ok(())
            }
            Destination::Element(pe) if self.element() == Some(pe) => Ok(()),
            Destination::Element(pe) => {
                let element = self.user.element(pe).await.ok_or(ChannelError::NoSuchElement(pe))?;
                self.lost = None;
                self.connect(&element).await.map_err(|error| {
                    self.user.report_unreachable(pe);
                    error.into()
                })
            }
            Destination::Address(address) => {
                let connected = |link: &Link| link.pe.is_none() && link.association.peer() == address;
                if self.link.as_ref().is_some_and(connected) {
                    return Ok(());
                }
                self.lost = None;
                let association = self.connector.connect(address).await?;
                self.link = Some(Link { association, pe: None });
                Ok(())
            }
        }
    }

    /// Connects to an element in place of whoever was in use; the control channel begins with the last cookie.
    async fn connect(&mut self, element: &Selected) -> Result<(), ConnectError> {
        let association = self.connector.connect_any(&self.addresses(&element.transport)).await?;
        let control = element.transport.protocol == Protocol::Sctp
            && element.transport.transport_use == TransportUse::DATA_PLUS_CONTROL;
        if control {
            let echo = self
                .cookie
                .clone()
                .map(|cookie| Message::CookieEcho(CookieEcho { cookie, unknown: Vec::new() }));
            let card = self.config.card.clone().map(Message::BusinessCard);
            for octets in echo.into_iter().chain(card).filter_map(|message| message.to_octets().ok()) {
                // They are the first messages of an empty queue; its end is learnt by the next turn.
                let _ = association.try_send(MsgOut::new(Ppid::ASAP, octets));
            }
        }
        if let Some(mut before) = self.link.replace(Link { association, pe: Some(element.pe) }) {
            tokio::spawn(async move { before.association.shutdown(Duration::from_secs(5)).await });
        }
        Ok(())
    }

    fn addresses(&self, transport: &UserTransport) -> Vec<PeerAddress> {
        let UserTransport { protocol, port, encapsulation, .. } = *transport;
        let address = |&ip: &std::net::IpAddr| match protocol {
            Protocol::Sctp => Some(PeerAddress::Sctp { ip, port, encapsulation: Some(encapsulation) }),
            Protocol::Tcp if self.config.secured => Some(PeerAddress::Tls((ip, port).into())),
            Protocol::Tcp => Some(PeerAddress::Tcp((ip, port).into())),
            Protocol::Udp => None,
        };
        transport.addresses.iter().filter_map(address).collect()
    }
}

impl fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannel").field("element", &self.element()).finish_non_exhaustive()
    }
}
