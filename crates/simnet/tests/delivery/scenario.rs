//! What a world is made of and what goes wrong in it.

use std::ops::AddAssign;
use std::time::Duration;

use simnet::{Link, Random};

use crate::milliseconds;
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
}

impl Fault {
    /// How long it lasts.
    pub(crate) const fn time(&self) -> Duration {
        match *self {
            Self::Kill { restart_after, .. } => restart_after,
            Self::Drain { restart_after, .. } => restart_after.saturating_add(Duration::from_secs(11)),
            Self::Freeze { time, .. }
            | Self::FreezeExporter { time }
            | Self::Cut { time, .. }
            | Self::StallDisk { time, .. }
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
        };
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
        world
    }
}
