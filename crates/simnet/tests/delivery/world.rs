//! The model's world: one exporter, a pool of collectors, associations over links, and what goes wrong.

use std::collections::VecDeque;
use std::ops::{AddAssign, Range};
use std::time::{Duration, Instant};

use delivery::ack_watch::{Expectation, Failure};
use delivery::audit::Audit;
use delivery::retention::Mark;
use delivery::{Epoch, Identity, KeyRing, Ledger, Series};
use simnet::{Agenda, Ladder, Link, Random};

use crate::collector::{Collector, Item, Letter, Message, Sync, flow};
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
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) collectors: usize,
    pub(crate) ladder: bool,
    /// Records are made this long, `burst` of them each `tick`.
    pub(crate) metering: Duration,
    pub(crate) tick: Duration,
    pub(crate) burst: u64,
    pub(crate) domains: u32,
    pub(crate) limit: usize,
    /// When retention is full: give up the oldest, else stop metering.
    pub(crate) drops: bool,
    /// Records of an earlier epoch, from the spool.
    pub(crate) restored: u64,
    pub(crate) link: Link,
    pub(crate) sync_interval: Duration,
    /// Collectors send no cookies.
    pub(crate) foreign: bool,
    /// Of 1,000 messages without a session record so many are malformed.
    pub(crate) spoiled: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            collectors: 2,
            ladder: false,
            metering: milliseconds(1_000),
            tick: milliseconds(100),
            burst: 10,
            domains: 1,
            limit: 1 << 20,
            drops: false,
            restored: 0,
            link: Link::new(milliseconds(5)),
            sync_interval: milliseconds(150),
            foreign: false,
            spoiled: 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Ends the process; what was not synced is lost.
    Kill {
        collector: usize,
        restart_after: Duration,
    },
    Freeze {
        collector: usize,
        time: Duration,
    },
    FreezeExporter {
        time: Duration,
    },
    Cut {
        collector: usize,
        time: Duration,
    },
    /// Syncs that begin in this time end after it.
    StallDisk {
        collector: usize,
        time: Duration,
    },
}

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

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) records: u64,
    pub(crate) failovers: u64,
    pub(crate) frozen: u64,
    pub(crate) slow: u64,
    pub(crate) replayed: u64,
    pub(crate) repeats: u64,
    pub(crate) lost_unsynced: u64,
    pub(crate) dropped: u64,
    pub(crate) spoiled: u64,
    /// Records that are nowhere but in dead-letter files.
    pub(crate) refused: u64,
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.failovers += other.failovers;
        self.frozen += other.frozen;
        self.slow += other.slow;
        self.replayed += other.replayed;
        self.repeats += other.repeats;
        self.lost_unsynced += other.lost_unsynced;
        self.dropped += other.dropped;
        self.spoiled += other.spoiled;
        self.refused += other.refused;
    }
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

    /// A world of random size with random faults.
    pub(crate) fn random(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5eed);
        let delay = random.between(milliseconds(1), milliseconds(120));
        let mut link = Link::new(delay);
        link.jitter = random.between(Duration::ZERO, delay);
        link.loss = random.below(6);
        let options = Options {
            seed,
            collectors: 2 + usize::try_from(random.below(2)).unwrap(),
            metering: milliseconds(10_000),
            tick: milliseconds(20),
            burst: 1 + random.below(8),
            domains: 1 + u32::try_from(random.below(2)).unwrap(),
            limit: if random.chance(20) { 24_000 } else { 1 << 20 },
            drops: random.chance(50),
            restored: if random.chance(20) { 1 + random.below(100) } else { 0 },
            link,
            sync_interval: random.between(milliseconds(20), milliseconds(400)),
            spoiled: if random.chance(30) { 1 + random.below(30) } else { 0 },
            ..Options::default()
        };
        let pool = options.collectors as u64;
        let mut world = Self::new(options);
        for _ in 0..1 + random.below(8) {
            let at = random.between(Duration::ZERO, milliseconds(11_000));
            let collector = usize::try_from(random.below(pool)).unwrap();
            let short = random.between(milliseconds(200), milliseconds(9_000));
            let fault = match random.below(20) {
                0..=6 => Fault::Kill { collector, restart_after: short },
                7..=11 => Fault::Freeze { collector, time: short },
                12..=16 => Fault::Cut { collector, time: short },
                17 => Fault::FreezeExporter { time: short },
                18 => Fault::StallDisk { collector, time: short },
                _ => Fault::StallDisk { collector, time: short + milliseconds(45_000) },
            };
            world.plan(at, fault);
        }
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

    fn break_something(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { collector, restart_after } => {
                if self.collectors[collector].incarnation().is_none() {
                    return;
                }
                let lost = self.collectors[collector].kill(&mut self.random);
                self.outcome.lost_unsynced += lost;
                self.note(collector, format!("killed, {lost} records lost unsynced"));
                self.nodes[collector + 1] = Node::default();
                self.agenda.add(self.now + restart_after, Event::Restart { collector });
                let noticed = self.now + self.random.between(milliseconds(50), milliseconds(300));
                for association in self.associations_of(collector) {
                    self.agenda.add(noticed, Event::LostAtExporter { association });
                }
            }
            Fault::Freeze { collector, time } => {
                self.note(collector, "frozen".into());
                self.nodes[collector + 1].frozen = true;
                self.agenda.add(self.now + time, Event::Thaw { node: collector + 1 });
            }
            Fault::FreezeExporter { time } => {
                self.nodes[0].frozen = true;
                self.agenda.add(self.now + time, Event::Thaw { node: 0 });
            }
            Fault::Cut { collector, time } => {
                let until = self.cut_until[collector].max(self.now + time);
                self.cut_until[collector] = until;
                self.links[collector].cut(until);
                for association in self.associations_of(collector) {
                    self.associations[index(association)].to_collector.cut(until);
                    self.associations[index(association)].to_exporter.cut(until);
                    self.agenda.add(self.now + TRANSPORT_TIMEOUT, Event::PathCheck { association });
                }
            }
            Fault::StallDisk { collector, time } => {
                self.stalled_until[collector] = self.stalled_until[collector].max(self.now + time);
            }
        }
    }

    fn associations_of(&self, collector: usize) -> Vec<u64> {
        let numbered = (0..).zip(&self.associations);
        let of = numbered
            .filter(|(_, association)| association.collector == collector && association.collector_up);
        of.map(|(number, _)| number).collect()
    }

    fn thaw(&mut self, node: usize) {
        if !std::mem::take(&mut self.nodes[node].frozen) {
            return;
        }
        if let Some(collector) = node.checked_sub(1) {
            self.note(collector, "goes on".into());
        }
        std::mem::take(&mut self.nodes[node].inbox).into_iter().for_each(|event| self.handle(event));
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

    fn lost_at_collector(&mut self, association: u64) {
        let of = &mut self.associations[index(association)];
        of.collector_up = false;
        self.collectors[of.collector].handle_lost(association);
    }

    fn check_path(&mut self, association: u64) {
        if self.associations[index(association)].to_collector.is_cut(self.now) {
            let delay = self.options.link.delay;
            self.agenda.add(self.now, Event::LostAtExporter { association });
            self.agenda.add(self.now + delay, Event::LostAtCollector { association });
        }
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

    /// Everything is cut to what is durable, and the pool's files are merged.
    fn check(&mut self) {
        let counts = self.exporter.retention.counts();
        assert_eq!(counts.pushed, self.metered);
        assert_eq!(counts.pushed, counts.covered + counts.dropped + counts.retained, "books balance");
        assert_eq!((counts.retained, counts.retained_octets), (0, 0));
        assert_eq!(self.exporter.retention.held_octets(), 0);
        let mut all = Audit::new();
        for collector in &self.collectors {
            let mut own = Audit::new();
            for &identity in collector.disk.records() {
                assert!(own.read(identity), "{identity} twice in one collector");
                assert!(
                    all.read(identity) || self.exporter.exposed.contains(&identity),
                    "{identity} repeated"
                );
            }
        }
        let expected: Vec<(Series, Range<u64>)> =
            self.exporter.retention.issued().map(|(series, end)| (series, 0..end)).collect();
        assert_eq!(all.unexpected(&expected), 0);
        let missing = expected.iter().flat_map(|(series, range)| {
            let ranges = all.missing(*series, range.clone());
            ranges.into_iter().flatten().map(|number| series.identity(number))
        });
        let in_letters = |&identity: &Identity| {
            self.collectors.iter().any(|collector| collector.disk.letters.contains(identity))
        };
        let (refused, missing): (Vec<_>, Vec<_>) = missing.partition(in_letters);
        let (refused, missing) = (refused.len() as u64, missing.len() as u64);
        assert!(missing <= counts.dropped, "{missing} records missing, {} dropped", counts.dropped);
        assert_eq!(all.seen().count() + refused + missing, self.metered);
        self.outcome.refused = refused;
        self.outcome.records = self.metered;
        self.outcome.replayed = counts.replayed;
        self.outcome.dropped = counts.dropped;
        self.outcome.repeats = all.repeats();
    }

    fn trace(&mut self, from: &str, to: &str, what: &str) {
        if let Some(ladder) = &mut self.ladder {
            ladder.message(self.now, from, to, what);
        }
    }

    fn note(&mut self, collector: usize, what: String) {
        if let Some(ladder) = &mut self.ladder {
            ladder.event(self.now, name(collector), what);
        }
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

fn name(collector: usize) -> String {
    format!("collector {collector}")
}

fn describe(message: &Message) -> String {
    let mut parts = Vec::new();
    let mut flows: Option<Range<u64>> = None;
    for item in &message.records {
        match item {
            Item::SessionRecord(octets) => {
                let number = |at: usize| u64::from_be_bytes(octets[at..at + 8].try_into().unwrap());
                parts.extend(flows.take().map(|range| format!("records {range:?}")));
                parts.push(format!(
                    "session record firstNumber={} possibleDuplicateUntil={}",
                    number(24),
                    number(32)
                ));
            }
            Item::Flow(octets) => {
                let number = u64::from_be_bytes(octets[8..].try_into().unwrap());
                flows = Some(flows.map_or(number, |range| range.start)..number + 1);
            }
        }
    }
    parts.extend(flows.map(|range| format!("records {range:?}")));
    parts.join(", ")
}
