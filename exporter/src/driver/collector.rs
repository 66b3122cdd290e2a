//! The associations with collectors, from the pool's answer to their end.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rserpool::{PeId, PoolUser, Protocol, Selected, TransportUse, UserTransport};
use service::Metrics;
use tokio::task::JoinSet;
use tracing::debug;
use transport::{Association, ConnectError, Connector, Event, MsgOut, PeerAddress, TrySendError};

use crate::config::{Service, Transport};
use crate::failover::{Carrier, Role, Sign, Transmit};
use crate::metrics::COLLECTOR_INFO;

/// Lets the last messages pass before the association is aborted.
const CLOSE: Duration = Duration::from_secs(5);
/// A collector that refuses this exporter's certificate has said so by then.
const REFUSAL: Duration = Duration::from_secs(5);

/// The collectors that are connected, and those that are being.
#[derive(Default)]
pub(super) struct Links {
    pub(super) active: Option<Box<Collector>>,
    pub(super) standby: Option<Box<Collector>>,
    /// It is connected, and its role is being decided.
    pub(super) candidate: Option<Box<Collector>>,
    pub(super) seek: Seek,
}

/// Where the search for a collector is.
#[derive(Default)]
pub(super) struct Seek {
    /// Waiting for the pool user to name one. The question outlives the loop's turns: each time it is asked, the
    /// pool's policy moves on.
    asking: Option<Pin<Box<dyn Future<Output = Option<Selected>> + Send>>>,
    /// Dropping one gives it up.
    connecting: JoinSet<(Selected, Result<Association, ConnectError>)>,
}

/// What happened on a link.
pub(super) enum LinkEvent {
    /// What the pool user has named, if anything.
    Element(Option<Selected>),
    Connected(Collector),
    NotConnected {
        pe: PeId,
        error: ConnectError,
    },
    /// The transport has room again.
    Unblocked,
    Association(Role, Event),
}

impl Links {
    /// Waits for what happens next. Cancel safe.
    pub(super) async fn next(&mut self) -> LinkEvent {
        tokio::select! {
            event = Collector::next(&mut self.active, Role::Active) => event,
            event = Collector::next(&mut self.standby, Role::Standby) => event,
            event = self.seek.next() => event,
        }
    }

    /// Returns what has happened to the active collector already, if anything.
    pub(super) async fn ready(&mut self) -> Option<LinkEvent> {
        tokio::select! {
            biased;
            event = Collector::next(&mut self.active, Role::Active) => Some(event),
            () = std::future::ready(()) => None,
        }
    }

    /// Returns the place of the collector of this role.
    pub(super) const fn of(&mut self, role: Role) -> &mut Option<Box<Collector>> {
        match role {
            Role::Active => &mut self.active,
            Role::Standby => &mut self.standby,
        }
    }
}

impl Seek {
    /// Asks for the element to use next, other than these.
    pub(super) fn ask(&mut self, pool: &Arc<PoolUser>, except: Vec<PeId>) {
        let pool = Arc::clone(pool);
        self.asking = Some(Box::pin(async move { pool.next_element_except(&except).await }));
    }

    /// Asks for this element.
    pub(super) fn ask_for(&mut self, pool: &Arc<PoolUser>, pe: PeId) {
        let pool = Arc::clone(pool);
        self.asking = Some(Box::pin(async move { pool.element(pe).await }));
    }

    /// Connects to `element`, at whichever of its `addresses` answers.
    pub(super) fn connect(&mut self, connector: &Connector, element: Selected, addresses: Vec<PeerAddress>) {
        let connector = connector.clone();
        self.connecting.spawn(async move { (element, connector.connect_any(&addresses).await) });
    }

    /// Tells whether a connection is being set up.
    pub(super) fn is_connecting(&self) -> bool {
        !self.connecting.is_empty()
    }

    /// Waits for what happens next; the first connection ends the search. Cancel safe.
    async fn next(&mut self) -> LinkEvent {
        let Self { asking, connecting } = self;
        let named = async {
            match asking {
                Some(element) => element.await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            element = named => {
                self.asking = None;
                return LinkEvent::Element(element);
            }
            event = connected(connecting) => event,
        };
        if let LinkEvent::Connected(_) = event {
            *self = Self::default();
        }
        event
    }
}

/// Waits for the end of a connection attempt; for ever if there is none. Cancel safe.
async fn connected(connecting: &mut JoinSet<(Selected, Result<Association, ConnectError>)>) -> LinkEvent {
    match connecting.join_next().await {
        Some(Ok((element, Ok(association)))) => LinkEvent::Connected(Collector::new(element, association)),
        Some(Ok((element, Err(error)))) => LinkEvent::NotConnected { pe: element.pe, error },
        Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        None => std::future::pending().await,
    }
}

/// Returns where a pool element is reached, in its own order; nowhere if it has another transport than `by`. TCP never
/// stands in for TLS (RFC 5355 threat 9).
pub(crate) fn addresses(element: &Selected, by: Transport) -> Vec<PeerAddress> {
    let UserTransport { protocol, port, encapsulation, .. } = element.transport;
    let addresses = element.transport.addresses.iter().map(|&ip| match (by, protocol) {
        (Transport::Sctp, Protocol::Sctp) => {
            Some(PeerAddress::Sctp { ip, port, encapsulation: Some(encapsulation) })
        }
        (Transport::Tcp, Protocol::Tcp) => Some(PeerAddress::Tcp((ip, port).into())),
        (Transport::Tls, Protocol::Tcp) => Some(PeerAddress::Tls((ip, port).into())),
        (Transport::Sctp | Transport::Tcp | Transport::Tls, _) => None,
    });
    addresses.flatten().collect()
}

/// A connected collector.
pub(super) struct Collector {
    pub(super) element: Selected,
    pub(super) association: Association,
    /// A message the transport had no room for.
    blocked: Option<MsgOut>,
    /// Nothing more can be sent; the event that tells why is on its way.
    closed: bool,
    since: Instant,
    /// Whether it has sent a message.
    pub(super) heard: bool,
    /// Why it is lost, as the transport tells.
    pub(super) detail: Option<String>,
}

impl Collector {
    fn new(element: Selected, association: Association) -> Self {
        Self {
            element,
            association,
            blocked: None,
            closed: false,
            since: Instant::now(),
            heard: false,
            detail: None,
        }
    }

    /// Returns for how long it has been connected.
    pub(super) fn seconds(&self) -> u64 {
        self.since.elapsed().as_secs()
    }

    /// Tells whether the collector sends cookies (full service): over SCTP, whether it registered for control messages
    /// too; a TCP transport parameter cannot say it, and `tcp` is what the configuration says.
    pub(super) fn acknowledges(&self, tcp: Service) -> bool {
        match self.element.transport.protocol {
            Protocol::Tcp => tcp == Service::Full,
            Protocol::Sctp | Protocol::Udp => {
                self.element.transport.transport_use == TransportUse::DATA_PLUS_CONTROL
            }
        }
    }

    /// Returns whether the end of this association may be the collector's refusal of this exporter: TLS 1.3 tells a client
    /// that it is refused only after the client's handshake is complete (RFC 8446 sections 4.4.2.4 and 4.4.4).
    pub(super) fn may_have_refused(&self) -> bool {
        matches!(self.association.peer(), PeerAddress::Tls(_))
            && !self.heard
            && self.since.elapsed() < REFUSAL
    }

    /// Returns whether classes of records have streams of their own.
    pub(super) fn carrier(&self) -> Carrier {
        match self.association.peer() {
            PeerAddress::Tcp(_) | PeerAddress::Tls(_) | PeerAddress::Udp(_) => Carrier::OneStream,
            PeerAddress::Sctp { .. } | PeerAddress::Sim(_) => Carrier::Streams,
        }
    }

    /// Waits for what happens next to the collector of this role; for ever if there is none. Cancel safe.
    async fn next(of: &mut Option<Box<Self>>, role: Role) -> LinkEvent {
        let Some(collector) = of else { return std::future::pending().await };
        let sender = collector.association.sender();
        let blocked = collector.blocked.clone();
        let room = async {
            match blocked {
                Some(message) => sender.send(message).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = collector.association.recv() => LinkEvent::Association(role, event),
            // The message is queued, or the association is over.
            sent = room => {
                collector.blocked = None;
                collector.closed = sent.is_err();
                LinkEvent::Unblocked
            }
        }
    }

    /// Tells whether a message can be sent.
    pub(super) fn has_room(&self) -> bool {
        self.blocked.is_none() && !self.closed
    }

    /// Sends a message, at the latest when the transport has room.
    ///
    /// Fails when this association cannot carry it at all.
    pub(super) fn send(&mut self, message: Transmit) -> Result<(), TrySendError> {
        let out = MsgOut {
            stream: message.stream,
            ppid: message.ppid,
            unordered: message.unordered,
            reliability: message.reliability,
            token: message.token,
            data: Bytes::from(message.octets),
        };
        match self.association.try_send(out) {
            Ok(()) => {}
            Err(TrySendError::Closed) => self.closed = true,
            Err(TrySendError::Full(message)) => self.blocked = Some(message),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Names it in the metric of the collector in use.
    pub(super) fn describe(&self, metrics: &Metrics) {
        let address = match self.association.peer() {
            PeerAddress::Sctp { ip, port, .. } => std::net::SocketAddr::new(ip, port).to_string(),
            peer => peer.to_string(),
        };
        let labels = [("pe_id", &*self.element.pe.to_string()), ("address", &*address)];
        metrics.set_info(COLLECTOR_INFO, "The collector in use", &labels);
    }

    /// Ends the association of a collector that is left: at once, or, if it is only unwilling, in the background.
    pub(super) fn close(mut self: Box<Self>, sign: Sign) {
        match sign {
            Sign::Lost | Sign::Frozen | Sign::Unusable => self.association.abort(),
            Sign::Shutdown | Sign::Slow | Sign::Draining | Sign::Rebalance => {
                tokio::spawn(async move { self.association.shutdown(CLOSE).await });
            }
        }
    }

    /// Ends the association after everything was delivered, within some seconds.
    pub(super) async fn finish(of: Option<Box<Self>>) {
        let Some(mut collector) = of else { return };
        if let Err(error) = collector.association.shutdown(CLOSE).await {
            debug!(%error, "association not closed gracefully");
        }
    }
}
