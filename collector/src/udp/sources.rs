//! Who sends datagrams: a transport session for each address and port (RFC 7011 sections 8.4 and 10.3).
//!
//! There is no connection: a session begins with the first message that has an IPFIX header and ends by silence. A
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

use super::recent::{self, Recent};
use crate::config;
use crate::metrics::{SessionMetrics, UdpMetrics};
use crate::output::Forms;
use crate::session::Decoder;
use crate::session::decoder::{Decoded, MAX_MALFORMED, Reception, discard};

/// How long a source stays in the penalty box.
const PENALTY: Duration = Duration::from_secs(60);
/// How often silent sources are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// Sources without a session that are remembered for malformed messages, of one socket.
const MAX_SUSPECTS: usize = 1024;

/// Octets of templates of all sources together. No source gets more while there are as many.
const MAX_TEMPLATE_OCTETS: usize = 64 << 20;

/// What there is of all sockets.
#[derive(Debug)]
pub(super) struct Totals {
    sessions: AtomicUsize,
    template_octets: AtomicUsize,
    max_template_octets: usize,
}

impl Totals {
    pub(super) const fn new() -> Self {
        Self::with_templates(MAX_TEMPLATE_OCTETS)
    }

    const fn with_templates(max_template_octets: usize) -> Self {
        let (sessions, template_octets) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { sessions, template_octets, max_template_octets }
    }
}

/// The sources of one socket.
#[derive(Debug)]
pub(super) struct Sources {
    config: config::Udp,
    forms: Forms,
    /// When the first datagram could have come: the clock of template lifetimes.
    begin: Instant,
    sources: HashMap<SocketAddr, Source>,
    /// Of these, how many have no session.
    suspects: usize,
    totals: Arc<Totals>,
    next_sweep: Instant,
    key: RandomState,
    decoded: Decoded,
    metrics: SessionMetrics,
    udp: UdpMetrics,
}

#[derive(Debug)]
struct Source {
    /// When its last datagram came.
    last: Instant,
    /// None: it has not sent a message with a good header.
    session: Option<Box<Session>>,
    /// Malformed messages in a row while there is no session, which counts for itself.
    malformed: u32,
    penalty_ends: Option<Instant>,
}

#[derive(Debug)]
struct Session {
    decoder: Decoder,
    recent: Recent,
}

/// How a source stands.
enum Standing {
    /// It has no session.
    Unknown,
    Known,
    Penalized,
}

impl Sources {
    /// Returns a table without sources.
    pub(super) fn new(
        config: config::Udp,
        forms: Forms,
        begin: Instant,
        totals: Arc<Totals>,
        metrics: SessionMetrics,
        udp: UdpMetrics,
    ) -> Self {
        Self {
            config,
            forms,
            begin,
            sources: HashMap::new(),
            suspects: 0,
            totals,
            next_sweep: begin + SWEEP,
            key: RandomState::new(),
            decoded: Decoded::default(),
            metrics,
            udp,
        }
    }

    /// Takes in a datagram; `wall_clock` is in milliseconds since the Unix epoch.
    pub(super) fn datagram(&mut self, now: Instant, wall_clock: u64, from: SocketAddr, octets: &[u8]) {
        self.metrics.udp.messages.increment(1);
        self.metrics.udp.octets.increment(octets.len() as u64);
        match self.standing(now, from) {
            Standing::Penalized => return self.udp.penalty.increment(1),
            Standing::Unknown if !self.admit(now, wall_clock, from, octets) => return,
            Standing::Unknown | Standing::Known => {}
        }
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let received = seconds(now.saturating_duration_since(self.begin));
        let lifetime = seconds(self.config.template_lifetime.0);
        let Some(session) = self.sources.get_mut(&from).and_then(|source| source.session.as_mut()) else {
            return;
        };
        let Session { decoder, recent } = &mut **session;
        let hash = recent::hash(&self.key, octets);
        if recent.has(hash, received) {
            return self.udp.duplicates.increment(1);
        }
        let before = decoder.template_octets();
        let others = &self.totals.template_octets;
        let template_room = self.totals.max_template_octets.saturating_sub(others.load(Ordering::Relaxed));
        let reception = Reception { now: wall_clock, received, lifetime, template_room };
        let outcome = decoder.datagram(&mut self.decoded, octets, reception);
        move_by(others, before, decoder.template_octets());
        match outcome {
            Ok(true) => recent.add(hash, received),
            Ok(false) => {}
            Err(reason) => {
                decoder.pardon();
                debug!(%from, %reason, "source put into the penalty box");
                self.penalize(now, from);
            }
        }
    }

    /// Octets that wait to be taken.
    pub(super) fn waiting(&self) -> usize {
        self.decoded.waiting()
    }

    /// Takes what was decoded since the last call.
    pub(super) fn take(&mut self) -> Decoded {
        self.decoded.take()
    }

    /// Returns when [`Self::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.next_sweep
    }

    /// Forgets silent sources and ends penalties.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        let idle = self.config.idle.0;
        let (mut ended, mut suspects, mut released) = (0, 0, 0);
        let totals = &self.totals;
        self.sources.retain(|_, source| {
            if source.penalty_ends.is_some_and(|ends| ends <= now) {
                source.penalty_ends = None;
                released += 1;
            }
            let limit = if source.session.is_some() { idle } else { PENALTY };
            let keep = source.penalty_ends.is_some() || now.saturating_duration_since(source.last) < limit;
            match &source.session {
                _ if keep => {}
                Some(session) => {
                    move_by(&totals.template_octets, session.decoder.template_octets(), 0);
                    ended += 1;
                }
                None => suspects += 1,
            }
            keep
        });
        self.suspects -= suspects;
        self.udp.penalized.decrement(f64::from(released));
        self.end_sessions(ended);
    }

    /// Notes that a source lives; takes it out of the penalty box when its time is over.
    fn standing(&mut self, now: Instant, from: SocketAddr) -> Standing {
        let Some(source) = self.sources.get_mut(&from) else { return Standing::Unknown };
        source.last = now;
        if let Some(ends) = source.penalty_ends {
            if now < ends {
                return Standing::Penalized;
            }
            source.penalty_ends = None;
            self.udp.penalized.decrement(1.0);
        }
        if source.session.is_some() { Standing::Known } else { Standing::Unknown }
    }

    fn penalize(&mut self, now: Instant, from: SocketAddr) {
        if let Some(source) = self.sources.get_mut(&from) {
            source.malformed = 0;
            source.penalty_ends = Some(now + PENALTY);
            self.udp.penalized.increment(1.0);
        }
    }

    /// Begins a session with a message that has a good header, if there may be another. Returns whether it did.
    fn admit(&mut self, now: Instant, wall_clock: u64, from: SocketAddr, octets: &[u8]) -> bool {
        if let Err(error) = Header::decode(octets) {
            discard(&self.metrics, &mut self.decoded, 0, octets, wall_clock, error);
            self.suspect(now, from);
            return false;
        }
        let max = self.config.max_sessions;
        let more = |count: usize| (count < max).then_some(count + 1);
        if self.totals.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.udp.too_many.increment(1);
            debug!(%from, "datagram of a new source discarded: too many sessions");
            return false;
        }
        debug!(%from, "exporter found");
        self.udp.sessions.increment(1.0);
        let session =
            Session { decoder: Decoder::udp(&self.forms, self.metrics.clone()), recent: Recent::new() };
        let source = Source { last: now, session: Some(Box::new(session)), malformed: 0, penalty_ends: None };
        if self.sources.insert(from, source).is_some() {
            self.suspects -= 1;
        }
        true
    }

    /// Notes a malformed header of a source without a session.
    fn suspect(&mut self, now: Instant, from: SocketAddr) {
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
            debug!(%from, "source put into the penalty box");
            self.penalize(now, from);
        }
    }

    fn end_sessions(&self, count: u32) {
        self.totals.sessions.fetch_sub(count as usize, Ordering::Relaxed);
        self.udp.sessions.decrement(f64::from(count));
    }
}

/// Takes over a part of a total that was `before` and is `after`.
fn move_by(total: &AtomicUsize, before: usize, after: usize) {
    if after > before {
        total.fetch_add(after - before, Ordering::Relaxed);
    } else if after < before {
        total.fetch_sub(before - after, Ordering::Relaxed);
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        let sessions: Vec<usize> = self
            .sources
            .values()
            .filter_map(|source| Some(source.session.as_ref()?.decoder.template_octets()))
            .collect();
        move_by(&self.totals.template_octets, sessions.iter().sum(), 0);
        self.end_sessions(u32::try_from(sessions.len()).unwrap_or(u32::MAX));
        let penalized = self.sources.values().filter(|source| source.penalty_ends.is_some()).count();
        self.udp.penalized.decrement(f64::from(u32::try_from(penalized).unwrap_or(u32::MAX)));
    }
}

#[cfg(test)]
mod tests;
