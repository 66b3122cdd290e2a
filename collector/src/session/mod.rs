//! One association with an exporter, from accept to its end: decode, hand to the outputs, acknowledge.
//!
//! While an output's queue is full nothing is read, so the association's window closes; cookies go on, and say that the
//! collector is alive but slow. Whatever the association's end, what was received before it goes to the outputs.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod acks;
mod classes;
pub(crate) mod decoder;
mod delay;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use delivery::cookie::{Cookie, State};
use intake::Rooms;
use rserpool_proto::wire;
use service::Shutdown;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, info};
use transport::{Association, Event, LossReason, Message, MsgOut, PeerAddress, Ppid};

use self::acks::Acks;
pub(crate) use self::acks::Signer;
use self::classes::Closed as ClassBooks;
pub(crate) use self::decoder::Decoder;
use crate::cards::Cards;
use crate::config::Transport;
use crate::metrics::{SessionMetrics, TransportMetrics};
use crate::output::{Batch, Closed, Letter, Outputs};
use crate::status::Window;
use crate::status::register::Entry;

/// Octets gathered while more messages are at hand.
pub(crate) const BATCH_OCTETS: usize = 64 << 10;
/// At the collector's end, how long a session waits for an output with room, for its last sync, and for its shutdown.
const END: Duration = Duration::from_secs(5);

/// What every session is given.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) outputs: Outputs,
    pub(crate) metrics: SessionMetrics,
    /// Of all associations.
    pub(crate) rooms: Rooms,
    /// None: this collector sends no cookies.
    pub(crate) signer: Option<Arc<Signer>>,
    pub(crate) cards: watch::Receiver<Cards>,
    /// How the collector is.
    pub(crate) state: watch::Receiver<State>,
    /// Where sessions are shown.
    pub(crate) window: Window,
    pub(crate) ending: Ending,
}

/// The collector's end, in two steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    /// Who asked for cookies is told by them to move; the others have to be closed now.
    pub(crate) begun: Shutdown,
    /// Every session is closed now.
    pub(crate) closing: Shutdown,
}

struct Session {
    association: Association,
    decoder: Decoder,
    acks: Acks,
    outputs: Outputs,
    metrics: SessionMetrics,
    transport: TransportMetrics,
    signer: Option<Arc<Signer>>,
    /// The pool's transport it came over.
    over: Transport,
    cards: watch::Receiver<Cards>,
    state: watch::Receiver<State>,
    ending: Ending,
    /// What is shown of it.
    entry: Arc<Entry>,
    /// It asked for cookies, so it has a control channel.
    asked: bool,
    /// It was told whom to move to.
    told_to_move: bool,
    /// The association is known to have ended.
    gone: bool,
}

/// Why a session is over.
enum End {
    Lost(LossReason),
    /// This side ended it.
    Aborted,
    /// The collector is about to end.
    Shutdown,
}

/// Serves `association` until it ends or the collector does.
pub(crate) async fn serve(association: Association, shared: Shared) {
    let Shared { outputs, metrics, rooms, signer, cards, state, window, ending } = shared;
    let peer = association.peer();
    let (over, transport) = match peer {
        PeerAddress::Tls(_) => (Transport::Tls, metrics.tls.clone()),
        PeerAddress::Tcp(_) | PeerAddress::Udp(_) => (Transport::Tcp, metrics.tcp.clone()),
        PeerAddress::Sctp { .. } | PeerAddress::Sim(_) => (Transport::Sctp, metrics.sctp.clone()),
    };
    let signer = signer.filter(|_| cards.borrow().has_control(over));
    let mut acks = Acks::new(signer.clone(), outputs.progress());
    acks.set_state(*state.borrow());
    let mut decoder = Decoder::new(outputs.forms(), metrics.clone(), &rooms);
    if let Some(exporter) = peer.ip() {
        decoder.set_exporter(exporter);
    }
    let watched = window.show(peer);
    let entry = watched.share();
    decoder.watch(watched);
    let mut session = Session {
        association,
        decoder,
        acks,
        outputs,
        metrics,
        transport,
        signer,
        over,
        cards,
        state,
        ending,
        entry,
        asked: false,
        told_to_move: false,
        gone: false,
    };
    session.metrics.associations.increment(1);
    info!(%peer, "exporter connected");
    let end = session.run().await;
    match &end {
        Ok(End::Shutdown) => session.leave().await,
        // The collector ends with its output.
        Err(Closed) => session.association.abort(),
        Ok(End::Lost(_) | End::Aborted) => {}
    }
    session.count_gone();
    for (class, ClassBooks { sent, received, lost, abandoned, spurious }) in session.decoder.close() {
        info!(%peer, %class, sent, received, lost, abandoned, spurious, "class of records closed");
    }
    drop(session);
    if let Ok(End::Lost(reason)) = end {
        info!(%peer, %reason, "exporter gone");
    }
}

impl Session {
    async fn run(&mut self) -> Result<End, Closed> {
        let Ending { begun, closing } = self.ending.clone();
        let (mut begun, mut closing) =
            (std::pin::pin!(begun.requested()), std::pin::pin!(closing.requested()));
        loop {
            let event = tokio::select! {
                event = self.association.recv() => event,
                () = turn(&self.acks) => {
                    self.acknowledge();
                    continue;
                }
                Ok(()) = self.cards.changed(), if self.asked => {
                    self.send_cards();
                    continue;
                }
                Ok(()) = self.state.changed() => {
                    self.tell_state();
                    continue;
                }
                () = &mut begun, if !self.asked => return Ok(End::Shutdown),
                () = &mut closing => return Ok(End::Shutdown),
            };
            let end = self.take(event).await;
            let is_closing = self.flush().await?;
            if let Some(end) = end.or(is_closing.then_some(End::Shutdown)) {
                return Ok(end);
            }
        }
    }

    /// Takes in an event and those at hand behind it, until a batch is full.
    async fn take(&mut self, mut event: Event) -> Option<End> {
        loop {
            match event {
                Event::Message(message) => {
                    if let Some(end) = self.message(&message) {
                        return Some(end);
                    }
                }
                Event::Restarted => {
                    debug!(peer = %self.association.peer(), "exporter restarted its association");
                    self.decoder.restart();
                    self.acks.restart();
                }
                Event::Lost(reason) => return Some(End::Lost(reason)),
                _ => {}
            }
            if self.decoder.waiting() >= BATCH_OCTETS {
                return None;
            }
            event = tokio::select! {
                biased;
                event = self.association.recv() => event,
                () = std::future::ready(()) => return None,
            };
        }
    }

    fn message(&mut self, Message { stream, ppid, unordered, data }: &Message) -> Option<End> {
        if *ppid == Ppid::ASAP {
            self.asap(data);
            return None;
        }
        self.transport.messages.increment(1);
        self.transport.octets.increment(data.len() as u64);
        if *unordered {
            self.decoder.unordered(*stream);
        }
        if let Err(hopeless) = self.decoder.message(*stream, data, wall_clock()) {
            info!(peer = %self.association.peer(), reason = %hopeless, "association aborted");
            self.association.abort();
            return Some(End::Aborted);
        }
        if self.decoder.is_asked_for_cookies() {
            self.acks.ask(Instant::now());
            if self.signer.is_some() && !std::mem::replace(&mut self.asked, true) {
                self.entry.is_acknowledged.store(true, Ordering::Relaxed);
                self.send_cards();
            }
        }
        None
    }

    /// Two ASAP messages are of use here: a cookie of another collector, which is a hint, and the card of an exporter
    /// that is itself in a pool. Without a control channel there is none.
    fn asap(&self, octets: &[u8]) {
        let peer = self.association.peer();
        if !self.cards.borrow().has_control(self.over) {
            self.metrics.asap_ignored.increment(1);
            return debug!(%peer, "ASAP message ignored: the service is minimal");
        }
        match wire::Message::decode(octets) {
            Ok(wire::Message::CookieEcho(echo)) => {
                self.metrics.cookie_echoes.increment(1);
                let cookie = self.signer.as_ref().map(|signer| Cookie::decode(&echo.cookie, &signer.keys));
                debug!(%peer, ?cookie, "exporter comes from another collector");
            }
            Ok(wire::Message::BusinessCard(card)) => {
                self.metrics.cards_received.increment(1);
                debug!(%peer, pool = %card.pool, elements = card.elements.len(), "exporter is in a pool itself");
            }
            other => {
                self.metrics.asap_ignored.increment(1);
                debug!(%peer, message = ?other.map(|message| message.message_type()), "ASAP message ignored");
            }
        }
    }

    /// Gives what was decoded to the outputs, waiting while they are full; cookies go on meanwhile. Returns whether the wait ended
    /// because the collector closes: what was not given then was not acknowledged either.
    async fn flush(&mut self) -> Result<bool, Closed> {
        let decoded = self.decoder.take();
        if decoded.is_empty() {
            return Ok(false);
        }
        let (has_text, has_letter) = (!decoded.rendered.is_empty(), !decoded.letters.is_empty());
        let ticket = self.acks.wait_for(decoded.numbers(), has_text, has_letter);
        let (outputs, progress) = (self.outputs.clone(), Arc::clone(self.acks.progress()));
        let mut push = std::pin::pin!(async move {
            if has_letter {
                let letter =
                    Letter { line: decoded.letters, progress: Arc::clone(&progress), number: ticket.letter };
                outputs.dead_letter.push(letter).await;
            }
            if !has_text {
                return Ok(());
            }
            outputs.push(&Batch::new(decoded.rendered, progress, ticket.batch)).await
        });
        let closing = self.ending.closing.clone();
        let mut too_late = std::pin::pin!(async move {
            closing.requested().await;
            sleep(END).await;
        });
        self.entry.is_waiting.store(true, Ordering::Relaxed);
        loop {
            tokio::select! {
                biased;
                pushed = &mut push => {
                    self.entry.is_waiting.store(false, Ordering::Relaxed);
                    return pushed.map(|()| false);
                }
                () = self.association.ended(), if !self.gone => {
                    self.count_gone();
                    info!(peer = %self.association.peer(), "exporter gone, its last records wait for an output");
                }
                () = turn(&self.acks), if !self.gone => self.acknowledge(),
                Ok(()) = self.state.changed(), if !self.gone => self.tell_state(),
                () = &mut too_late => return Ok(true),
            }
        }
    }

    fn count_gone(&mut self) {
        if !std::mem::replace(&mut self.gone, true) {
            self.metrics.associations.decrement(1);
        }
    }

    /// Tells how the collector is; when it asks exporters to move, also where to.
    fn tell_state(&mut self) {
        let state = *self.state.borrow_and_update();
        self.acks.set_state(state);
        match state {
            State::Draining if self.asked && !self.told_to_move => self.send_cards(),
            State::Draining => {}
            State::Ok | State::Slow => {
                self.told_to_move = false;
                self.entry.is_leaving.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Takes in what the outputs have synced, and sends a cookie if it is due.
    fn acknowledge(&mut self) {
        self.acks.collect();
        if let Some(cookie) = self.acks.cookie(Instant::now()) {
            self.send(cookie);
        }
    }

    /// Recommends other collectors; to those who are asked to move, says so too where there is none.
    fn send_cards(&mut self) {
        let is_draining = *self.state.borrow() == State::Draining;
        let messages = self.cards.borrow_and_update().messages(self.over, is_draining);
        self.told_to_move = is_draining;
        self.entry.is_leaving.store(is_draining, Ordering::Relaxed);
        for octets in messages {
            match self.association.try_send(MsgOut::new(Ppid::ASAP, octets)) {
                Ok(()) => self.metrics.cards_sent.increment(1),
                // It is a recommendation.
                Err(error) => debug!(peer = %self.association.peer(), %error, "business card not sent"),
            }
        }
    }

    fn send(&mut self, cookie: Vec<u8>) {
        let message = wire::Message::Cookie(wire::asap::cookie::Cookie { cookie, unknown: Vec::new() });
        // A cookie of at most 32 KiB fits its message.
        let Ok(octets) = message.to_octets() else { return };
        match self.association.try_send(MsgOut::new(Ppid::ASAP, octets)) {
            Ok(()) => self.metrics.cookies.increment(1),
            Err(error) => {
                // The exporter does not read, or is gone: another cookie will tell the same.
                debug!(peer = %self.association.peer(), %error, "cookie not sent");
                self.acks.repeat();
            }
        }
    }

    /// Waits for the last sync, tells the exporter and closes gracefully.
    async fn leave(&mut self) {
        let settled = timeout(END, async {
            loop {
                self.acks.collect();
                if self.acks.is_settled() {
                    return;
                }
                self.acks.progress().news().await;
            }
        });
        let settled = settled.await.is_ok();
        self.tell_state();
        if let Some(cookie) = self.acks.cookie_now(Instant::now()) {
            self.send(cookie);
        }
        let peer = self.association.peer();
        match self.association.shutdown(END).await {
            Ok(()) => info!(%peer, settled, "association closed"),
            Err(error) => info!(%peer, settled, %error, "association closed"),
        }
    }
}

/// Waits until there is something to collect or a cookie is due. Cancel safe.
async fn turn(acks: &Acks) {
    let due = async {
        match acks.due() {
            Some(due) => sleep_until(due.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = acks.progress().news() => {}
        () = due => {}
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
