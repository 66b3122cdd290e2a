//! Many exporters and a few collectors, whose disks stall all at once: shared storage.
//!
//! The exporters are as in the rest of the simulation. The collectors only receive, sync and acknowledge.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use delivery::cookie::State;
use delivery::{KeyRing, Numberings, SessionAcks};
use exporter::failover::{ChoiceConfig, Role};
use rserpool_proto::PeId;
use rserpool_proto::wire::{Load, Policy};
use simnet::{Agenda, Random};
use transport::{Ppid, Token};

use crate::exporter::{Do, Exporter, Link, SERIES, Settings};
use crate::message::{Item, Reader, identity};
use crate::pool::Pool;

/// From one record of an exporter to the next one.
const METERING: Duration = Duration::from_secs(5);
/// From one sync of a collector to the next one, and from one look of the registrar at loads.
const SYNC: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_millis(5);
/// The stall.
const FROM: Duration = Duration::from_secs(60);
const UNTIL: Duration = Duration::from_secs(180);
/// Metering ends.
const END: Duration = Duration::from_secs(400);
/// Everything is covered.
const PATIENCE: Duration = Duration::from_secs(420);
/// Seconds since the Unix epoch.
const EXPORT_TIME: u32 = 1_800_000_000;
/// What each exporter keeps.
const MEMORY: usize = 1 << 16;

pub(crate) struct Options {
    pub(crate) exporters: usize,
    pub(crate) collectors: usize,
    /// Collectors that cannot write say so.
    pub(crate) tells: bool,
    /// The policy is Least Used; else Round Robin.
    pub(crate) loads: bool,
}

/// Changes of collector.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// During the stall, of all exporters together.
    pub(crate) stalled_moves: usize,
    /// During the stall, of the exporter with most.
    pub(crate) most_moves: usize,
    /// After it, of all.
    pub(crate) later_moves: usize,
    /// Exporters of the collector that has most in the end.
    pub(crate) fullest: usize,
    pub(crate) resent: u64,
    pub(crate) records: u64,
}

enum Event {
    Meter(usize),
    Wake(usize),
    Sync(usize),
    Look,
    Connected(usize, Link),
    Message { to: Name, stream: u16, ppid: Ppid, octets: Vec<u8>, token: Option<Token> },
    CookieDue(Name),
    Cookie(Name, Vec<u8>),
    Sent(Name, Token),
    Closed(Name),
}

/// A session: the exporter and its association.
type Name = (usize, Link);

struct Session {
    collector: usize,
    reader: Reader,
    numberings: Numberings,
    acks: SessionAcks,
    ticket: u64,
}

struct Crowd {
    options: Options,
    start: Instant,
    now: Instant,
    random: Random,
    agenda: Agenda<Event>,
    exporters: Vec<Exporter>,
    /// When an exporter is woken next.
    wakes: Vec<Option<Instant>>,
    sessions: BTreeMap<Name, Session>,
    keys: KeyRing,
}

/// Returns how often exporters changed their collectors.
pub(crate) fn run(options: Options) -> Outcome {
    let start = simnet::start();
    let listed = options.listed(&vec![0; options.collectors]);
    let choice = ChoiceConfig { standby: true, rebalance: true };
    let exporter = |at: usize| {
        let seed = at as u64 + 1;
        let settings = Settings { choice, acknowledges: true, memory: MEMORY, seed };
        Exporter::new(settings, Pool::new(start, seed, at, listed.clone()), None)
    };
    let mut crowd = Crowd {
        start,
        now: start,
        random: Random::new(1),
        agenda: Agenda::new(),
        exporters: (0..options.exporters).map(exporter).collect(),
        wakes: vec![None; options.exporters],
        sessions: BTreeMap::new(),
        keys: KeyRing::parse(crate::KEY).unwrap(),
        options,
    };
    crowd.begin();
    let at_stall = crowd.run_until(FROM);
    let at_end = crowd.run_until(UNTIL);
    let last = crowd.run_until(PATIENCE);
    let in_use = |collector: usize| {
        let of = crowd.sessions.iter().filter(|(_, session)| session.collector == collector);
        of.filter(|((exporter, link), _)| crowd.exporters[*exporter].role(*link) == Some(Role::Active))
            .count()
    };
    let fullest = (0..crowd.options.collectors).map(in_use).max().unwrap_or(0);
    let mut outcome = Outcome { fullest, ..Outcome::default() };
    for (at, exporter) in crowd.exporters.iter().enumerate() {
        let books = exporter.failover.books();
        assert_eq!((books.covered, books.waiting), (books.metered, 0), "{books:?}");
        let stalled = at_end[at] - at_stall[at];
        outcome.stalled_moves += stalled;
        outcome.most_moves = outcome.most_moves.max(stalled);
        outcome.later_moves += last[at] - at_end[at];
        outcome.resent += books.resent;
        outcome.records += books.metered;
    }
    outcome
}

impl Options {
    fn listed(&self, loads: &[u64]) -> Vec<(PeId, Policy)> {
        let policy = |per_cent| match self.loads {
            true => Policy::LeastUsed { load: Load::of(per_cent, 100) },
            false => Policy::RoundRobin,
        };
        (0..).map(PeId).zip(loads.iter().map(|&load| policy(load))).collect()
    }
}

impl Crowd {
    fn begin(&mut self) {
        for exporter in 0..self.options.exporters {
            let at = self.start + self.random.between(Duration::ZERO, METERING);
            self.agenda.add(at, Event::Meter(exporter));
        }
        for collector in 0..self.options.collectors {
            let at = self.start + self.random.between(Duration::ZERO, SYNC);
            self.agenda.add(at, Event::Sync(collector));
        }
        self.agenda.add(self.start + SYNC, Event::Look);
    }

    /// Returns how often each exporter has changed its collector by then.
    fn run_until(&mut self, time: Duration) -> Vec<usize> {
        while self.agenda.next_at().is_some_and(|at| at < self.start + time) {
            let (at, event) = self.agenda.take().expect("there is a next one");
            self.now = at;
            self.handle(event);
        }
        self.exporters.iter().map(|exporter| exporter.moves.len()).collect()
    }

    fn is_stalled(&self) -> bool {
        (FROM..UNTIL).contains(&(self.now - self.start))
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Meter(exporter) => {
                if now < self.start + END {
                    self.exporters[exporter].meter(false);
                    self.agenda.add(now + METERING, Event::Meter(exporter));
                } else {
                    self.exporters[exporter].failover.finish();
                }
                self.drive(exporter);
            }
            Event::Wake(exporter) => {
                self.wakes[exporter].take_if(|at| *at <= now);
                if self.exporters[exporter].poll_timeout().is_some_and(|due| due <= now) {
                    self.exporters[exporter].handle_timeout(now);
                }
                self.drive(exporter);
            }
            Event::Sync(collector) => self.sync(collector),
            Event::Look => self.look(),
            Event::Connected(exporter, link) => {
                self.exporters[exporter].connected(now, link, true);
                self.drive(exporter);
            }
            Event::Message { to, stream, ppid, octets, token } => {
                if ppid == Ppid::IPFIX {
                    self.message(to, stream, &octets);
                }
                if let Some(token) = token {
                    self.agenda.add(now + DELAY, Event::Sent(to, token));
                }
            }
            Event::CookieDue(name) => self.send_cookie(name),
            Event::Cookie((exporter, link), octets) => {
                self.exporters[exporter].cookie(now, link, &octets);
                self.drive(exporter);
            }
            Event::Sent((exporter, link), token) => {
                self.exporters[exporter].sent(now, link, token, transport::Outcome::Delivered);
                self.drive(exporter);
            }
            Event::Closed(name) => {
                self.sessions.remove(&name);
            }
        }
    }

    fn drive(&mut self, exporter: usize) {
        let seconds = u32::try_from((self.now - self.start).as_secs()).unwrap();
        for done in self.exporters[exporter].drive(self.now, EXPORT_TIME + seconds) {
            match done {
                Do::Connect { link, pe } => {
                    let collector = pe.0 as usize;
                    self.sessions.insert((exporter, link), Session::new(collector));
                    self.agenda.add(self.now + 4 * DELAY, Event::Connected(exporter, link));
                }
                Do::Send { link, message, .. } => {
                    let (to, stream, ppid) = ((exporter, link), message.stream, message.ppid);
                    let (octets, token) = (message.octets, message.token);
                    self.agenda.add(self.now + DELAY, Event::Message { to, stream, ppid, octets, token });
                }
                Do::Close { link, .. } => self.agenda.add(self.now + DELAY, Event::Closed((exporter, link))),
                Do::Spool(_) | Do::Note(_) => {}
            }
        }
        let due = self.exporters[exporter].poll_timeout();
        if let Some(due) = due.filter(|due| self.wakes[exporter].is_none_or(|planned| *due < planned)) {
            self.wakes[exporter] = Some(due);
            self.agenda.add(due.max(self.now), Event::Wake(exporter));
        }
    }

    fn message(&mut self, name: Name, stream: u16, octets: &[u8]) {
        let Some(session) = self.sessions.get_mut(&name) else { return };
        let mut numbers = Vec::new();
        session.numberings.select(stream, SERIES.domain);
        for item in session.reader.read(stream, octets) {
            match item {
                Item::Session { sequence, record } => {
                    session.numberings.session_record(sequence, &record).unwrap();
                    session.acks.ask(self.now);
                }
                Item::Flow { sequence, name } => {
                    let numbered =
                        session.numberings.record(sequence).expect("a flow record has an identity");
                    assert_eq!(
                        numbered.series.identity(numbered.number),
                        identity(name),
                        "numbered as the exporter did"
                    );
                    numbers.push((SERIES, numbered.number..numbered.number + 1));
                }
                Item::Lossy | Item::Other => {}
            }
        }
        if !numbers.is_empty() {
            session.ticket = session.acks.wait_for(numbers, true, false).batch;
        }
        self.plan_cookie(name);
    }

    /// What has arrived is on disk, unless that is stalled.
    fn sync(&mut self, collector: usize) {
        self.agenda.add(self.now + SYNC, Event::Sync(collector));
        let stalled = self.is_stalled();
        let state = if stalled && self.options.tells { State::Slow } else { State::Ok };
        let of = |(_, session): &(&Name, &mut Session)| session.collector == collector;
        let mut names = Vec::new();
        for (&name, session) in self.sessions.iter_mut().filter(of) {
            if !stalled {
                session.acks.collect(Some(session.ticket), 0);
            }
            session.acks.set_state(state);
            names.push(name);
        }
        names.into_iter().for_each(|name| self.plan_cookie(name));
    }

    fn plan_cookie(&mut self, name: Name) {
        let due = self.sessions.get(&name).and_then(|session| session.acks.poll_timeout());
        if let Some(due) = due {
            self.agenda.add(due.max(self.now), Event::CookieDue(name));
        }
    }

    fn send_cookie(&mut self, name: Name) {
        let Some(session) = self.sessions.get_mut(&name) else { return };
        let Some(cookie) = session.acks.cookie(self.now, 1) else { return };
        self.agenda.add(self.now + DELAY, Event::Cookie(name, cookie.encode(&self.keys)));
        self.plan_cookie(name);
    }

    /// The registrar hears of loads: how many exporters a collector has, or that it cannot write.
    fn look(&mut self) {
        self.agenda.add(self.now + SYNC, Event::Look);
        let mut sessions = vec![0; self.options.collectors];
        self.sessions
            .values()
            .filter(|session| session.ticket > 0)
            .for_each(|of| sessions[of.collector] += 1);
        let stalled = self.is_stalled();
        let load =
            |&sessions: &u64| if stalled { 100 } else { 100 * sessions / self.options.exporters as u64 };
        let listed = self.options.listed(&sessions.iter().map(load).collect::<Vec<_>>());
        for exporter in &mut self.exporters {
            exporter.pool.list(self.now, listed.clone());
        }
    }
}

impl Session {
    fn new(collector: usize) -> Self {
        let (reader, numberings, acks) = (Reader::new(), Numberings::new(), SessionAcks::new());
        Self { collector, reader, numberings, acks, ticket: 0 }
    }
}
