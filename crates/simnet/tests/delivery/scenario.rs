//! What a world is made of and what goes wrong in it.

use std::ops::AddAssign;
use std::time::Duration;

use exporter::failover::Durability;
use simnet::{Link, Random};

use crate::milliseconds;
use crate::spool::{Broken, SpoolOptions};
use crate::world::World;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) collectors: usize,
    pub(crate) ladder: bool,
    /// Records are made this long, `burst` of them each `tick`.
    pub(crate) metering: Duration,
    pub(crate) tick: Duration,
    pub(crate) burst: u64,
    /// Per cent of records in a class that may lose some.
    pub(crate) lossy: u64,
    pub(crate) limit: usize,
    /// When memory is full: the oldest records are dropped, else metering waits.
    pub(crate) drops: bool,
    pub(crate) link: Link,
    pub(crate) sync_interval: Duration,
    /// Collectors send no cookies.
    pub(crate) foreign: bool,
    /// A collector stands by.
    pub(crate) standby: bool,
    /// The kernels answer for collectors that are frozen.
    pub(crate) kernel: bool,
    /// The pool's policy is Least Used, with loads that change; else Round Robin.
    pub(crate) loads: bool,
    /// The exporter has a spool.
    pub(crate) spool: Option<SpoolOptions>,
    /// Of 1,000 messages with nothing but flow records so many are malformed.
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
            lossy: 0,
            limit: 1 << 20,
            drops: false,
            link: Link::new(milliseconds(5)),
            sync_interval: milliseconds(150),
            foreign: false,
            standby: true,
            kernel: false,
            loads: false,
            spoiled: 0,
            spool: None,
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
    /// The collector asks its exporters to leave and ends when they have.
    Drain {
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
    /// No registrar can be reached.
    Registrar {
        time: Duration,
    },
    /// The exporter's wall clock jumps.
    Clock {
        seconds: i64,
    },
    /// No collector can be reached.
    CutAll {
        time: Duration,
    },
    /// Ends the exporter's process, if it has a spool.
    KillExporter {
        restart_after: Duration,
    },
    /// The exporter ends in good order, after some time at most.
    StopExporter {
        drain: Duration,
        restart_after: Duration,
    },
    /// The spool's disk fails.
    BreakSpool {
        broken: Broken,
        time: Duration,
    },
    /// Syncs of the spool that begin in this time end after it.
    StallSpool {
        time: Duration,
    },
}

impl Fault {
    /// How long it lasts.
    pub(crate) const fn time(&self) -> Duration {
        match *self {
            Self::Kill { restart_after, .. } | Self::KillExporter { restart_after } => restart_after,
            Self::StopExporter { drain, restart_after } => {
                drain.saturating_add(restart_after).saturating_add(Duration::from_secs(1))
            }
            Self::Drain { restart_after, .. } => restart_after.saturating_add(Duration::from_secs(11)),
            Self::Freeze { time, .. }
            | Self::FreezeExporter { time }
            | Self::Cut { time, .. }
            | Self::StallDisk { time, .. }
            | Self::CutAll { time }
            | Self::BreakSpool { time, .. }
            | Self::StallSpool { time }
            | Self::Registrar { time } => time,
            Self::Clock { .. } => Duration::ZERO,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) records: u64,
    pub(crate) failovers: u64,
    pub(crate) frozen: u64,
    pub(crate) slow: u64,
    pub(crate) draining: u64,
    pub(crate) rebalanced: u64,
    /// Collectors that ended because all had gone.
    pub(crate) drained: u64,
    pub(crate) replayed: u64,
    pub(crate) repeats: u64,
    pub(crate) lost_unsynced: u64,
    pub(crate) dropped: u64,
    pub(crate) spoiled: u64,
    /// Records that are nowhere but in dead-letter files.
    pub(crate) refused: u64,
    /// The exporter was killed.
    pub(crate) kills: u64,
    /// It ended in good order.
    pub(crate) stopped: u64,
    /// It was killed while its spool wrote.
    pub(crate) torn: u64,
    /// Records found on disk by a start of the exporter.
    pub(crate) recovered: u64,
    /// Those that were there more than once.
    pub(crate) doubles: u64,
    /// Records put on disk at the end of the exporter.
    pub(crate) spilled: u64,
    /// Records that went to disk before.
    pub(crate) spooled: u64,
    /// Records that the spool dropped to make room.
    pub(crate) full: u64,
    /// The disk began to fail.
    pub(crate) failing: u64,
    /// Writes and syncs that failed.
    pub(crate) disk_failures: u64,
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.failovers += other.failovers;
        self.frozen += other.frozen;
        self.slow += other.slow;
        self.draining += other.draining;
        self.rebalanced += other.rebalanced;
        self.drained += other.drained;
        self.replayed += other.replayed;
        self.repeats += other.repeats;
        self.lost_unsynced += other.lost_unsynced;
        self.dropped += other.dropped;
        self.spoiled += other.spoiled;
        self.refused += other.refused;
        self.kills += other.kills;
        self.stopped += other.stopped;
        self.torn += other.torn;
        self.recovered += other.recovered;
        self.doubles += other.doubles;
        self.spilled += other.spilled;
        self.spooled += other.spooled;
        self.full += other.full;
        self.failing += other.failing;
        self.disk_failures += other.disk_failures;
    }
}

impl World {
    /// A world of random size with random faults.
    pub(crate) fn random(seed: u64, ladder: bool) -> Self {
        let mut random = Random::new(seed ^ 0x5eed);
        let delay = random.between(milliseconds(1), milliseconds(120));
        let mut link = Link::new(delay);
        link.jitter = random.between(Duration::ZERO, delay);
        link.loss = random.below(6);
        // Long enough to move to better collectors.
        let is_long = random.chance(10);
        let options = Options {
            seed,
            ladder,
            collectors: 2 + usize::try_from(random.below(3)).unwrap(),
            metering: milliseconds(if is_long { 300_000 } else { 10_000 }),
            tick: milliseconds(if is_long { 500 } else { 20 }),
            burst: 1 + random.below(8),
            lossy: if random.chance(50) { random.below(50) } else { 0 },
            limit: if random.chance(20) { 24_000 } else { 1 << 20 },
            drops: random.chance(50),
            link,
            sync_interval: random.between(milliseconds(20), milliseconds(400)),
            standby: random.chance(80),
            kernel: random.chance(50),
            loads: random.chance(50),
            spoiled: if random.chance(30) { 1 + random.below(30) } else { 0 },
            foreign: false,
            spool: None,
        };
        let mut chance = Random::new(seed ^ 0x5b001);
        let options = if chance.chance(33) { with_spool(options, &mut chance) } else { options };
        let (pool, metering) = (options.collectors as u64, options.metering);
        let mut world = Self::new(options);
        for _ in 0..1 + random.below(12) {
            let at = random.between(Duration::ZERO, metering + milliseconds(1_000));
            let collector = usize::try_from(random.below(pool)).unwrap();
            let short = random.between(milliseconds(200), milliseconds(9_000));
            let fault = match random.below(25) {
                0..=5 => Fault::Kill { collector, restart_after: short },
                6..=8 => Fault::Drain { collector, restart_after: short },
                9..=13 => Fault::Freeze { collector, time: short },
                14..=17 => Fault::Cut { collector, time: short },
                18 => Fault::FreezeExporter { time: short },
                19 => Fault::Registrar { time: short },
                20 => Fault::Registrar { time: short + milliseconds(30_000) },
                21 => Fault::Clock { seconds: i64::try_from(random.below(200_000)).unwrap() - 100_000 },
                22 => Fault::StallDisk { collector, time: short },
                _ => Fault::StallDisk { collector, time: short + milliseconds(45_000) },
            };
            world.plan(at, fault);
        }
        if world.options.spool.is_some() {
            world.plan_for_spool(&mut chance);
        }
        world
    }

    /// What goes wrong with an exporter that has a spool.
    fn plan_for_spool(&mut self, random: &mut Random) {
        let metering = self.options.metering;
        for _ in 0..2 + random.below(6) {
            let at = random.between(Duration::ZERO, metering + milliseconds(500));
            let time = random.between(milliseconds(100), milliseconds(4_000));
            let fault = match random.below(12) {
                0..=3 => Fault::KillExporter { restart_after: time },
                4 | 5 => Fault::StopExporter { drain: time, restart_after: time },
                6 | 7 => Fault::CutAll { time: 2 * time },
                8 => Fault::BreakSpool { broken: Broken::Writes, time },
                9 => Fault::BreakSpool { broken: Broken::Syncs, time },
                10 => Fault::BreakSpool { broken: Broken::SyncsAndCuts, time },
                _ => Fault::StallSpool { time },
            };
            self.plan(at, fault);
        }
    }
}

/// Gives the exporter a spool: one that is filled in some cases.
fn with_spool(options: Options, random: &mut Random) -> Options {
    let is_tight = random.chance(40);
    let durability = if random.chance(50) { Durability::Spool } else { Durability::Memory };
    let fastest = random.between(Duration::ZERO, milliseconds(30));
    let spool = SpoolOptions {
        durability,
        capacity: if is_tight { 192 << 10 } else { 64 << 20 },
        interval: random.between(milliseconds(5), milliseconds(300)),
        speed: (fastest, 4 * fastest + milliseconds(1)),
    };
    // A page that comes back must fit.
    let limit = if random.chance(70) { 1 << 16 } else { 1 << 17 };
    let drops = is_tight || options.drops;
    let burst = if is_tight { 4 * options.burst } else { 2 * options.burst };
    Options { spool: Some(spool), limit, drops, burst, ..options }
}
