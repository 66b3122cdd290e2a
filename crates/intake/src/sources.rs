//! Who sends datagrams: a transport session for each address and port (RFC 7011 sections 8.4 and 10.3), and for each
//! version of NetFlow from there: templates of one never read data of another.
//!
//! There is no connection: a session begins with the first message that has a good header and ends by silence. A
//! template lives as long as it is repeated. Three malformed messages in a row put their source into the penalty box:
//! what it sends is discarded unread for a minute. Addresses can be forged, so this protects the collector and not its
//! exporters: use it on networks that check them. What was decoded is gathered from all sources of a socket.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ipfix::Header;
use tracing::debug;

use crate::netflow::{self, Version};
use crate::session::{Around, Session};
use crate::store::{Deposit, Depositor, Loaded};
use crate::{Counts, MAX_MALFORMED, Reception, Sink, Taken, recent};

/// How long a source stays in the penalty box.
const PENALTY: Duration = Duration::from_secs(60);
/// How often silent sources are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How often templates are written to disk.
const DEPOSIT: Duration = Duration::from_secs(60);
/// Sources without a session that are remembered for malformed messages, of one socket.
const MAX_SUSPECTS: usize = 1024;

/// How much is kept of sources, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a template lives that is not repeated (RFC 7011 section 8.4).
    pub template_lifetime: Duration,
    /// A source that is silent for longer is forgotten.
    pub idle: Duration,
    /// Sources with a session, of all sockets together. Datagrams of one more are discarded.
    pub max_sessions: usize,
    /// Octets of data sets of one source that wait for their template; 0: none does.
    pub hold: usize,
    /// The same of all sources together.
    pub hold_total: usize,
    /// How long they wait.
    pub hold_time: Duration,
}

/// What there is of all sockets.
#[derive(Debug, Default)]
pub struct Totals {
    sessions: AtomicUsize,
    /// Templates from before the start.
    pub loaded: Loaded,
    /// Of data sets that wait for their template.
    held: AtomicUsize,
}

impl Totals {
    /// Of no sources yet; `loaded` is for those that come back.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        Self { loaded, ..Self::default() }
    }

    /// Returns the octets of data sets that wait for their template.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// What a session needs of its socket: borrows all of `Sources` but the table.
macro_rules! around {
    ($sources:ident) => {
        Around {
            reader: &mut $sources.reader,
            sink: &mut $sources.sink,
            counts: &$sources.counts,
            held: &$sources.totals.held,
            hold: ($sources.limits.hold, $sources.limits.hold_total),
        }
    };
}

/// The sources of one socket.
pub struct Sources<S: Sink> {
    limits: Limits,
    /// When the first datagram could have come: the clock of template lifetimes.
    begin: Instant,
    sources: HashMap<Key, Source<S>>,
    /// Of all sources.
    reader: netflow::Reader,
    /// Of these, how many have no session.
    suspects: usize,
    totals: Arc<Totals>,
    next_sweep: Instant,
    store: Option<Depositor>,
    next_deposit: Instant,
    key: RandomState,
    sink: S,
    counts: Counts,
}

/// Who sends, and which version.
pub type Key = (SocketAddr, Version);

struct Source<S: Sink> {
    /// When its last datagram came.
    last: Instant,
    /// None: it has not sent a message with a good header.
    session: Option<Box<Session<S>>>,
    /// Malformed messages in a row while there is no session, which counts for itself.
    malformed: u32,
    penalty_ends: Option<Instant>,
}

/// How a source stands.
enum Standing {
    /// It has no session.
    Unknown,
    Known,
    Penalized,
}

impl<S: Sink> Sources<S> {
    /// Returns a table without sources. `begin` is no later than the first datagram.
    pub fn new(limits: Limits, begin: Instant, totals: Arc<Totals>, counts: Counts, sink: S) -> Self {
        Self {
            limits,
            begin,
            sources: HashMap::new(),
            reader: netflow::Reader::new(),
            suspects: 0,
            totals,
            next_sweep: begin + SWEEP,
            store: None,
            next_deposit: begin + DEPOSIT,
            key: RandomState::new(),
            sink,
            counts,
        }
    }

    /// Takes in a datagram; `wall_clock` is in milliseconds since the Unix epoch.
    pub fn datagram(&mut self, now: Instant, wall_clock: u64, from: SocketAddr, octets: &[u8]) {
        let version = Version::of(octets);
        self.counts.datagram(version, octets);
        let from = (from, version);
        let mut kept = Vec::new();
        match self.standing(now, from) {
            Standing::Penalized => return self.counts.penalty.increment(1),
            Standing::Unknown if !self.admit(now, wall_clock, from, octets) => return,
            Standing::Unknown => kept = self.totals.loaded.take(from),
            Standing::Known => {}
        }
        let received = self.received(now);
        let lifetime = seconds(self.limits.template_lifetime);
        let Some(session) = self.sources.get_mut(&from).and_then(|source| source.session.as_mut()) else {
            return;
        };
        let hash = recent::hash(&self.key, octets);
        if session.recent.has(hash, received) {
            return self.counts.duplicates.increment(1);
        }
        let reception = Reception { now: wall_clock, received, lifetime, again: false };
        let mut around = around!(self);
        session.restore(&mut around, kept, reception);
        let taken = session.take(&mut around, octets, reception);
        match taken {
            Taken::Well => session.recent.add(hash, received),
            Taken::Malformed => {}
            Taken::Hopeless => {
                session.pardon();
                debug!(from = %from.0, "source put into the penalty box");
                self.penalize(now, from);
            }
        }
    }

    /// Returns where what was decoded is.
    pub const fn sink(&self) -> &S {
        &self.sink
    }

    /// Returns where what was decoded is, to take it.
    pub const fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Returns how many sources are remembered, with a session or without one.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Tells whether no source is remembered.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Returns when [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Instant {
        self.next_sweep
    }

    /// From now on templates are written to disk.
    pub fn keep_templates(&mut self, store: Depositor) {
        self.store = Some(store);
    }

    /// Seconds of the clock of receptions: templates from before the start have times, too.
    fn received(&self, now: Instant) -> u32 {
        let since_begin = now.saturating_duration_since(self.begin);
        seconds(since_begin.saturating_add(self.limits.template_lifetime))
    }

    /// Has the templates written to disk.
    fn deposit(&mut self, now: Instant, wall_clock: u64) {
        let (received, lifetime) = (self.received(now), seconds(self.limits.template_lifetime));
        let Some(store) = &self.store else { return };
        let now = wall_clock / 1000;
        let sources = self.sources.iter_mut().filter_map(|(key, source)| {
            let kept = source.session.as_mut()?.keep(received, lifetime, now);
            (!kept.is_empty()).then_some((*key, kept))
        });
        let (socket, since) = (store.socket, now.saturating_sub(lifetime.into()));
        // Without a writer there is nobody to tell.
        let _ = store.to.send(Deposit { socket, sources: sources.collect(), since });
    }

    /// The end: gives up all that was held back, and has the templates written to disk.
    pub fn close(&mut self, now: Instant, wall_clock: u64) {
        self.deposit(now, wall_clock);
        let mut around = around!(self);
        for session in self.sources.values_mut().filter_map(|source| source.session.as_mut()) {
            session.expire(&mut around, u32::MAX, wall_clock);
        }
    }

    /// Forgets silent sources, gives up what was held back too long, and ends penalties.
    pub fn handle_timeout(&mut self, now: Instant, wall_clock: u64) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        if now >= self.next_deposit {
            self.next_deposit = now + DEPOSIT;
            self.deposit(now, wall_clock);
        }
        let idle = self.limits.idle;
        let (mut ended, mut suspects, mut released) = (0, 0, 0);
        let received = self.received(now);
        let held_since = received.saturating_sub(seconds(self.limits.hold_time));
        let seen_since = received.saturating_sub(seconds(self.limits.template_lifetime));
        let mut around = around!(self);
        self.sources.retain(|_, source| {
            if source.penalty_ends.is_some_and(|ends| ends <= now) {
                source.penalty_ends = None;
                released += 1;
            }
            let limit = if source.session.is_some() { idle } else { PENALTY };
            let keep = source.penalty_ends.is_some() || now.saturating_duration_since(source.last) < limit;
            match &mut source.session {
                Some(session) if keep => {
                    session.forget_templates(seen_since);
                    session.expire(&mut around, held_since, wall_clock);
                }
                None if keep => {}
                Some(session) => {
                    session.expire(&mut around, u32::MAX, wall_clock);
                    ended += 1;
                }
                None => suspects += 1,
            }
            keep
        });
        self.suspects -= suspects;
        self.counts.penalized.decrement(f64::from(released));
        self.end_sessions(ended);
    }

    /// Notes that a source lives; takes it out of the penalty box when its time is over.
    fn standing(&mut self, now: Instant, from: Key) -> Standing {
        let Some(source) = self.sources.get_mut(&from) else { return Standing::Unknown };
        source.last = now;
        if let Some(ends) = source.penalty_ends {
            if now < ends {
                return Standing::Penalized;
            }
            source.penalty_ends = None;
            self.counts.penalized.decrement(1.0);
        }
        if source.session.is_some() { Standing::Known } else { Standing::Unknown }
    }

    fn penalize(&mut self, now: Instant, from: Key) {
        if let Some(source) = self.sources.get_mut(&from) {
            source.malformed = 0;
            source.penalty_ends = Some(now + PENALTY);
            self.counts.penalized.increment(1.0);
        }
    }

    /// Begins a session with a message that has a good header, if there may be another. Returns whether it did.
    fn admit(&mut self, now: Instant, wall_clock: u64, from: Key, octets: &[u8]) -> bool {
        let good = if from.1 == Version::Ipfix {
            Header::decode(octets).map(drop).map_err(|error| error.to_string())
        } else {
            self.reader.check(octets).map_err(|error| error.to_string())
        };
        if let Err(error) = good {
            self.sink.malformed(octets, wall_clock, &error);
            self.suspect(now, from);
            return false;
        }
        let max = self.limits.max_sessions;
        let more = |count: usize| (count < max).then_some(count + 1);
        if self.totals.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.counts.too_many.increment(1);
            debug!(from = %from.0, "datagram of a new source discarded: too many sessions");
            return false;
        }
        debug!(from = %from.0, version = ?from.1, "exporter found");
        self.counts.sessions.increment(1.0);
        let session = Session::new(self.sink.decoder(from.0), from.1);
        let source = Source { last: now, session: Some(Box::new(session)), malformed: 0, penalty_ends: None };
        if self.sources.insert(from, source).is_some() {
            self.suspects -= 1;
        }
        true
    }

    /// Notes a malformed header of a source without a session.
    fn suspect(&mut self, now: Instant, from: Key) {
        let source = match self.sources.entry(from) {
            Entry::Occupied(entry) => entry.into_mut(),
            // More are discarded as well, only not remembered.
            Entry::Vacant(_) if self.suspects >= MAX_SUSPECTS => return,
            Entry::Vacant(entry) => {
                self.suspects += 1;
                entry.insert(Source { last: now, session: None, malformed: 0, penalty_ends: None })
            }
        };
        source.malformed += 1;
        if source.malformed >= MAX_MALFORMED {
            debug!(from = %from.0, "source put into the penalty box");
            self.penalize(now, from);
        }
    }

    fn end_sessions(&self, count: u32) {
        self.totals.sessions.fetch_sub(count as usize, Ordering::Relaxed);
        self.counts.sessions.decrement(f64::from(count));
    }
}

/// Returns whole seconds.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

impl<S: Sink> Drop for Sources<S> {
    fn drop(&mut self) {
        let sessions = self.sources.values().filter(|source| source.session.is_some()).count();
        self.end_sessions(u32::try_from(sessions).unwrap_or(u32::MAX));
        let penalized = self.sources.values().filter(|source| source.penalty_ends.is_some()).count();
        self.counts.penalized.decrement(f64::from(u32::try_from(penalized).unwrap_or(u32::MAX)));
    }
}
