//! One exporter, a pool of collectors, associations over links, and what goes wrong.

mod collectors;
mod event;
mod exporter_node;
mod starts;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use delivery::KeyRing;
use delivery::cookie::State;
use exporter::failover::ChoiceConfig;
use rserpool_proto::PeId;
use rserpool_proto::wire::{Load, Policy};
use simnet::{Agenda, Ladder, Link, Random};

use crate::collector::Collector;
use crate::exporter::{Exporter, Settings};
use crate::milliseconds;
use crate::pool::Pool;
use crate::scenario::{Fault, Options, Outcome};
use crate::spool::SpoolNode;
use crate::trace::name;

pub(crate) use event::Event;
use starts::Past;

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
    pub(crate) exporter_up: bool,
    /// The exporter was told to end.
    stopping: bool,
    pub(crate) spool: Option<SpoolNode>,
    pub(crate) past: Past,
    /// Records that the spool of this start told to have dropped.
    pub(crate) full: u64,
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
        let settings =
            Settings { choice, acknowledges: !options.foreign, memory: options.limit, seed: options.seed };
        let mut spool = options.spool.clone().map(SpoolNode::new);
        let found = spool.as_mut().map(SpoolNode::open);
        let mut world = Self {
            random: Random::new(options.seed),
            keys: KeyRing::parse(crate::KEY).unwrap(),
            start,
            now: start,
            agenda: Agenda::new(),
            exporter: Exporter::new(settings, pool, found.map(|found| found.config)),
            exporter_up: true,
            stopping: false,
            spool,
            past: Past::default(),
            full: 0,
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
        let first = world.exporter.epoch();
        world.agenda.add(start, Event::Tick { start: first });
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
        let is_done =
            |world: &Self| world.exporter_up && !world.stopping && world.exporter.failover.is_done();
        while self.now < ends || !is_done(&self) {
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
        let node = event.node(&self.associations);
        if event.is_past(self.exporter.epoch()) || node == Some(0) && !self.exporter_up {
            return;
        }
        match node.map(|node| &mut self.nodes[node]) {
            Some(node) if node.frozen.is_some() => node.inbox.push_back(event),
            _ => self.handle(event),
        }
        self.drive();
    }

    fn timers(&self) -> impl Iterator<Item = Instant> + '_ {
        let due = self.exporter.poll_timeout().filter(|_| self.exporter_up);
        let exporter = std::iter::once(due);
        let collectors = self.collectors.iter().map(Collector::poll_timeout);
        exporter
            .chain(collectors)
            .zip(&self.nodes)
            .filter(|(_, node)| node.frozen.is_none())
            .filter_map(|(due, _)| due)
    }

    fn handle_timeouts(&mut self) {
        let runs = self.exporter_up && self.nodes[0].frozen.is_none();
        if runs && self.exporter.poll_timeout().is_some_and(|due| due <= self.now) {
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
            Event::StartExporter => self.start_exporter(),
            Event::StopCheck { until, restart_after, .. } => self.check_stop(until, restart_after),
            Event::SpoolTurn { number, turn, .. } => self.spool_turn(number, turn),
            Event::SpoolTold { .. } => self.spool_told(),
            Event::BreakSpool(broken) => {
                self.spool.iter_mut().for_each(|spool| spool.break_disk(broken));
            }
            Event::Tick { .. } => self.tick(),
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
}

impl Drop for World {
    /// Whoever replays a seed that fails wants to see how it came.
    fn drop(&mut self) {
        if let Some(ladder) = self.ladder.take().filter(|_| std::thread::panicking()) {
            println!("{}", ladder.text());
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
