//! The exporter's side of delivery: what is sent to which collector, what is sent again to the next one, and when a
//! collector counts as lost (docs/wire.md; RFC 7011 sections 8 and 10.2).
//!
//! Sans-IO. The driver connects to collectors and tells what happened; [`Failover::poll_transmit`] says what to
//! send. A session begins with the last cookie of the collector before, for one that sends cookies itself
//! (ASAP_COOKIE_ECHO, RFC 5352 section 2.2.12), then its session record and templates. Then class `reliable` sends everything no
//! collector is known to have on disk, the oldest first, so that replay needs nothing of its own; the octets sent
//! and not covered are bounded by the window. The classes that may lose records are sent once, the highest first, each on its
//! own stream.
//!
//! A collector may stand by: its session begins with everything but records, and [`Failover::promote`] makes it the one in
//! use. Which collector that is, and when, is [`Choice`]'s to say.
//!
//! Timers: those of [`AckWatch`](delivery::AckWatch), and the time a record waits for its message to fill.

mod books;
mod buffer;
mod choice;
mod control;
mod lane;
mod lossy;
mod passed;
mod session;
mod sign;
mod standby;
mod telling;
#[cfg(test)]
mod tests;
mod tiers;

use std::time::{Duration, Instant};

use delivery::ack_watch;
use delivery::cookie::MAX_LENGTH;
use delivery::retention::{Counts, PushError};
use delivery::{Cookie, ExporterState, KeyRing, Retention};
use rserpool::wire::Message as Asap;
use rserpool::wire::asap::cookie::CookieEcho;
use spool::Position;
use transport::{Outcome, Ppid, Reliability, Token};

use crate::export::options::Told;
use crate::export::{ClassIndex, Classes, TemplateIndex, Templates};
use crate::spooling::{Command, Event};

pub use books::{Abandonment, Books, DropReason};
pub use choice::{Choice, ChoiceConfig, Output, Role};
pub use lane::Carrier;
pub use sign::{CookieRefused, Sign};
pub use tiers::{Durability, SpoolConfig, SpoolCounts};

use buffer::Buffer;
use passed::Passed;
use session::{Moment, Session};
use tiers::Tiers;

/// Octets that fit one packet of nearly every path.
const ONE_PACKET: usize = 1_100;

/// What does not change while the exporter runs.
#[derive(Debug)]
pub struct FailoverConfig {
    /// Observation Domain ID.
    pub domain: u32,
    /// The classes of flow records.
    pub classes: Classes,
    /// The templates of flow records.
    pub templates: Templates,
    /// Octets of a message at most, in class `reliable`.
    pub max_message: usize,
    /// Octets of a message at most, in the classes that may lose records; what the path carries in a packet without it.
    pub max_lossy_message: Option<usize>,
    /// How long a record waits for its message to fill.
    pub linger: Duration,
    /// Per-stream export (RFC 6526): each template's reliability is told first, and every message goes in order.
    pub per_stream: bool,
    /// Between two times that options records about the exporter are sent, see [`Failover::set_told`].
    pub options_interval: Duration,
    /// Octets of records kept in memory.
    pub memory: usize,
    /// Where class `reliable` goes beside or behind it.
    pub spool: Option<SpoolConfig>,
    /// The pool's keys.
    pub keys: KeyRing,
}

/// A message for the collector in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// SCTP stream.
    pub stream: u16,
    /// What the message is.
    pub ppid: Ppid,
    /// Whether it may overtake others of its stream.
    pub unordered: bool,
    /// How hard the transport tries.
    pub reliability: Reliability,
    /// Tells the driver's `Sent` event apart; none where nobody needs to know.
    pub token: Option<Token>,
    /// The IPFIX or ASAP message.
    pub octets: Vec<u8>,
}

/// Everything between metered records and one collector at a time, another one standing by.
#[derive(Debug)]
pub struct Failover {
    config: FailoverConfig,
    incarnation: ExporterState,
    buffer: Buffer,
    session: Option<Session>,
    /// The session with the collector that stands by.
    standby: Option<Session>,
    /// Only what was begun is sent to the collector in use.
    paused: bool,
    /// The latest cookie of any collector, unread.
    last_cookie: Option<Vec<u8>>,
    /// Waits to be the first message of the session.
    echo: Option<Transmit>,
    /// What options records tell.
    told: Option<Told>,
    /// What options records of other exporters tell.
    passed: Passed,
    /// When the collector before was lost.
    lost_at: Option<Instant>,
    /// How long the exporter was without a collector, to be told once.
    gap: Option<Duration>,
    finishing: bool,
    /// What one packet of the path carries.
    max_payload: Option<usize>,
    /// What is settled, by class; what the buffer and the session count is not in it.
    settled: Vec<Books>,
    seed: u64,
}

impl Failover {
    /// Returns the machine without a collector. `seed` decides its jitter.
    pub fn new(config: FailoverConfig, incarnation: ExporterState, seed: u64) -> Self {
        let ExporterState { ledger, epoch } = incarnation;
        let classes = config.classes.iter().len();
        let tiers =
            config.spool.map(|spool| Tiers::new(spool, incarnation, config.domain, config.templates.clone()));
        Self {
            buffer: Buffer::new(Retention::new(ledger, epoch, config.memory), tiers, classes),
            settled: vec![Books::default(); classes],
            config,
            incarnation,
            session: None,
            standby: None,
            paused: false,
            last_cookie: None,
            echo: None,
            told: None,
            passed: Passed::default(),
            lost_at: None,
            gap: None,
            finishing: false,
            max_payload: None,
            seed,
        }
    }

    /// Returns the identity of this start.
    pub const fn incarnation(&self) -> ExporterState {
        self.incarnation
    }

    /// Tells what one packet of the path to the next collector carries, in octets, if that is known.
    pub const fn set_path(&mut self, max_payload: Option<usize>) {
        self.max_payload = max_payload;
    }

    /// Returns the classes of flow records.
    pub const fn classes(&self) -> &Classes {
        &self.config.classes
    }

    /// Tells whether a batch of records can be taken without dropping any.
    pub fn has_room(&self) -> bool {
        self.buffer.has_room()
    }

    /// Takes an encoded flow record of a class. Without room, the lowest class that may lose records drops its oldest
    /// ones, if it is not above this one; class `reliable` goes to the spool, and without one loses its own oldest.
    ///
    /// Fails, with class `reliable`, when no message can carry the record; it is counted as dropped then.
    pub fn push(
        &mut self,
        class: ClassIndex,
        template: TemplateIndex,
        record: &[u8],
    ) -> Result<(), PushError> {
        let id = template.id(self.config.classes.stream(class));
        let books = &mut self.settled[usize::from(class.0)];
        books.metered += 1;
        if self.config.classes.get(class).kind.is_lossy() {
            self.buffer.push_lossy(class, id, record);
            return Ok(());
        }
        let pushed = self.buffer.push_reliable(self.config.domain, id, record);
        books.drop(DropReason::BufferFull, u64::from(pushed.is_err()));
        pushed
    }

    /// Takes over templates of flow records that were learned since: `templates` is the table so far and more. Records by them
    /// may be pushed from here on.
    pub fn follow_templates(&mut self, templates: &Templates) {
        if templates.len() == self.config.templates.len() {
            return;
        }
        self.config.templates.follow(templates);
        for (session, in_advance) in [(&mut self.session, false), (&mut self.standby, true)] {
            session.iter_mut().for_each(|session| session.follow_templates(templates, in_advance));
        }
        self.buffer.follow_templates(templates);
    }

    /// Returns what the spool is to do next; `None` until something happens or [`Failover::spool_timeout`] is over.
    /// `export_time` is the wall clock, in seconds since the Unix epoch.
    pub fn poll_spool(&mut self, now: Instant, export_time: u32) -> Option<Command> {
        self.buffer.poll_spool(now, export_time)
    }

    /// Returns when to call [`Failover::poll_spool`].
    pub fn spool_timeout(&self) -> Option<Instant> {
        self.buffer.spool_timeout()
    }

    /// Takes what the spool tells.
    pub fn handle_spool(&mut self, event: Event) {
        self.buffer.handle_spool(event);
    }

    /// Puts all records of class `reliable` that no collector has on disk; what [`Failover::poll_spool`] returns then comes
    /// last. Returns before which position no message is needed; `None` without a spool.
    pub fn spill(&mut self) -> Option<Position> {
        self.buffer.spill()
    }

    /// Returns the spool's books; all zero without one.
    pub fn spool_counts(&self) -> SpoolCounts {
        self.buffer.spool_counts()
    }

    /// Returns why the spool does not take records, while it does not.
    pub fn spool_failing(&self) -> Option<&str> {
        self.buffer.spool_failing()
    }

    /// No more records come: what is there is sent without waiting for a message to fill.
    pub fn finish(&mut self) {
        self.finishing = true;
    }

    /// Tells whether every record is where it can be: on a collector's disk, or, in the classes that may lose, known to
    /// have arrived or to be lost.
    pub fn is_done(&self) -> bool {
        let unsent = self.session.as_ref().is_some_and(Session::has_unsent);
        self.finishing && self.buffer.is_empty() && !unsent
    }

    /// A collector is connected and used at once: a new session begins. `acknowledges`: it sends cookies (full service).
    pub fn handle_connected(&mut self, carrier: Carrier, acknowledges: bool) {
        self.handle_standby_connected(carrier, acknowledges);
        self.promote();
    }

    /// The collector is about to be left, with its association in order: returns the last messages for it, which count
    /// what is on its way as given up.
    pub fn farewell(&mut self, export_time: u32) -> Vec<Transmit> {
        match &mut self.session {
            Some(session) => session.tell(export_time, &self.buffer, true),
            None => Vec::new(),
        }
    }

    /// The collector is lost, or is left: what it does not have on disk goes to the next one.
    pub fn handle_lost(&mut self, now: Instant) {
        if self.session.is_some() {
            self.lost_at.get_or_insert(now);
        }
        self.end_session();
    }

    fn end_session(&mut self) {
        (self.echo, self.paused) = (None, false);
        let Some(session) = self.session.take() else { return };
        self.buffer.retention.close_session(session.id);
        for ((class, _), books) in self.config.classes.iter().zip(&mut self.settled) {
            books.abandon(Abandonment::Association, session.on_their_way(class));
            books.drop(DropReason::Association, session.packed(class));
        }
    }

    /// A cookie arrived. Returns the collector's state as it says. Whatever it says, it is kept for the next collector.
    ///
    /// Fails when it is not to be believed; it covers nothing then.
    pub fn handle_cookie(
        &mut self,
        now: Instant,
        octets: &[u8],
    ) -> Result<delivery::cookie::State, CookieRefused> {
        let session = self.session.as_mut().ok_or(CookieRefused::NoSession)?;
        if octets.len() <= MAX_LENGTH {
            self.last_cookie = Some(octets.to_vec());
        }
        let cookie = Cookie::decode(octets, &self.config.keys)?;
        let covered = self.buffer.cover(session.id, &cookie.entries);
        session.watch.handle_cookie(now, covered > 0, self.buffer.retention.in_flight(session.id));
        Ok(cookie.state)
    }

    /// The transport tells what became of a message with a token.
    pub fn handle_sent(&mut self, now: Instant, token: Token, outcome: Outcome) {
        let Some(session) = self.session.as_mut() else { return };
        let Some((class, sent)) = session.settle(now, token, outcome) else { return };
        let books = &mut self.settled[usize::from(class.0)];
        match sent.abandonment(outcome) {
            Some(reason) => books.abandon(reason, sent.lossy_records),
            None => {
                books.delivered += sent.lossy_records;
                if let Some(mark) = sent.mark {
                    self.buffer.acknowledge(session.id, mark, now);
                }
            }
        }
    }

    /// Returns the next message for the collector; `None` until something happens or [`Failover::poll_timeout`] is over.
    /// `export_time` is the wall clock, in seconds since the Unix epoch.
    pub fn poll_transmit(&mut self, now: Instant, export_time: u32) -> Option<Transmit> {
        let session = self.session.as_mut()?;
        if let Some(echo) = self.echo.take() {
            return Some(echo);
        }
        let moment = Moment { now, export_time, finishing: self.finishing };
        let packed = match self.paused {
            true => session.next_begun(moment)?,
            false => session.next(moment, &mut self.buffer, self.told.as_ref(), &self.passed)?,
        };
        self.settled[usize::from(packed.class.0)].exported += u64::from(packed.records);
        if packed.records > 0 && !self.paused {
            self.gap = self.lost_at.take().map(|at| now.saturating_duration_since(at)).or(self.gap);
        }
        Some(packed.message)
    }

    /// Returns when to call [`Failover::handle_timeout`], and, if the transport has room (`can_send`), when to ask for
    /// messages again.
    pub fn poll_timeout(&self, can_send: bool) -> Option<Instant> {
        self.session.as_ref()?.deadline(can_send && !self.paused)
    }

    /// Fires what is due; returns why the collector is to be left, if it is.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Sign> {
        let session = self.session.as_mut()?;
        if !session.watch.sends_cookies() {
            session.release(now, &mut self.buffer.retention, self.finishing);
            return None;
        }
        session.watch.handle_timeout(now);
        match session.watch.poll_output()? {
            ack_watch::Failure::Frozen => Some(Sign::Frozen),
            ack_watch::Failure::Slow => Some(Sign::Slow),
        }
    }

    /// Returns, once, how long it took from the sign of loss to the first record sent to the next collector.
    pub fn take_gap(&mut self) -> Option<Duration> {
        self.gap.take()
    }

    /// Returns the octets that may be sent and not yet on disk, 0 without a collector.
    pub fn window(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.watch.window())
    }

    /// Returns the books of all classes.
    pub fn books(&self) -> Books {
        self.config.classes.iter().map(|(class, _)| self.class_books(class)).sum()
    }

    /// Returns the books of one class.
    pub fn class_books(&self, class: ClassIndex) -> Books {
        let mut books = self.settled[usize::from(class.0)];
        if !self.config.classes.get(class).kind.is_lossy() {
            let Counts { covered, dropped, retained, retained_octets, replayed, .. } =
                self.buffer.retention.counts();
            let spool = self.buffer.spool_counts();
            books.drop(DropReason::BufferFull, dropped);
            books.drop(DropReason::SpoolFull, spool.full);
            books.drop(DropReason::Unreadable, spool.unreadable);
            return Books {
                recovered: spool.recovered,
                covered,
                waiting: retained + spool.waiting,
                waiting_octets: retained_octets,
                resent: replayed,
                ..books
            };
        }
        let queue = self.buffer.queue(class);
        let in_session =
            self.session.as_ref().map_or(0, |session| session.on_their_way(class) + session.packed(class));
        books.drop(DropReason::BufferFull, queue.dropped());
        books.waiting = queue.records() + in_session;
        books.waiting_octets = queue.octets() as u64;
        books
    }
}

/// Returns the message that gives the cookie of one collector to the next.
fn cookie_echo(cookie: &[u8]) -> Option<Transmit> {
    let echo = Asap::CookieEcho(CookieEcho { cookie: cookie.to_vec(), unknown: Vec::new() });
    // What came in a message fits in one.
    let octets = echo.to_octets().ok()?;
    let (ppid, reliability) = (Ppid::ASAP, Reliability::Full);
    Some(Transmit { stream: 0, ppid, unordered: false, reliability, token: None, octets })
}
