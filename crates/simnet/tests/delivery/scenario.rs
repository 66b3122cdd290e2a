//! What a world is made of and what goes wrong in it.

use std::ops::AddAssign;
use std::time::Duration;

use simnet::{Link, Random};

use super::World;
use crate::milliseconds;

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

impl World {
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
}
