//! The exporter's spool in the simulation: the real worker on real files, on a thread and a disk of the model.
//!
//! The thread takes what waits for it, does it, and syncs, as the real one does; each takes its time. A disk that fails is
//! tried again each second. What the worker tells is on its way for a while, too.

mod files;
mod medium;
mod oracle;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use delivery::RangeSet;
use exporter::failover::{Durability, SpoolConfig};
use exporter::spooling::{Command, Event, Worker};
use simnet::Random;
use spool::{Config, Position, Spool};

use crate::exporter::SERIES;
use crate::milliseconds;

pub(crate) use medium::Broken;
use medium::{Flaky, Folder};
use oracle::Oracle;

/// How long a disk that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// Segments of a full spool.
const SEGMENTS: u64 = 8;

#[derive(Clone, Debug)]
pub(crate) struct SpoolOptions {
    pub(crate) durability: Durability,
    /// In octets.
    pub(crate) capacity: u64,
    pub(crate) interval: Duration,
    /// How long a sync takes, at least and at most.
    pub(crate) speed: (Duration, Duration),
}

/// What the thread will do next, and when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    /// Takes all commands that wait.
    Take,
    /// Has synced.
    Sync,
}

pub(crate) struct SpoolNode {
    options: SpoolOptions,
    folder: Folder,
    disk: Flaky,
    worker: Option<Worker<Flaky>>,
    inbox: VecDeque<Command>,
    /// Told when the thread has synced.
    outbox: VecDeque<Event>,
    /// What is planned; one that was replaced is not done.
    planned: Option<Turn>,
    turns: u64,
    stalled_until: Option<Instant>,
    told_at: Option<Instant>,
    /// Told, and on its way.
    on_their_way: VecDeque<Event>,
    pub(crate) oracle: Oracle,
}

/// What a start of the exporter finds.
pub(crate) struct Found {
    pub(crate) config: SpoolConfig,
    pub(crate) names: RangeSet,
    /// There more than once.
    pub(crate) doubles: RangeSet,
}

/// When the thread's next turn is.
pub(crate) type Planned = (Instant, u64, Turn);

impl SpoolNode {
    pub(crate) fn new(options: SpoolOptions) -> Self {
        Self {
            options,
            folder: Folder::new(),
            disk: Flaky::default(),
            worker: None,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            planned: None,
            turns: 0,
            stalled_until: None,
            told_at: None,
            on_their_way: VecDeque::new(),
            oracle: Oracle::default(),
        }
    }

    /// The exporter starts.
    pub(crate) fn open(&mut self) -> Found {
        let SpoolOptions { durability, capacity, interval, .. } = self.options;
        let config = Config {
            folder: self.folder.path().to_owned(),
            capacity,
            segment: capacity / SEGMENTS,
            domain: SERIES.domain,
            templates: exporter::spooling::templates(exporter::export::FlowEncoder::new().templates()),
        };
        self.disk.tear(None);
        files::check(self.folder.path());
        let (spool, found) = Spool::open_on(self.disk.clone(), config).unwrap();
        let (names, doubles) = self.oracle.open(&spool);
        self.worker = Some(Worker::new(spool));
        let spool::Found { messages, flow_records, .. } = found;
        let config = SpoolConfig { durability, capacity, interval, messages, flow_records };
        Found { config, names, doubles }
    }

    /// The process ends here and now; a write under way is cut short anywhere. Returns whether one was.
    pub(crate) fn kill(&mut self, random: &mut Random) -> bool {
        let worker = self.worker.take();
        self.inbox.clear();
        self.outbox.clear();
        self.on_their_way.clear();
        let writing = worker.filter(|of| self.planned == Some(Turn::Sync) && of.spool().pending_octets() > 0);
        (self.planned, self.told_at) = (None, None);
        self.turns += 1;
        let Some(mut worker) = writing else { return false };
        let octets = worker.spool().pending_octets() as u64;
        self.disk.tear(Some(random.below(2 * octets)));
        worker.sync();
        true
    }

    /// Ends in good order, after everything that waits was done and those commands, too. Returns the last events, and whether
    /// the disk took everything.
    pub(crate) fn close(&mut self, commands: Vec<Command>, until: Position) -> (VecDeque<Event>, bool) {
        self.inbox.extend(commands);
        self.take(|_| true);
        let closed = self.worker.take().unwrap().close(until);
        let mut events = std::mem::take(&mut self.on_their_way);
        events.append(&mut self.outbox);
        (self.planned, self.told_at) = (None, None);
        self.turns += 1;
        (events, closed.is_ok())
    }

    pub(crate) fn break_disk(&mut self, broken: Broken) {
        self.disk.set(broken);
    }

    pub(crate) fn stall(&mut self, until: Instant) {
        self.stalled_until = self.stalled_until.max(Some(until));
    }

    /// Tells whether this record, which went to disk, can be sent: where it is to be on disk before.
    pub(crate) fn lets_out(&self, name: u64) -> bool {
        let Oracle { synced, evicted, .. } = &self.oracle;
        self.options.durability == Durability::Memory || synced.contains(name) || evicted.contains(name)
    }

    pub(crate) fn failures(&self) -> u64 {
        self.disk.failures()
    }

    /// Nothing is left of what everybody has; ends of files that could not be cut off may be.
    pub(crate) fn check_empty(&self) {
        let (files, octets) = self.folder.usage();
        assert_eq!(files, 0, "{octets} octets are left of what collectors have");
    }

    /// Hands a command over; returns when the thread takes it, if it waits for one.
    pub(crate) fn hand_over(
        &mut self,
        now: Instant,
        command: Command,
        random: &mut Random,
    ) -> Option<Planned> {
        self.inbox.push_back(command);
        // Beside what is planned already only a second try can be.
        let is_idle = self.planned.is_none();
        is_idle.then(|| self.plan(now + random.between(Duration::ZERO, milliseconds(3)), Turn::Take))
    }

    fn plan(&mut self, at: Instant, turn: Turn) -> Planned {
        self.turns += 1;
        self.planned = Some(turn);
        (at, self.turns, turn)
    }

    /// Tells whether this turn is the one that is planned.
    pub(crate) fn is_planned(&self, number: u64) -> bool {
        self.turns == number && self.worker.is_some()
    }

    /// The thread does what waits; returns when it has synced. `is_settled` tells of records that the exporter need not keep.
    pub(crate) fn take_turn(
        &mut self,
        now: Instant,
        random: &mut Random,
        is_settled: impl Fn(std::ops::Range<u64>) -> bool,
    ) -> Planned {
        self.take(is_settled);
        let (least, most) = self.options.speed;
        let took = random.between(least, most);
        self.plan(self.stalled_until.map_or(now, |until| until.max(now)) + took, Turn::Sync)
    }

    fn take(&mut self, is_settled: impl Fn(std::ops::Range<u64>) -> bool) {
        for command in std::mem::take(&mut self.inbox) {
            let Some(worker) = self.worker.as_mut() else { return };
            let oldest = oracle::oldest_end(worker);
            let appends = match &command {
                Command::Append(message) => {
                    self.oracle.append(message);
                    true
                }
                Command::Release(until) => {
                    let released = self.oracle.release(until.0);
                    assert!(released.into_iter().all(&is_settled), "released before it was covered");
                    false
                }
                Command::Return | Command::Templates(_) => false,
            };
            worker.handle(command);
            if appends {
                self.oracle.appended(worker.spool(), oracle::oldest_end(worker) != oldest);
            }
            self.listen();
            self.oracle.check();
        }
    }

    /// The thread has synced; returns when what it tells arrives, and when it does more.
    pub(crate) fn synced(&mut self, now: Instant, random: &mut Random) -> (Vec<Instant>, Option<Planned>) {
        let Some(worker) = self.worker.as_mut() else { return (Vec::new(), None) };
        worker.sync();
        let is_failing = worker.is_failing();
        self.listen();
        self.check_octets();
        let mut told = Vec::new();
        for event in std::mem::take(&mut self.outbox) {
            let at = now + random.between(Duration::ZERO, milliseconds(3));
            let at = self.told_at.map_or(at, |last| last.max(at));
            self.told_at = Some(at);
            told.push(at);
            self.on_their_way.push_back(event);
        }
        self.planned = None;
        let next = if !self.inbox.is_empty() {
            Some(self.plan(now, Turn::Take))
        } else if is_failing {
            let again = self.plan(now + RETRY, Turn::Take);
            self.planned = None;
            Some(again)
        } else {
            None
        };
        (told, next)
    }

    /// Returns what arrives at the exporter.
    pub(crate) fn arrived(&mut self) -> Event {
        self.on_their_way.pop_front().expect("it was told")
    }

    fn listen(&mut self) {
        let Some(worker) = self.worker.as_mut() else { return };
        while let Some(event) = worker.poll_event() {
            self.oracle.told(&event);
            self.outbox.push_back(event);
        }
    }

    fn check_octets(&self) {
        let Some(worker) = &self.worker else { return };
        let SpoolOptions { capacity, .. } = self.options;
        let limit = capacity + capacity / SEGMENTS;
        let held = worker.spool().octets();
        assert!(held <= limit, "{held} octets of {capacity}");
        if !self.disk.has_uncut() {
            let (_, octets) = self.folder.usage();
            assert!(octets <= limit, "{octets} octets on disk, {capacity} are its capacity");
        }
    }
}
