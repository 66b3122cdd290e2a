//! The handle of an association, the same for every back end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::link::{Link, Request};
use crate::{Event, LossReason, MsgOut, PeerAddress, SendError, ShutdownError, Status, TrySendError};

/// An association with a peer. Dropping it aborts it.
pub struct Association {
    link: Arc<Link>,
}

/// The sending half of an [`Association`]. Does not keep it alive.
#[derive(Clone)]
pub struct Sender {
    link: Arc<Link>,
}

impl Association {
    pub(crate) fn new(link: Arc<Link>) -> Association {
        Association { link }
    }

    /// Queues a message; waits while the send queue is full. Cancel safe: a message is queued or not.
    ///
    /// The queue holds what is not yet delivered or abandoned, and the outcomes not yet read: whoever
    /// sends with tokens must call `recv`.
    pub async fn send(&self, message: MsgOut) -> Result<(), SendError> {
        self.link.send(message).await
    }

    /// Queues a message if there is room for it now.
    pub fn try_send(&self, message: MsgOut) -> Result<(), TrySendError> {
        self.link.offer(message)
    }

    /// Waits for the next event. Cancel safe. At the end come the messages that arrived, the outcomes
    /// (unknown where no other is), and `Lost`, again and again.
    pub async fn recv(&mut self) -> Event {
        self.link.recv().await
    }

    /// Waits until [`Association::recv`] returns at once. Nothing is taken: what waits stays in the receive queue,
    /// which closes the peer's window. Cancel safe.
    pub async fn readable(&self) {
        self.link.readable().await;
    }

    /// Has `arrival` called whenever a message, a change of the association or its end can be read, from any thread, and
    /// once now: for one reader of many associations, which then calls [`Association::try_recv`] until there is nothing
    /// more. The outcomes of what was sent ([`Event::Sent`], [`Event::SenderDry`]) are not worth a call. The first
    /// `arrival` stays for good. It must be quick, and call nothing of the association.
    pub fn on_arrival(&self, arrival: impl Fn() + Send + Sync + 'static) {
        self.link.on_arrival(Box::new(arrival));
    }

    /// Waits for the end of the association. What has arrived is still read by `recv`. Cancel safe.
    pub async fn ended(&self) {
        self.link.ended().await;
    }

    /// Waits until the send queue is charged with `octets` at most ([`Status::send_queue`]), or the association is
    /// over. Cancel safe.
    pub async fn drained(&self, octets: usize) {
        self.link.drained(octets).await;
    }

    /// Has a full [`Budget`](crate::Budget) abort other associations first.
    pub fn spare(&self) {
        if let Some(account) = self.link.account() {
            account.spared.store(true, Ordering::Relaxed);
        }
    }

    /// Returns the next event if there is one now.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.link.next()
    }

    /// A look at the association.
    pub fn status(&self) -> Status {
        self.link.status()
    }

    /// Returns [`Status::send_queue`] alone.
    pub fn send_queue(&self) -> usize {
        self.link.send_queue()
    }

    /// Delivers everything reliable that was accepted, then closes. Takes `deadline` at most and aborts
    /// then. What arrived meanwhile is still read by `recv`; a peer that has more to say than the
    /// receive queue holds keeps the shutdown from completing.
    pub async fn shutdown(&mut self, deadline: Duration) -> Result<(), ShutdownError> {
        self.link.request(Request::Shutdown);
        match tokio::time::timeout(deadline, self.link.ended()).await {
            Ok(LossReason::Closed | LossReason::PeerClosed) => Ok(()),
            Ok(reason) => Err(ShutdownError::Lost(reason)),
            Err(_) => {
                self.abort();
                Err(ShutdownError::DeadlineExceeded)
            }
        }
    }

    /// Ends the association at once; what is queued is lost. The peer is told.
    pub fn abort(&self) {
        self.link.request(Request::Abort);
    }

    /// The peer, as reached at present.
    pub fn peer(&self) -> PeerAddress {
        self.link.peer()
    }

    /// Every address of the peer that this association knows: that of [`Association::peer`], and on a back
    /// end with several paths the others it was told in the handshake (RFC 9260 section 5.1.2). Not told
    /// here is which of them are reached: see [`Event::PathUp`] and [`Event::PathDown`].
    pub fn peer_addresses(&self) -> Vec<PeerAddress> {
        self.link.peers()
    }

    /// This side.
    pub fn local(&self) -> PeerAddress {
        self.link.local()
    }

    /// Whether both sides speak MPTCP on this connection (RFC 8684).
    pub fn is_multipath(&self) -> bool {
        self.link.is_multipath()
    }

    /// Which of the expected names the peer's certificate carries, as [`tls::Names`](crate::tls::Names) has them; its
    /// address where none was expected. Nothing without TLS: nobody vouches for such a peer.
    pub fn peer_names(&self) -> &[String] {
        self.link.names()
    }

    pub(crate) fn set_peer_names(&self, names: Vec<String>) {
        self.link.set_names(names);
    }

    /// A sending half for another task.
    pub fn sender(&self) -> Sender {
        Sender { link: Arc::clone(&self.link) }
    }
}

impl Drop for Association {
    fn drop(&mut self) {
        self.link.request(Request::Abort);
    }
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Association({} <> {})", self.local(), self.peer())
    }
}

impl Sender {
    /// As [`Association::send`].
    pub async fn send(&self, message: MsgOut) -> Result<(), SendError> {
        self.link.send(message).await
    }

    /// As [`Association::try_send`].
    pub fn try_send(&self, message: MsgOut) -> Result<(), TrySendError> {
        self.link.offer(message)
    }

    /// Queues a message if there is room for it now, and leaves it there: nothing is sent before
    /// [`Sender::flush`]. What is flushed together shares packets where the back end can.
    pub fn try_queue(&self, message: MsgOut) -> Result<(), TrySendError> {
        self.link.queue(message).map(|_| ())
    }

    /// Sends what [`Sender::try_queue`] has queued.
    pub fn flush(&self) {
        self.link.flush();
    }

    /// As [`Association::status`].
    pub fn status(&self) -> Status {
        self.link.status()
    }

    /// As [`Association::send_queue`].
    pub fn send_queue(&self) -> usize {
        self.link.send_queue()
    }

    /// As [`Association::drained`].
    pub async fn drained(&self, octets: usize) {
        self.link.drained(octets).await;
    }

    /// As [`Association::ended`].
    pub async fn ended(&self) {
        self.link.ended().await;
    }

    /// As [`Association::abort`].
    pub fn abort(&self) {
        self.link.request(Request::Abort);
    }

    /// As [`Association::peer`].
    pub fn peer(&self) -> PeerAddress {
        self.link.peer()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({})", self.peer())
    }
}
