//! The model's world: one exporter, a pool of collectors, associations over links, and what goes wrong.

mod check;
mod faults;
mod scenario;
mod trace;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use delivery::ack_watch::{Expectation, Failure};
use delivery::retention::Mark;
use delivery::{Epoch, KeyRing, Ledger, Series};
use simnet::{Agenda, Ladder, Link, Random};

pub(crate) use self::scenario::{Fault, Options, Outcome};
use self::trace::{describe, name};
use crate::collector::{Collector, Letter, Message, Sync, flow};
use crate::exporter::Exporter;
use crate::milliseconds;

const LEDGER: Ledger = Ledger([0xaa; 16]);
const EPOCH: Epoch = Epoch(5);
const TEMPLATE: u16 = 256;
/// How long the exporter avoids a collector that failed.
const QUARANTINE: Duration = Duration::from_secs(2);
/// Silence after which a transport gives up.
const TRANSPORT_TIMEOUT: Duration = Duration::from_secs(1);
/// When everything must have been covered, after metering and the last fault have ended.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
enum Event {
    Fault(Fault),
    Restart { collector: usize },
    Thaw { node: usize },
    Tick,
    Connected { association: u64 },
    ConnectFailed { association: u64 },
    LostAtExporter { association: u64 },
    LostAtCollector { association: u64 },
    PathCheck { association: u64 },
    Message { association: u64, message: Message, mark: Option<Mark> },
    TransportAcknowledged { association: u64, mark: Mark },
    Cookie { association: u64, octets: Vec<u8> },
    LetterWritten { collector: usize, incarnation: u64, letter: Letter },
    SyncStart { collector: usize, incarnation: u64 },
    DataSynced { collector: usize, incarnation: u64, sync: Sync },
    SidecarSynced { collector: usize, incarnation: u64, sync: Sync },
}

struct Association {
    collector: usize,
    incarnation: Option<u64>,
    to_collector: Link,
    to_exporter: Link,
    collector_up: bool,
}

/// A process can be stopped; what arrives meanwhile waits.
#[derive(Default)]
struct Node {
    frozen: bool,
    inbox: VecDeque<Event>,
}

pub(crate) struct World {
    options: Options,
    random: Random,
    keys: KeyRing,
    start: Instant,
    now: Instant,
    agenda: Agenda<Event>,
    exporter: Exporter,
    collectors: Vec<Collector>,
    /// The exporter is node 0, collector `i` is node `i + 1`.
    nodes: Vec<Node>,
    associations: Vec<Association>,
    links: Vec<Link>,
    cut_until: Vec<Instant>,
    stalled_until: Vec<Instant>,
    letters_until: Vec<Instant>,
    quarantined_until: Vec<Instant>,
    /// When the last fault ends.
    quiet_at: Instant,
    metered: u64,
    outcome: Outcome,
    ladder: Option<Ladder>,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let start = simnet::start();
        let pool = options.collectors;
        let mut world = Self {
            random: Random::new(options.seed),
            keys: KeyRing::parse("1 00112233445566778899aabbccddeeff").unwrap(),
            start,
            now: start,
            agenda: Agenda::new(),
            exporter: Exporter::new(LEDGER, EPOCH, options.limit),
            collectors: (0..pool).map(|_| Collector::default()).collect(),
            nodes: (0..=pool).map(|_| Node::default()).collect(),
            associations: Vec::new(),
            links: vec![options.link.clone(); pool],
            cut_until: vec![start; pool],
            stalled_until: vec![start; pool],
            letters_until: vec![start; pool],
            quarantined_until: vec![start; pool],
            quiet_at: start,
            metered: 0,
            outcome: Outcome::default(),
            ladder: options.ladder.then(|| Ladder::new(start)),
            options,
        };
        for number in 0..world.options.restored {
            let record = flow(EPOCH.0 - 1, 0, number);
            world.exporter.retention.restore(Epoch(EPOCH.0 - 1), 0, number, TEMPLATE, &record).unwrap();
            // A spooled record may have been sent before.
            let series = Series { ledger: LEDGER, epoch: Epoch(EPOCH.0 - 1), domain: 0 };
            world.exporter.exposed.insert(series.identity(number));
            world.metered += 1;
        }
        (0..pool).for_each(|collector| world.start_collector(collector));
        world.agenda.add(start, Event::Tick);
        world
    }

    pub(crate) fn plan(&mut self, at: Duration, fault: Fault) {
        let time = match fault {
            Fault::Kill { restart_after, .. } => restart_after,
            Fault::Freeze { time, .. }
            | Fault::FreezeExporter { time }
            | Fault::Cut { time, .. }
            | Fault::StallDisk { time, .. } => time,
        };
        self.quiet_at = self.quiet_at.max(self.start + at + time);
        self.agenda.add(self.start + at, Event::Fault(fault));
    }

    pub(crate) fn run(self) -> Outcome {
        self.run_with_ladder().0
    }

    pub(crate) fn run_with_ladder(mut self) -> (Outcome, String) {
        let ends = self.quiet_at.max(self.start + self.options.metering) + milliseconds(1_000);
        while self.now < ends || self.exporter.retention.counts().retained > 0 {
            assert!(self.now < ends + PATIENCE, "still uncovered: {:?}", self.exporter.retention.counts());
            self.step();
        }
        self.check();
        let ladder = self.ladder.map_or_else(String::new, |ladder| ladder.text().to_owned());
        (self.outcome, ladder)
    }

    fn step(&mut self) {
        let timers = self.timers().min();
        let planned = self.agenda.next_at().expect("the exporter's tick never ends");
        if let Some(due) = timers.filter(|&due| due < planned) {
            self.now = self.now.max(due);
            return self.handle_timeouts();
        }
        let (at, event) = self.agenda.take().expect("there is a next one");
        self.now = at;
        match event.node(&self.associations).map(|node| &mut self.nodes[node]) {
            Some(node) if node.frozen => node.inbox.push_back(event),
            _ => self.handle(event),
        }
    }

    fn timers(&self) -> impl Iterator<Item = Instant> + '_ {
        let exporter = std::iter::once(self.exporter.poll_timeout());
        let collectors = self.collectors.iter().map(Collector::poll_timeout);
        exporter
            .chain(collectors)
            .zip(&self.nodes)
            .filter(|(_, node)| !node.frozen)
            .filter_map(|(due, _)| due)
    }

    fn handle_timeouts(&mut self) {
        if !self.nodes[0].frozen
            && let Some(failure) = self.exporter.handle_timeout(self.now)
        {
            match failure {
                Failure::Frozen => self.outcome.frozen += 1,
                Failure::Slow => self.outcome.slow += 1,
            }
            self.fail_over(format!("{failure:?}"));
        }
        for collector in 0..self.collectors.len() {
            if !self.nodes[collector + 1].frozen {
                self.send_cookies(collector);
            }
        }
        self.send_messages();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Fault(fault) => self.break_something(fault),
            Event::Restart { collector } => self.start_collector(collector),
            Event::Thaw { node } => self.thaw(node),
            Event::Tick => self.tick(),
            Event::Connected { association } => self.connected(association),
            Event::ConnectFailed { association } if self.exporter.connecting == Some(association) => {
                self.exporter.connecting = None;
                let collector = self.associations[index(association)].collector;
                self.quarantined_until[collector] = self.now + QUARANTINE;
                self.connect();
            }
            Event::LostAtExporter { association } if self.is_active(association) => {
                self.fail_over("lost".into());
            }
            Event::ConnectFailed { .. } | Event::LostAtExporter { .. } => {}
            Event::LostAtCollector { association } => self.lost_at_collector(association),
            Event::PathCheck { association } => self.check_path(association),
            Event::Message { association, message, mark } => self.message(association, &message, mark),
            Event::TransportAcknowledged { association, mark } => {
                if self.is_active(association) {
                    self.exporter.handle_transport_acknowledged(self.now, mark);
                }
            }
            Event::Cookie { association, octets } => self.cookie(association, &octets),
            Event::LetterWritten { collector, incarnation, letter } => {
                if self.collectors[collector].incarnation() == Some(incarnation) {
                    self.collectors[collector].letter_written(&letter);
                }
            }
            Event::SyncStart { collector, incarnation } => self.start_sync(collector, incarnation),
            Event::DataSynced { collector, incarnation, sync } => {
                if self.collectors[collector].incarnation() == Some(incarnation) {
                    self.collectors[collector].data_synced(sync);
                    let took = self.random.between(milliseconds(1), milliseconds(20));
                    self.agenda.add(self.now + took, Event::SidecarSynced { collector, incarnation, sync });
                }
            }
            Event::SidecarSynced { collector, incarnation, sync } => {
                if self.collectors[collector].incarnation() == Some(incarnation) {
                    self.collectors[collector].sidecar_synced(sync);
                    self.note(collector, format!("durable: {} more", sync.records));
                    let next = self.now + self.options.sync_interval;
                    self.agenda.add(next, Event::SyncStart { collector, incarnation });
                }
            }
        }
    }

    fn start_collector(&mut self, collector: usize) {
        let incarnation = self.random.bits();
        self.collectors[collector].start(incarnation);
        self.note(
            collector,
            format!("starts with {} records", self.collectors[collector].disk.records().len()),
        );
        self.agenda.add(self.now + self.options.sync_interval, Event::SyncStart { collector, incarnation });
    }

    fn start_sync(&mut self, collector: usize, incarnation: u64) {
        if self.collectors[collector].incarnation() != Some(incarnation) {
            return;
        }
        match self.collectors[collector].begin_sync() {
            Some(sync) => {
                let took = self.random.between(milliseconds(1), milliseconds(60));
                let done = self.stalled_until[collector].max(self.now) + took;
                self.agenda.add(done, Event::DataSynced { collector, incarnation, sync });
            }
            None => {
                let next = self.now + self.options.sync_interval;
                self.agenda.add(next, Event::SyncStart { collector, incarnation });
            }
        }
    }

    fn tick(&mut self) {
        if self.now < self.start + self.options.metering {
            (0..self.options.burst).for_each(|_| self.meter());
        }
        if self.exporter.active.is_none() && self.exporter.connecting.is_none() {
            self.connect();
        }
        self.exporter.cover_by_hold_back(self.now);
        self.send_messages();
        self.agenda.add(self.now + self.options.tick, Event::Tick);
    }

    fn meter(&mut self) {
        let domain = u32::try_from(self.random.below(self.options.domains.into())).unwrap();
        let retention = &mut self.exporter.retention;
        let number = retention.issued().find(|(series, _)| (series.epoch, series.domain) == (EPOCH, domain));
        let record = flow(EPOCH.0, domain, number.map_or(0, |(_, next)| next));
        while retention.push(domain, TEMPLATE, &record).is_err() {
            if !self.options.drops {
                return;
            }
            retention.drop_oldest();
        }
        self.metered += 1;
    }

    fn connect(&mut self) {
        let pool = 0..self.collectors.len();
        let Some(collector) = pool.into_iter().find(|&at| self.quarantined_until[at] <= self.now) else {
            return;
        };
        let association = self.associations.len() as u64;
        let link = self.links[collector].clone();
        let incarnation = self.collectors[collector].incarnation();
        let is_cut = link.is_cut(self.now);
        let (to_collector, to_exporter) = (link.clone(), link.clone());
        self.associations.push(Association {
            collector,
            incarnation,
            to_collector,
            to_exporter,
            collector_up: true,
        });
        self.exporter.connecting = Some(association);
        let frozen = self.nodes[collector + 1].frozen;
        let (after, event) = if is_cut || frozen {
            (TRANSPORT_TIMEOUT, Event::ConnectFailed { association })
        } else if incarnation.is_none() {
            (2 * link.delay, Event::ConnectFailed { association })
        } else {
            (4 * link.delay, Event::Connected { association })
        };
        self.agenda.add(self.now + after, event);
    }

    fn connected(&mut self, association: u64) {
        if self.exporter.connecting != Some(association) {
            return;
        }
        self.exporter.connecting = None;
        let collector = self.associations[index(association)].collector;
        let expectation = if self.options.foreign { Expectation::Unknown } else { Expectation::Cookies };
        self.exporter.handle_connected(association, collector, expectation, self.random.bits());
        self.trace("exporter", &format!("collector {collector}"), "session begins");
        if self.collectors[collector].incarnation() != self.associations[index(association)].incarnation {
            return self.fail_over("lost".into());
        }
        self.send_messages();
    }

    fn is_active(&self, association: u64) -> bool {
        self.exporter.active.as_ref().is_some_and(|active| active.association == association)
    }

    fn fail_over(&mut self, reason: String) {
        let Some(active) = self.exporter.close() else { return };
        self.outcome.failovers += 1;
        let retained = self.exporter.retention.counts().retained;
        let what = format!("{} {reason}, {retained} records retained", name(active.collector));
        if let Some(ladder) = &mut self.ladder {
            ladder.event(self.now, "exporter", what);
        }
        self.quarantined_until[active.collector] = self.now + QUARANTINE;
        let delay = self.options.link.delay;
        self.agenda.add(self.now + delay, Event::LostAtCollector { association: active.association });
        self.connect();
    }

    fn send_messages(&mut self) {
        if self.nodes[0].frozen {
            return;
        }
        let Some((association, collector)) =
            self.exporter.active.as_ref().map(|it| (it.association, it.collector))
        else {
            return;
        };
        let messages = self.exporter.messages(self.now);
        let mark = self.exporter.mark();
        let last = messages.len();
        for (at, mut message) in messages.into_iter().enumerate() {
            message.spoiled = self.options.spoiled > 0
                && message.is_data_only()
                && self.random.below(1_000) < self.options.spoiled;
            // The mark is about everything handed out, so it goes with the last message.
            let mark = mark.filter(|_| self.options.foreign && at + 1 == last);
            self.trace("exporter", &name(collector), &describe(&message));
            let arrival =
                self.associations[index(association)].to_collector.ordered(self.now, &mut self.random);
            self.agenda.add(arrival, Event::Message { association, message, mark });
        }
    }

    fn message(&mut self, association: u64, message: &Message, mark: Option<Mark>) {
        let Association { collector, incarnation, collector_up, .. } = self.associations[index(association)];
        if collector_up && incarnation.is_some() && self.collectors[collector].incarnation() == incarnation {
            let letter = self.collectors[collector].handle_message(self.now, association, LEDGER, message);
            if let (Some(letter), Some(incarnation)) = (letter, incarnation) {
                self.outcome.spoiled += 1;
                // One thread writes them, in order.
                let written = self.letters_until[collector].max(self.now) + milliseconds(30);
                self.letters_until[collector] = written;
                self.agenda.add(written, Event::LetterWritten { collector, incarnation, letter });
            }
            if let Some(mark) = mark {
                let link = &mut self.associations[index(association)].to_exporter;
                let arrival = link.ordered(self.now, &mut self.random);
                self.agenda.add(arrival, Event::TransportAcknowledged { association, mark });
            }
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

    fn cookie(&mut self, association: u64, octets: &[u8]) {
        if !self.is_active(association) {
            return;
        }
        let collector = self.associations[index(association)].collector;
        let entries = self.exporter.handle_cookie(self.now, octets, &self.keys);
        let ranges: Vec<_> = entries.iter().map(|entry| format!("{:?}", entry.numbers)).collect();
        self.trace(&name(collector), "exporter", &format!("cookie [{}]", ranges.join(" ")));
        self.send_messages();
    }
}

impl Event {
    /// Whose process must run for this; `None` for what happens anyway.
    fn node(&self, associations: &[Association]) -> Option<usize> {
        let of = |association: u64| Some(associations[index(association)].collector + 1);
        match *self {
            Self::Fault(_) | Self::Restart { .. } | Self::Thaw { .. } | Self::PathCheck { .. } => None,
            Self::Tick
            | Self::Connected { .. }
            | Self::ConnectFailed { .. }
            | Self::LostAtExporter { .. }
            | Self::TransportAcknowledged { .. }
            | Self::Cookie { .. } => Some(0),
            Self::LostAtCollector { association } | Self::Message { association, .. } => of(association),
            Self::LetterWritten { collector, .. }
            | Self::SyncStart { collector, .. }
            | Self::DataSynced { collector, .. }
            | Self::SidecarSynced { collector, .. } => Some(collector + 1),
        }
    }
}

fn index(association: u64) -> usize {
    usize::try_from(association).unwrap()
}
