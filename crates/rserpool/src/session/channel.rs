//! One association of a session, in a task of its own: it sends what it is told and passes on what happens, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use transport::{
    Association, ConnectError, Connector, Event, LossReason, MsgOut, PeerAddress, Ppid, SendError, Token,
    TrySendError,
};

use super::event::{MessageId, Origin, SendOptions};

/// How long an association that is left in order may take.
const CLOSE: Duration = Duration::from_secs(5);

/// A message of the application.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) id: MessageId,
    pub(super) options: SendOptions,
    pub(super) data: Bytes,
}

/// An association, being set up or up. Dropping it aborts it.
#[derive(Debug)]
pub(super) struct Channel {
    /// Tells it from an earlier one with the same peer.
    pub(super) serial: u64,
    pub(super) is_up: bool,
    /// Nothing more is sent on it.
    pub(super) retiring: bool,
    /// The peer has sent a message.
    pub(super) heard: bool,
    secured: bool,
    /// Given to the task, and not yet told what became of it.
    pub(super) flying: BTreeMap<MessageId, Outgoing>,
    orders: mpsc::UnboundedSender<MsgOut>,
    close: Option<oneshot::Sender<()>>,
}

/// What happened to the channel of this serial number.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) serial: u64,
    pub(super) with: Origin,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Up,
    NotConnected(ConnectError),
    Unsendable(Token, SendError),
    Event(Event),
}

impl Channel {
    /// Sets up an association at whichever address answers; what happens goes to `sink`.
    pub(super) fn open(
        (serial, with): (u64, Origin),
        connector: Connector,
        addresses: Vec<PeerAddress>,
        sink: mpsc::Sender<Happened>,
    ) -> Channel {
        let (orders, order_queue) = mpsc::unbounded_channel();
        let (close, closing) = oneshot::channel();
        let reporter = Reporter { serial, with, sink };
        let secured = matches!(addresses[..], [PeerAddress::Tls(_), ..]);
        tokio::spawn(run(connector, addresses, order_queue, closing, reporter));
        let flying = BTreeMap::new();
        Channel {
            serial,
            is_up: false,
            retiring: false,
            heard: false,
            secured,
            flying,
            orders,
            close: Some(close),
        }
    }

    /// Returns whether the end of the association may be the peer's refusal of this user: TLS 1.3 tells a client that it
    /// is refused only after the client's handshake is complete (RFC 8446 section 4.4.2.4).
    pub(super) fn may_have_refused(&self) -> bool {
        self.secured && !self.heard
    }

    /// Sends a message of the application; [`What::Event`] tells what became of it.
    pub(super) fn send(&mut self, ppid: Ppid, outgoing: Outgoing) {
        let SendOptions { stream, unordered, reliability, .. } = outgoing.options;
        let (token, data) = (Some(Token(outgoing.id.0)), outgoing.data.clone());
        self.flying.insert(outgoing.id, outgoing);
        self.order(MsgOut { stream, ppid, unordered, reliability, token, data });
    }

    /// Sends a message of the control channel.
    pub(super) fn control(&self, octets: Vec<u8>) {
        self.order(MsgOut::new(Ppid::ASAP, octets));
    }

    fn order(&self, message: MsgOut) {
        // A task that has ended has told why.
        let _ = self.orders.send(message);
    }

    /// Delivers what was sent, and ends the association.
    pub(super) fn retire(&mut self) {
        self.retiring = true;
        if let Some(close) = self.close.take() {
            let _ = close.send(());
        }
    }
}

/// The task's way to its session.
struct Reporter {
    serial: u64,
    with: Origin,
    sink: mpsc::Sender<Happened>,
}

impl Reporter {
    /// Waits for room, which closes the peer's window meanwhile. Returns whether the session is still there.
    async fn tell(&self, what: What) -> bool {
        self.sink.send(Happened { serial: self.serial, with: self.with, what }).await.is_ok()
    }
}

async fn run(
    connector: Connector,
    addresses: Vec<PeerAddress>,
    mut orders: mpsc::UnboundedReceiver<MsgOut>,
    mut closing: oneshot::Receiver<()>,
    reporter: Reporter,
) {
    let connected = tokio::select! {
        asked = &mut closing => {
            if asked.is_ok() {
                reporter.tell(What::Event(Event::Lost(LossReason::Closed))).await;
            }
            return;
        }
        connected = connector.connect_any(&addresses) => connected,
    };
    match connected {
        Ok(association) => {
            if reporter.tell(What::Up).await {
                carry(association, &mut orders, &mut closing, &reporter).await;
            }
        }
        Err(error) => {
            reporter.tell(What::NotConnected(error)).await;
        }
    }
}

/// Until the association's end, or until nobody wants it any more.
async fn carry(
    mut association: Association,
    orders: &mut mpsc::UnboundedReceiver<MsgOut>,
    closing: &mut oneshot::Receiver<()>,
    reporter: &Reporter,
) {
    let mut blocked: Option<MsgOut> = None;
    loop {
        let sender = association.sender();
        let room = async {
            match &blocked {
                Some(message) => sender.send(message.clone()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            asked = &mut *closing => {
                if asked.is_ok() {
                    close(association, blocked, orders, reporter).await;
                }
                return;
            }
            // The message is queued, or the association is over, which an event tells.
            _ = room => blocked = None,
            Some(message) = orders.recv(), if blocked.is_none() => {
                let token = message.token;
                match association.try_send(message) {
                    Ok(()) | Err(TrySendError::Closed) => {}
                    Err(TrySendError::Full(message)) => blocked = Some(message),
                    Err(TrySendError::Unsendable(error)) => if let Some(token) = token
                        && !reporter.tell(What::Unsendable(token, error)).await { return },
                    Err(_) => {}
                }
            }
            event = association.recv() => {
                let over = matches!(event, Event::Lost(_));
                if !reporter.tell(What::Event(event)).await || over {
                    return;
                }
            }
        }
    }
}

/// Delivers what is left within [`CLOSE`], and tells what became of it.
async fn close(
    mut association: Association,
    blocked: Option<MsgOut>,
    orders: &mut mpsc::UnboundedReceiver<MsgOut>,
    reporter: &Reporter,
) {
    let rest = async {
        let mut next = blocked;
        while let Some(message) = next.take().or_else(|| orders.try_recv().ok()) {
            if association.send(message).await == Err(SendError::Closed) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(CLOSE, rest).await;
    let _ = association.shutdown(CLOSE).await;
    loop {
        let event = association.recv().await;
        let over = matches!(event, Event::Lost(_));
        if !reporter.tell(What::Event(event)).await || over {
            return;
        }
    }
}
