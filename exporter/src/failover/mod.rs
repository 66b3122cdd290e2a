//! The exporter's side of delivery: what is sent to which collector, what is sent again to the next one, and when a
//! collector counts as lost (docs/wire.md; RFC 7011 sections 8 and 10.2).
//!
//! Sans-IO. The driver connects to collectors and tells what happened; [`Failover::poll_transmit`] says what to
//! send. A session begins with the last cookie of the collector before, for one that sends cookies itself
//! (ASAP_COOKIE_ECHO, RFC 5352 section 2.2.12), then its session record and templates. Then class `reliable` sends everything no
//! collector is known to have on disk, the oldest first, so that replay needs nothing of its own; the octets sent
//! and not covered are bounded by the window. The classes that may lose records are sent once.
//!
//! Timers: those of [`AckWatch`], and the time a record waits for its message to fill.

mod lossy;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use delivery::ack_watch::{self, Expectation};
use delivery::cookie::MAX_LENGTH;
use delivery::retention::{Counts, PushError};
use delivery::{AckWatch, Cookie, ExporterState, KeyRing, Retention};
use rserpool::wire::Message as Asap;
use rserpool::wire::asap::cookie::CookieEcho;
use transport::{Outcome, Ppid, Reliability, Token};

use crate::export::{Class, FlowTemplate};

use lossy::LossyQueue;
use session::Session;

/// What does not change while the exporter runs.
#[derive(Debug)]
pub struct FailoverConfig {
    /// Observation Domain ID.
    pub domain: u32,
    /// The class all flow records go with.
    pub class: Class,
    /// Octets of a message at most.
    pub max_message: usize,
    /// How long a record waits for its message to fill.
    pub linger: Duration,
    /// Octets of records kept.
    pub memory: usize,
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
    /// How hard the transport tries.
    pub reliability: Reliability,
    /// Tells the driver's `Sent` event apart; none where nobody needs to know.
    pub token: Option<Token>,
    /// The IPFIX or ASAP message.
    pub octets: Vec<u8>,
}

/// Why a collector is left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// The association is lost.
    Lost,
    /// The collector closed the association.
    Shutdown,
    /// No cookie for too long although records are uncovered.
    Frozen,
    /// Cookies, but no progress for too long.
    Slow,
    /// The collector asks its exporters to move.
    Draining,
    /// The association cannot carry what is to be sent, for instance for want of streams.
    Unusable,
}

impl Sign {
    /// Returns the sign as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Lost => "comm_lost",
            Self::Shutdown => "shutdown",
            Self::Frozen => "frozen",
            Self::Slow => "slow",
            Self::Draining => "draining",
            Self::Unusable => "unusable",
        }
    }

    /// Tells whether the collector, by all signs, is gone and not just unwilling.
    pub const fn is_gone(self) -> bool {
        match self {
            Self::Lost | Self::Frozen | Self::Unusable => true,
            Self::Shutdown | Self::Slow | Self::Draining => false,
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "association lost",
            Self::Shutdown => "collector closed the association",
            Self::Frozen => "no acknowledgement, collector frozen",
            Self::Slow => "no progress, collector too slow",
            Self::Draining => "collector is draining",
            Self::Unusable => "association cannot be used",
        })
    }
}

/// Why a message on the control channel was not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieRefused {
    /// It breaks a rule, or is not signed by the pool.
    #[error(transparent)]
    Invalid(#[from] delivery::cookie::CookieError),
    /// There is no session.
    #[error("no session")]
    NoSession,
}

/// The books, since the start: `metered = covered + delivered + abandoned + dropped + waiting`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Books {
    /// Flow records taken.
    pub metered: u64,
    /// Class `reliable`: flow records a collector has on disk.
    pub covered: u64,
    /// The other classes: flow records in messages that the collector's transport has acknowledged.
    pub delivered: u64,
    /// The other classes: flow records the transport gave up, or an association took with it.
    pub abandoned: u64,
    /// Flow records that had to make room, or found none.
    pub dropped: u64,
    /// Flow records here, and those of the other classes on their way.
    pub waiting: u64,
    /// Their octets.
    pub waiting_octets: u64,
    /// Flow records in messages, repeats included.
    pub exported: u64,
    /// Flow records in messages that an earlier session had carried.
    pub resent: u64,
}

/// Everything between metered records and one collector at a time.
#[derive(Debug)]
pub struct Failover {
    config: FailoverConfig,
    incarnation: ExporterState,
    retention: Retention,
    queue: LossyQueue,
    session: Option<Session>,
    /// The latest cookie of any collector, unread.
    last_cookie: Option<Vec<u8>>,
    /// Waits to be the first message of the session.
    echo: Option<Transmit>,
    /// When the collector before was lost.
    lost_at: Option<Instant>,
    /// How long the exporter was without a collector, to be told once.
    gap: Option<Duration>,
    finishing: bool,
    tallies: Tallies,
    seed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tallies {
    metered: u64,
    exported: u64,
    delivered: u64,
    abandoned: u64,
    /// Records of class `reliable` that retention did not take.
    refused: u64,
}

impl Failover {
    /// Returns the machine without a collector. `seed` decides its jitter.
    pub fn new(config: FailoverConfig, incarnation: ExporterState, seed: u64) -> Self {
        let ExporterState { ledger, epoch } = incarnation;
        Self {
            retention: Retention::new(ledger, epoch, config.memory),
            queue: LossyQueue::new(config.memory),
            config,
            incarnation,
            session: None,
            last_cookie: None,
            echo: None,
            lost_at: None,
            gap: None,
            finishing: false,
            tallies: Tallies::default(),
            seed,
        }
    }

    /// Returns the identity of this start.
    pub const fn incarnation(&self) -> ExporterState {
        self.incarnation
    }

    /// Tells whether a batch of records can be taken without dropping any.
    pub fn has_room(&self) -> bool {
        // A batch with its book-keeping is below a sixteenth of the smallest memory, 64 KiB.
        let held = self.retention.held_octets() + self.queue.octets();
        held < self.config.memory - self.config.memory / 16
    }

    /// Takes an encoded flow record. Without room, the classes that may lose records drop their oldest ones.
    ///
    /// Fails, with class `reliable`, when there is no room or no message can carry the record; it is counted as
    /// dropped then.
    pub fn push(&mut self, template: FlowTemplate, record: &[u8]) -> Result<(), PushError> {
        let id = template.id(self.config.class.stream());
        self.tallies.metered += 1;
        if self.config.class != Class::Reliable {
            self.queue.push(id, record);
            return Ok(());
        }
        let pushed = self.retention.push(self.config.domain, id, record);
        self.tallies.refused += u64::from(pushed.is_err());
        pushed.map(drop)
    }

    /// No more records come: what is there is sent without waiting for a message to fill.
    pub fn finish(&mut self) {
        self.finishing = true;
    }

    /// Tells whether every record is where it can be: on a collector's disk, or, in the classes that may lose, known to
    /// have arrived or to be lost.
    pub fn is_done(&self) -> bool {
        let unsent = self.session.as_ref().is_some_and(Session::has_unsent);
        self.finishing && self.retention.counts().retained == 0 && self.queue.is_empty() && !unsent
    }

    /// A collector is connected: a new session begins. `acknowledges`: it sends cookies (full service).
    pub fn handle_connected(&mut self, acknowledges: bool) {
        self.end_session();
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let expectation = if acknowledges { Expectation::Cookies } else { Expectation::Unknown };
        let watch = AckWatch::new(ack_watch::Config::default(), expectation, self.seed);
        self.session = Some(Session::new(&self.config, self.retention.open_session(), watch));
        self.echo = self.last_cookie.as_deref().filter(|_| acknowledges).and_then(cookie_echo);
    }

    /// The collector is lost, or is left: what it does not have on disk goes to the next one.
    pub fn handle_lost(&mut self, now: Instant) {
        if self.session.is_some() {
            self.lost_at.get_or_insert(now);
        }
        self.end_session();
    }

    fn end_session(&mut self) {
        self.echo = None;
        if let Some(session) = self.session.take() {
            self.retention.close_session(session.id);
            self.tallies.abandoned += session.unsettled() + session.unfinished();
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
        let covered = self.retention.cover(session.id, &cookie.entries);
        session.watch.handle_cookie(now, covered.records > 0, self.retention.in_flight(session.id));
        Ok(cookie.state)
    }

    /// The transport tells what became of a message with a token.
    pub fn handle_sent(&mut self, now: Instant, token: Token, outcome: Outcome) {
        let Some(session) = self.session.as_mut() else { return };
        let Some(sent) = session.settle(now, token) else { return };
        match outcome {
            Outcome::Delivered => {
                self.tallies.delivered += sent.lossy_records;
                if let Some(mark) = sent.mark {
                    self.retention.handle_transport_acknowledged(session.id, mark, now);
                }
            }
            Outcome::Abandoned | Outcome::Unknown => self.tallies.abandoned += sent.lossy_records,
        }
    }

    /// Returns the next message for the collector; `None` until something happens or [`Failover::poll_timeout`] is over.
    /// `export_time` is the wall clock, in seconds since the Unix epoch.
    pub fn poll_transmit(&mut self, now: Instant, export_time: u32) -> Option<Transmit> {
        let session = self.session.as_mut()?;
        if let Some(echo) = self.echo.take() {
            return Some(echo);
        }
        let transmit = match self.config.class {
            Class::Reliable => session.next_reliable(now, export_time, &mut self.retention, self.finishing),
            _ => session.next_lossy(now, export_time, &mut self.queue, self.finishing),
        };
        let transmit = transmit?;
        self.tallies.exported += u64::from(transmit.records);
        if transmit.records > 0 {
            self.gap = self.lost_at.take().map(|at| now.saturating_duration_since(at)).or(self.gap);
        }
        Some(transmit.message)
    }

    /// Returns when to call [`Failover::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.session.as_ref()?.deadline()
    }

    /// Fires what is due; returns why the collector is to be left, if it is.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Sign> {
        let session = self.session.as_mut()?;
        if !session.watch.sends_cookies() {
            session.release(now, &mut self.retention, self.finishing);
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

    /// Returns the books.
    pub fn books(&self) -> Books {
        let Counts { covered, retained, retained_octets, replayed, .. } = self.retention.counts();
        let in_session =
            self.session.as_ref().map_or(0, |session| session.unsettled() + session.unfinished());
        Books {
            metered: self.tallies.metered,
            covered,
            delivered: self.tallies.delivered,
            abandoned: self.tallies.abandoned,
            dropped: self.queue.dropped() + self.tallies.refused,
            waiting: retained + self.queue.records() + in_session,
            waiting_octets: retained_octets + self.queue.octets() as u64,
            exported: self.tallies.exported,
            resent: replayed,
        }
    }
}

/// Returns the message that gives the cookie of one collector to the next.
fn cookie_echo(cookie: &[u8]) -> Option<Transmit> {
    let echo = Asap::CookieEcho(CookieEcho { cookie: cookie.to_vec(), unknown: Vec::new() });
    let (ppid, reliability) = (Ppid::ASAP, Reliability::Full);
    // What came in a message fits in one.
    echo.to_octets().ok().map(|octets| Transmit { stream: 0, ppid, reliability, token: None, octets })
}
