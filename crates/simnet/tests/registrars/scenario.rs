//! What goes wrong when: a scenario from a seed, and its run with every check.

use std::fmt;
use std::time::Duration;

use rserpool_proto::pe::PoolElement;
use rserpool_proto::registrar::Registrar;
use rserpool_proto::wire::{LifeUnit, Load, Policy};
use simnet::{Link, Random};

use crate::check::{Census, Outcome, Violation};
use crate::milliseconds;
use crate::world::{Node, Options, World};

/// How often everything is looked at.
const TICK: Duration = Duration::from_millis(50);
/// Faults begin after this, when everybody has registered.
const START: u64 = 4_000;
/// And have ended after this.
const END: u64 = 34_000;
/// Then everything must come to rest within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// One thing that goes wrong, or is asked for. Registrars and elements count from 0; times are milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    KillRegistrar {
        at: usize,
        restart_after: u64,
        new_id: bool,
    },
    PowerOffRegistrar {
        at: usize,
        restart_after: u64,
        new_id: bool,
    },
    FreezeRegistrar {
        at: usize,
        time: u64,
    },
    /// Hands its elements over and ends.
    LeaveRegistrar {
        at: usize,
        restart_after: u64,
        new_id: bool,
    },
    /// Between two registrars.
    Cut {
        one: usize,
        other: usize,
        time: u64,
    },
    /// Between an element and a registrar.
    CutElement {
        element: usize,
        registrar: usize,
        time: u64,
    },
    /// Registrars, elements and users whose bit is set are cut from those whose is not.
    Part {
        mask: u32,
        time: u64,
    },
    KillElement {
        at: usize,
        restart_after: Option<u64>,
    },
    PowerOffElement {
        at: usize,
        restart_after: Option<u64>,
    },
    FreezeElement {
        at: usize,
        time: u64,
    },
    Deregister {
        at: usize,
        again_after: Option<u64>,
    },
    ChangeLoad {
        at: usize,
        load: u8,
    },
    /// One more element joins.
    Join,
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) options: Options,
    pub(crate) registrars: u8,
    pub(crate) elements: u8,
    pub(crate) users: u8,
    pub(crate) setting: Setting,
    /// By time, in milliseconds.
    pub(crate) faults: Vec<(u64, Fault)>,
}

/// What all registrars of a scenario have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setting {
    pub(crate) lowest_wins: bool,
    pub(crate) multicast: bool,
    pub(crate) takeover_suggestion: bool,
    /// ENRP_TAKEOVER_SERVER is never told, as by the reference implementation.
    pub(crate) takeover_server_lost: bool,
    /// Lives are told in milliseconds and the least identifier wins, as by the reference implementation; this registrar
    /// has its slow timers as well.
    pub(crate) reference: Option<u8>,
    /// Registrars, by bit, that tell parameters of the next generation.
    pub(crate) next_generation: u8,
    /// Registrars, by bit, that audit every table every few seconds.
    pub(crate) auditors: u8,
    /// How many registrars an element knows.
    pub(crate) known_registrars: u8,
}

/// What follows from a fault.
#[derive(Clone, Copy, Debug)]
enum Followup {
    Kill(Node),
    RestartRegistrar { at: usize, new_id: bool },
    Thaw(Node),
    RestartElement(usize),
    Register(usize),
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, registrars, elements, users, setting, .. } = self;
        writeln!(f, "seed {}: {registrars} registrars, {elements} elements, {users} users", options.seed)?;
        writeln!(f, "  {setting:?}")?;
        writeln!(f, "  {:?}, transport time-out {:?}", options.link, options.transport_timeout)?;
        writeln!(f, "  registrations last {:?}", options.profile.life)?;
        for (at, fault) in &self.faults {
            writeln!(f, "  {at:6} ms  {fault:?}")?;
        }
        Ok(())
    }
}

impl Scenario {
    pub(crate) fn random(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5eed_5eed);
        let longest = if random.chance(20) { 100 } else { 40 };
        let delay = random.between(milliseconds(1), milliseconds(longest));
        let jitter = random.between(Duration::ZERO, milliseconds(20));
        let mut link = Link::new(delay);
        (link.jitter, link.loss) = (jitter, random.below(4));
        let transport_timeout =
            (!random.chance(25)).then(|| random.between(milliseconds(1_500), milliseconds(3_000)));
        let mut options = Options { seed, link, transport_timeout, ..Options::default() };
        if random.chance(50) && transport_timeout.is_some() {
            // Registrations last for longer than the simulation: they repair nothing. (Without a time-out of the
            // transport they alone show an element that its registrar has started anew.)
            options.profile.life = Duration::from_secs(600);
            options.profile.t4_max = Duration::from_secs(600);
        }
        let registrars = 2 + small(&mut random, 3);
        let elements = 1 + small(&mut random, 5);
        let reference = random.chance(15).then(|| 1 + small(&mut random, registrars.into()));
        if reference.is_some() {
            options.profile.life_unit = LifeUnit::Milliseconds;
        }
        let setting = Setting {
            lowest_wins: reference.is_some() || random.chance(50),
            multicast: random.chance(30),
            takeover_suggestion: random.chance(50),
            takeover_server_lost: random.chance(15),
            reference,
            next_generation: small(&mut random, 256),
            auditors: if random.chance(20) { small(&mut random, 256) } else { 0 },
            known_registrars: 1 + small(&mut random, registrars.into()),
        };
        let count = 1 + random.below(8);
        let mut faults: Vec<_> = (0..count)
            .map(|_| {
                let at = START + random.below(END - START);
                (at, Fault::random(&mut random, registrars.into(), elements.into(), END - at))
            })
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        Self { options, registrars, elements, users: 2, setting, faults }
    }

    /// Runs it, and if it fails, with less and less until nothing can be left out.
    pub(crate) fn run_and_shrink(&self) -> Result<Outcome, Box<(Self, Violation)>> {
        let mut violation = match self.run() {
            Ok(outcome) => return Ok(outcome),
            Err(violation) => violation,
        };
        let mut least = self.clone();
        let mut at = 0;
        while at < least.faults.len() {
            let mut less = least.clone();
            less.faults.remove(at);
            match less.run() {
                Ok(_) => at += 1,
                Err(other) => (least, violation, at) = (less, other, 0),
            }
        }
        Err(Box::new((least, violation)))
    }

    /// Runs it; a panic of a machine is a violation as well.
    pub(crate) fn run(&self) -> Result<Outcome, Violation> {
        let run = std::panic::AssertUnwindSafe(|| self.run_unguarded());
        std::panic::catch_unwind(run).unwrap_or_else(|_| Err(Violation::new(Duration::ZERO, "a panic")))
    }

    fn run_unguarded(&self) -> Result<Outcome, Violation> {
        let mut run = Run::new(self);
        let ended = run.play().and_then(|()| run.rest());
        if self.options.ladder {
            println!("{}", run.census.world.ladder());
        }
        ended.map(|()| run.census.outcome)
    }
}

fn small(random: &mut Random, limit: u64) -> u8 {
    u8::try_from(random.below(limit)).unwrap_or(0)
}

fn index(random: &mut Random, limit: usize) -> usize {
    usize::try_from(random.below(limit as u64)).unwrap_or(0)
}

impl Fault {
    /// Draws one that lasts `most` milliseconds at most.
    fn random(random: &mut Random, registrars: usize, elements: usize, most: u64) -> Self {
        let at = index(random, registrars);
        let element = index(random, elements);
        let longest = if random.chance(50) { 2_000 } else { 15_000 };
        let time = random.below(longest).min(most);
        let restart_after = random.below(12_000).min(most);
        let maybe = random.chance(50).then_some(restart_after);
        let new_id = random.chance(50);
        match random.below(16) {
            0 | 1 => Fault::KillRegistrar { at, restart_after, new_id },
            2 => Fault::PowerOffRegistrar { at, restart_after, new_id },
            3 | 4 => Fault::FreezeRegistrar { at, time },
            5 => Fault::Cut { one: at, other: (at + 1) % registrars, time },
            6 => Fault::CutElement { element, registrar: at, time },
            7 | 8 => Fault::Part { mask: u32::try_from(random.below(1 << 16)).unwrap_or(0), time },
            9 => Fault::KillElement { at: element, restart_after: maybe },
            10 => Fault::PowerOffElement { at: element, restart_after: maybe },
            11 => Fault::FreezeElement { at: element, time: time.min(6_000) },
            12 => Fault::Deregister { at: element, again_after: maybe },
            13 => Fault::ChangeLoad { at: element, load: small(random, 100) },
            14 => Fault::LeaveRegistrar { at, restart_after: restart_after.max(4_000), new_id },
            _ => Fault::Join,
        }
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    census: Census,
    followups: Vec<(Duration, Followup)>,
    /// For registrars that start again with another one.
    next_id: u32,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut census = Census::new(World::new(scenario.options.clone()), scenario.setting);
        let numbers: Vec<u8> = (1..=scenario.registrars).collect();
        for &number in &numbers {
            census.add_registrar(number, &numbers);
        }
        for _ in 0..scenario.elements {
            census.add_element(&numbers);
        }
        for number in 1..=scenario.users {
            census.add_user(number, &numbers);
        }
        Self { scenario, census, followups: Vec::new(), next_id: 0x100 }
    }

    /// Lets everything go wrong.
    fn play(&mut self) -> Result<(), Violation> {
        let mut faults = self.scenario.faults.iter().peekable();
        while self.census.world.elapsed() < milliseconds(END) || !self.followups.is_empty() {
            let now = self.census.world.elapsed();
            while let Some((_, fault)) = faults.next_if(|(at, _)| milliseconds(*at) <= now) {
                self.strike(*fault);
            }
            let due;
            (due, self.followups) = self.followups.drain(..).partition(|(at, _)| *at <= now);
            due.into_iter().for_each(|(_, followup)| self.follow(followup));
            self.census.tick(TICK)?;
        }
        Ok(())
    }

    /// Lets everything come to rest and compares.
    fn rest(&mut self) -> Result<(), Violation> {
        let until = self.census.world.elapsed() + PATIENCE;
        while self.census.world.elapsed() < until {
            self.census.tick(TICK)?;
        }
        self.census.at_rest()
    }

    fn later(&mut self, after: u64, followup: Followup) {
        self.followups.push((self.census.world.elapsed() + milliseconds(after), followup));
    }

    fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::KillRegistrar { at, restart_after, new_id } => {
                let node = self.census.registrars[at].node;
                if self.census.world.is_alive(node) {
                    self.census.world.kill(node);
                    self.later(restart_after, Followup::RestartRegistrar { at, new_id });
                }
            }
            Fault::PowerOffRegistrar { at, restart_after, new_id } => {
                let node = self.census.registrars[at].node;
                if self.census.world.is_alive(node) {
                    self.census.world.power_off(node);
                    self.later(restart_after, Followup::RestartRegistrar { at, new_id });
                }
            }
            Fault::LeaveRegistrar { at, restart_after, new_id } => {
                let node = self.census.registrars[at].node;
                if self.census.world.is_running(node) {
                    self.census.world.with_registrar(node, Registrar::leave);
                    self.census.disturb(node);
                    self.later(3_900, Followup::Kill(node));
                    self.later(restart_after, Followup::RestartRegistrar { at, new_id });
                }
            }
            Fault::FreezeRegistrar { at, time } => self.freeze(self.census.registrars[at].node, time),
            Fault::FreezeElement { at, time } => self.freeze(self.census.elements[at].node, time),
            Fault::Cut { one, other, time } => {
                let [one, other] = [one, other].map(|at| self.census.registrars[at].node);
                self.census.world.cut(one, other, milliseconds(time));
            }
            Fault::CutElement { element, registrar, time } => {
                let (one, other) =
                    (self.census.elements[element].node, self.census.registrars[registrar].node);
                self.census.world.cut(one, other, milliseconds(time));
            }
            Fault::Part { mask, time } => {
                let nodes = self.census.nodes().into_iter().enumerate();
                let (one, other): (Vec<_>, Vec<_>) = nodes.partition(|(at, _)| mask >> (at % 16) & 1 == 1);
                let [one, other] =
                    [one, other].map(|side| side.into_iter().map(|(_, n)| n).collect::<Vec<_>>());
                self.census.world.part(&one, &other, milliseconds(time));
            }
            Fault::KillElement { at, restart_after } => self.end_element(at, restart_after, World::kill),
            Fault::PowerOffElement { at, restart_after } => {
                self.end_element(at, restart_after, World::power_off);
            }
            Fault::Deregister { at, again_after } => {
                let node = self.census.elements[at].node;
                if self.census.world.is_running(node) {
                    self.census.want(at, false);
                    self.census.world.with_element(node, PoolElement::deregister);
                    if let Some(after) = again_after {
                        self.later(after, Followup::Register(at));
                    }
                }
            }
            Fault::ChangeLoad { at, load } => {
                let node = self.census.elements[at].node;
                if self.census.world.is_running(node) {
                    let policy = Policy::LeastUsed { load: Load::of(u64::from(load), 100) };
                    self.census.world.with_element(node, |element, now| element.set_policy(now, policy));
                }
            }
            Fault::Join => {
                let numbers: Vec<u8> = (1..=self.scenario.registrars).collect();
                self.census.add_element(&numbers);
            }
        }
    }

    fn freeze(&mut self, node: Node, time: u64) {
        if self.census.world.is_running(node) {
            self.census.world.freeze(node);
            self.later(time, Followup::Thaw(node));
        }
    }

    fn end_element(&mut self, at: usize, restart_after: Option<u64>, end: fn(&mut World, Node)) {
        let node = self.census.elements[at].node;
        if self.census.world.is_alive(node) {
            end(&mut self.census.world, node);
            if let Some(after) = restart_after {
                self.later(after, Followup::RestartElement(at));
            }
        }
    }

    fn follow(&mut self, followup: Followup) {
        match followup {
            Followup::RestartRegistrar { at, new_id } => {
                let number = new_id.then_some(self.next_id);
                self.next_id += 1;
                self.census.restart_registrar(at, number);
            }
            Followup::Thaw(node) => self.census.world.thaw(node),
            Followup::Kill(node) => {
                if self.census.world.is_alive(node) {
                    self.census.world.kill(node);
                }
            }
            Followup::RestartElement(at) => self.census.restart_element(at),
            Followup::Register(at) => {
                let node = self.census.elements[at].node;
                if self.census.world.is_running(node) {
                    self.census.want(at, true);
                    self.census.world.with_element(node, PoolElement::register);
                }
            }
        }
    }
}
