//! One exporter, a pool of collectors, associations over links, and what goes wrong.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use delivery::KeyRing;
use delivery::cookie::State;
use exporter::failover::{ChoiceConfig, Sign, Transmit};
use rserpool_proto::PeId;
use rserpool_proto::wire::{Load, Policy};
use simnet::{Agenda, Ladder, Link, Random};
use transport::{Ppid, Token};

use crate::collector::{Collector, Letter, Sync};
use crate::exporter::{Do, Exporter, SERIES};
use crate::message::Item;
use crate::milliseconds;
use crate::pool::Pool;
use crate::scenario::{Fault, Options, Outcome};
use crate::trace::{describe, name};

/// Silence after which a transport gives up.
pub(crate) const TRANSPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// When everything must have been covered, after metering and the last fault have ended: all collectors may be in
/// quarantine for their failures.
const PATIENCE: Duration = Duration::from_secs(1_500);
/// A registrar misses a collector that is silent so long.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_millis(3_500);
/// A collector that was not heard for so long is quiet.
const QUIET: Duration = Duration::from_millis(400);
/// Seconds since the Unix epoch, at the start.
const EXPORT_TIME: i64 = 1_800_000_000;

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Fault(Fault),
    Restart {
        collector: usize,
    },
    Thaw {
        node: usize,
    },
    Tick,
    /// The registrar looks who is there.
    List,
    RegistrarUp,
    Connected {
        association: u64,
    },
    ConnectFailed {
        association: u64,
    },
    LostAtExporter {
        association: u64,
        sign: Sign,
    },
    LostAtCollector {
        association: u64,
    },
    PathCheck {
        association: u64,
    },
    Message {
        association: u64,
        message: Transmit,
        items: Vec<Item>,
        spoiled: bool,
    },
    Sent {
        association: u64,
        token: Token,
        outcome: transport::Outcome,
    },
    Cookie {
        association: u64,
        octets: Vec<u8>,
    },
    DrainCheck {
        collector: usize,
        incarnation: u64,
        until: Instant,
        restart_after: Duration,
    },
    LetterWritten {
        collector: usize,
        incarnation: u64,
        letter: Letter,
    },
    SyncStart {
        collector: usize,
        incarnation: u64,
    },
    DataSynced {
        collector: usize,
        incarnation: u64,
        sync: Sync,
    },
    SidecarSynced {
        collector: usize,
        incarnation: u64,
        sync: Sync,
    },
}

pub(crate) struct Association {
    pub(crate) collector: usize,
    incarnation: Option<u64>,
    pub(crate) to_collector: Link,
    pub(crate) to_exporter: Link,
    pub(crate) collector_up: bool,
}

/// A process can be stopped; what arrives meanwhile waits.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) frozen: Option<Instant>,
    pub(crate) inbox: VecDeque<Event>,
}

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) random: Random,
    keys: KeyRing,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) agenda: Agenda<Event>,
    pub(crate) exporter: Exporter,
    pub(crate) collectors: Vec<Collector>,
    /// The exporter is node 0, collector `i` is node `i + 1`.
    pub(crate) nodes: Vec<Node>,
    pub(crate) associations: Vec<Association>,
    pub(crate) links: Vec<Link>,
    pub(crate) cut_until: Vec<Instant>,
    pub(crate) stalled_until: Vec<Instant>,
    letters_until: Vec<Instant>,
    /// Per cent.
    loads: Vec<u64>,
    /// When the last fault ends.
    quiet_at: Instant,
    pub(crate) wall_offset: i64,
    pub(crate) outcome: Outcome,
    pub(crate) ladder: Option<Ladder>,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let start = simnet::start();
        let size = options.collectors;
        let listed = (0..size).map(|collector| (element(collector), options.policy(0))).collect();
        let pool = Pool::new(start, options.seed, 0, listed);
        let choice = ChoiceConfig { standby: options.standby, rebalance: true };
        let mut world = Self {
            random: Random::new(options.seed),
            keys: KeyRing::parse(crate::KEY).unwrap(),
            start,
            now: start,
            agenda: Agenda::new(),
            exporter: Exporter::new(choice, !options.foreign, options.limit, options.seed, pool),
            collectors: (0..size).map(|_| Collector::default()).collect(),
            nodes: (0..=size).map(|_| Node::default()).collect(),
            associations: Vec::new(),
            links: vec![options.link.clone(); size],
            cut_until: vec![start; size],
            stalled_until: vec![start; size],
            letters_until: vec![start; size],
            loads: vec![0; size],
            quiet_at: start,
            wall_offset: 0,
            outcome: Outcome::default(),
            ladder: options.ladder.then(|| Ladder::new(start)),
            options,
        };
        (0..size).for_each(|collector| world.start_collector(collector));
        world.agenda.add(start, Event::Tick);
        world
    }

    pub(crate) fn plan(&mut self, at: Duration, fault: Fault) {
        self.quiet_at = self.quiet_at.max(self.start + at + fault.time());
        self.agenda.add(self.start + at, Event::Fault(fault));
    }

    pub(crate) fn run(self) -> Outcome {
        self.run_with_ladder().0
    }

    pub(crate) fn run_with_ladder(mut self) -> (Outcome, String) {
        let ends = self.quiet_at.max(self.start + self.options.metering) + milliseconds(1_000);
        while self.now < ends || !self.exporter.failover.is_done() {
            let books = self.exporter.failover.books();
            assert!(self.now < ends + PATIENCE, "not done: {books:?} {:?}", self.exporter.choice);
            self.step();
        }
        self.check();
        let ladder = self.ladder.take().map_or_else(String::new, |ladder| ladder.text().to_owned());
        (self.outcome, ladder)
    }

    fn step(&mut self) {
        let timers = self.timers().min();
        let planned = self.agenda.next_at();
        if let Some(due) = timers.filter(|&due| planned.is_none_or(|planned| due < planned)) {
            self.now = self.now.max(due);
            return self.handle_timeouts();
        }
        let (at, event) = self.agenda.take().expect("something happens until everything is covered");
        self.now = at;
        match event.node(&self.associations).map(|node| &mut self.nodes[node]) {
            Some(node) if node.frozen.is_some() => node.inbox.push_back(event),
            _ => self.handle(event),
        }
        self.drive();
    }

    fn timers(&self) -> impl Iterator<Item = Instant> + '_ {
        let exporter = std::iter::once(self.exporter.poll_timeout());
        let collectors = self.collectors.iter().map(Collector::poll_timeout);
        exporter
            .chain(collectors)
            .zip(&self.nodes)
            .filter(|(_, node)| node.frozen.is_none())
            .filter_map(|(due, _)| due)
    }

    fn handle_timeouts(&mut self) {
        if self.nodes[0].frozen.is_none() && self.exporter.poll_timeout().is_some_and(|due| due <= self.now) {
            let Self { links, nodes, associations, now, .. } = self;
            self.exporter.look(*now, |association| {
                let collector = associations[index(association)].collector;
                let frozen = nodes[collector + 1].frozen;
                frozen.is_some_and(|since| since + QUIET <= *now) || links[collector].is_cut(*now)
            });
            self.exporter.handle_timeout(self.now);
        }
        for collector in 0..self.collectors.len() {
            if self.nodes[collector + 1].frozen.is_none() {
                self.send_cookies(collector);
            }
        }
        self.drive();
    }

    pub(crate) fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Fault(fault) => self.break_something(fault),
            Event::Restart { collector } => self.start_collector(collector),
            Event::Thaw { node } => self.thaw(node),
            Event::Tick => self.tick(),
            Event::List => self.list(),
            Event::RegistrarUp => self.exporter.pool.set_registrar(now, true),
            Event::Connected { association } => self.connected(association),
            Event::ConnectFailed { association } => self.exporter.connected(now, association, false),
            Event::LostAtExporter { association, sign } => self.exporter.lost(now, association, sign),
            Event::LostAtCollector { association } => self.lost_at_collector(association),
            Event::PathCheck { association } => self.check_path(association),
            Event::Message { association, message, items, spoiled } => {
                self.message(association, &message, &items, spoiled);
            }
            Event::Sent { association, token, outcome } => {
                self.exporter.sent(now, association, token, outcome);
            }
            Event::Cookie { association, octets } => {
                if self.exporter.role(association).is_some() {
                    let told = self.exporter.cookie(now, association, &octets);
                    let collector = self.associations[index(association)].collector;
                    self.trace(&name(collector), "exporter", &told);
                }
            }
            Event::DrainCheck { collector, incarnation, until, restart_after } => {
                if self.is(collector, incarnation) {
                    self.check_drain(collector, incarnation, until, restart_after);
                }
            }
            Event::LetterWritten { collector, incarnation, letter } => {
                if self.is(collector, incarnation) {
                    self.collectors[collector].letter_written(&letter);
                }
            }
            Event::SyncStart { collector, incarnation } => self.start_sync(collector, incarnation),
            Event::DataSynced { collector, incarnation, sync } => {
                if self.is(collector, incarnation) {
                    self.collectors[collector].data_synced(sync);
                    let took = self.random.between(milliseconds(1), milliseconds(20));
                    self.agenda.add(now + took, Event::SidecarSynced { collector, incarnation, sync });
                }
            }
            Event::SidecarSynced { collector, incarnation, sync } => {
                if self.is(collector, incarnation) {
                    self.collectors[collector].sidecar_synced(sync);
                    self.collectors[collector].set_state(State::Ok);
                    self.note(collector, format!("durable: {} more", sync.records));
                    let next = now + self.options.sync_interval;
                    self.agenda.add(next, Event::SyncStart { collector, incarnation });
                }
            }
        }
    }

    fn is(&self, collector: usize, incarnation: u64) -> bool {
        self.collectors[collector].incarnation() == Some(incarnation)
    }

    fn start_collector(&mut self, collector: usize) {
        let incarnation = self.random.bits();
        self.collectors[collector].start(incarnation);
        self.note(
            collector,
            format!("starts with {} records", self.collectors[collector].disk.records().len()),
        );
        self.agenda.add(self.now + self.options.sync_interval, Event::SyncStart { collector, incarnation });
        self.list_soon();
    }

    fn start_sync(&mut self, collector: usize, incarnation: u64) {
        if !self.is(collector, incarnation) {
            return;
        }
        match self.collectors[collector].begin_sync() {
            Some(sync) => {
                let took = self.random.between(milliseconds(1), milliseconds(60));
                let done = self.stalled_until[collector].max(self.now) + took;
                if done > self.now + milliseconds(1_000) {
                    self.collectors[collector].set_state(State::Slow);
                }
                self.agenda.add(done, Event::DataSynced { collector, incarnation, sync });
            }
            None => {
                let next = self.now + self.options.sync_interval;
                self.agenda.add(next, Event::SyncStart { collector, incarnation });
            }
        }
    }

    fn tick(&mut self) {
        if self.now >= self.start + self.options.metering {
            return self.exporter.failover.finish();
        }
        for _ in 0..self.options.burst {
            if self.options.drops || self.exporter.failover.has_room() {
                let lossy = self.random.chance(self.options.lossy);
                self.exporter.meter(lossy);
            }
        }
        if self.options.loads && self.random.chance(1) {
            let collector = usize::try_from(self.random.below(self.loads.len() as u64)).unwrap();
            self.loads[collector] = self.random.below(100);
            self.list();
        }
        self.agenda.add(self.now + self.options.tick, Event::Tick);
    }

    /// The registrar learns what has changed.
    pub(crate) fn list_soon(&mut self) {
        let soon = self.random.between(milliseconds(20), milliseconds(300));
        self.agenda.add(self.now + soon, Event::List);
    }

    fn list(&mut self) {
        let is_there = |&collector: &usize| {
            let of = &self.collectors[collector];
            let frozen = self.nodes[collector + 1].frozen;
            let silent = frozen.is_some_and(|since| since + KEEP_ALIVE <= self.now);
            of.incarnation().is_some() && !of.is_draining() && !silent
        };
        let there = (0..self.collectors.len()).filter(is_there);
        let listed = there.map(|at| (element(at), self.options.policy(self.loads[at]))).collect();
        self.exporter.pool.list(self.now, listed);
    }

    /// Lets the exporter do what is to be done.
    pub(crate) fn drive(&mut self) {
        if self.nodes[0].frozen.is_some() {
            return;
        }
        let seconds = i64::try_from((self.now - self.start).as_secs()).unwrap();
        let export_time = u32::try_from(EXPORT_TIME + seconds + self.wall_offset).unwrap();
        for done in self.exporter.drive(self.now, export_time) {
            match done {
                Do::Connect { link, pe } => self.connect(link, pe),
                Do::Send { link, message, items } => self.send(link, message, items),
                Do::Close { link, in_order } => {
                    let association = link;
                    let at = if in_order {
                        self.associations[index(link)].to_collector.ordered(self.now, &mut self.random)
                    } else {
                        self.now + self.options.link.delay
                    };
                    self.agenda.add(at, Event::LostAtCollector { association });
                }
                Do::Note(text) => {
                    if let Some(ladder) = &mut self.ladder {
                        ladder.event(self.now, "exporter", text);
                    }
                }
            }
        }
    }

    fn connect(&mut self, association: u64, pe: PeId) {
        let collector = pe.0 as usize;
        let link = self.links[collector].clone();
        let incarnation = self.collectors[collector].incarnation();
        let is_cut = link.is_cut(self.now);
        assert_eq!(association, self.associations.len() as u64);
        self.associations.push(Association {
            collector,
            incarnation,
            to_collector: link.clone(),
            to_exporter: link.clone(),
            collector_up: true,
        });
        let frozen = self.nodes[collector + 1].frozen.is_some();
        let (after, event) = if is_cut || frozen {
            (TRANSPORT_TIMEOUT, Event::ConnectFailed { association })
        } else if incarnation.is_none() || self.collectors[collector].is_draining() {
            (2 * link.delay, Event::ConnectFailed { association })
        } else {
            (4 * link.delay, Event::Connected { association })
        };
        self.agenda.add(self.now + after, event);
    }

    fn connected(&mut self, association: u64) {
        let Association { collector, incarnation, .. } = self.associations[index(association)];
        self.trace("exporter", &name(collector), "connected");
        self.exporter.connected(self.now, association, true);
        if self.collectors[collector].incarnation() != incarnation {
            let sign = Sign::Lost;
            self.agenda.add(self.now, Event::LostAtExporter { association, sign });
        }
    }

    fn send(&mut self, association: u64, message: Transmit, items: Vec<Item>) {
        let Association { collector, to_collector, .. } = &mut self.associations[index(association)];
        let arrival = to_collector.ordered(self.now, &mut self.random);
        let collector = *collector;
        let flows = items.iter().filter(|item| matches!(item, Item::Flow { .. })).count();
        let spoiled = flows > 0 && flows == items.len() && self.random.below(1_000) < self.options.spoiled;
        if message.ppid == Ppid::IPFIX {
            self.trace("exporter", &name(collector), &describe(message.stream, &items));
        }
        if message.reliability != transport::Reliability::Full && self.random.chance(10) {
            let token = message.token.expect("its fate is of interest");
            let outcome = transport::Outcome::Abandoned;
            return self.agenda.add(arrival + milliseconds(500), Event::Sent { association, token, outcome });
        }
        self.agenda.add(arrival, Event::Message { association, message, items, spoiled });
    }

    fn message(&mut self, association: u64, message: &Transmit, items: &[Item], spoiled: bool) {
        let Association { collector, incarnation, collector_up, .. } = self.associations[index(association)];
        let Some(incarnation) = incarnation.filter(|&it| collector_up && self.is(collector, it)) else {
            return;
        };
        if message.ppid == Ppid::IPFIX {
            let identities = || {
                let flows = items.iter().filter_map(|item| match item {
                    Item::Flow { name, .. } => Some(SERIES.identity(*name)),
                    _ => None,
                });
                flows.collect()
            };
            let (now, octets) = (self.now, (message.stream, &message.octets[..]));
            let letter =
                self.collectors[collector].handle_message(now, association, octets, spoiled.then(identities));
            if let Some(letter) = letter {
                self.outcome.spoiled += 1;
                // One thread writes them, in order.
                let written = self.letters_until[collector].max(now) + milliseconds(30);
                self.letters_until[collector] = written;
                self.agenda.add(written, Event::LetterWritten { collector, incarnation, letter });
            }
        }
        if let Some(token) = message.token {
            let arrival =
                self.associations[index(association)].to_exporter.ordered(self.now, &mut self.random);
            let outcome = transport::Outcome::Delivered;
            self.agenda.add(arrival, Event::Sent { association, token, outcome });
        }
    }

    fn send_cookies(&mut self, collector: usize) {
        for (association, octets) in self.collectors[collector].cookies(self.now, &self.keys) {
            if self.options.foreign {
                continue;
            }
            let arrival =
                self.associations[index(association)].to_exporter.ordered(self.now, &mut self.random);
            self.agenda.add(arrival, Event::Cookie { association, octets });
        }
    }
}

impl Drop for World {
    /// Whoever replays a seed that fails wants to see how it came.
    fn drop(&mut self) {
        if let Some(ladder) = self.ladder.take().filter(|_| std::thread::panicking()) {
            println!("{}", ladder.text());
        }
    }
}

impl Event {
    /// Whose process must run for this; `None` for what happens anyway.
    fn node(&self, associations: &[Association]) -> Option<usize> {
        let of = |association: u64| Some(associations[index(association)].collector + 1);
        match *self {
            Self::Fault(_)
            | Self::Restart { .. }
            | Self::Thaw { .. }
            | Self::PathCheck { .. }
            | Self::RegistrarUp
            | Self::List => None,
            Self::Tick
            | Self::Connected { .. }
            | Self::ConnectFailed { .. }
            | Self::LostAtExporter { .. }
            | Self::Sent { .. }
            | Self::Cookie { .. } => Some(0),
            Self::LostAtCollector { association } | Self::Message { association, .. } => of(association),
            Self::DrainCheck { collector, .. }
            | Self::LetterWritten { collector, .. }
            | Self::SyncStart { collector, .. }
            | Self::DataSynced { collector, .. }
            | Self::SidecarSynced { collector, .. } => Some(collector + 1),
        }
    }
}

fn element(collector: usize) -> PeId {
    PeId(u32::try_from(collector).unwrap())
}

impl Options {
    fn policy(&self, per_cent: u64) -> Policy {
        match self.loads {
            true => Policy::LeastUsed { load: Load::of(per_cent, 100) },
            false => Policy::RoundRobin,
        }
    }
}

pub(crate) fn index(association: u64) -> usize {
    usize::try_from(association).unwrap()
}
