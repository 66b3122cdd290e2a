//! Who is killed, frozen or stopped, and when: drawn from a seed.
//!
//! Every role is drawn from numbers of its own, so that the collectors' outages are the same whether exporters are killed
//! or not. An outage begins only where another process of the role works, but for some: then nobody does for a few
//! seconds.

use std::fmt;
use std::time::Duration;

use simnet::Random;

/// The pool has had time to form by then.
const FIRST: Duration = Duration::from_millis(1_500);
/// How long nobody of a role works, at most.
const LONGEST_ALONE: Duration = Duration::from_millis(3_000);
/// Of 100 outages that would leave nobody, so many are drawn.
const ALONE_PERCENT: u64 = 25;

/// What a process is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// A registrar.
    Registrar,
    /// A collector.
    Collector,
    /// An exporter.
    Exporter,
}

/// One process of the pool.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Target {
    /// What it is.
    pub role: Role,
    /// Which of its role, from 0.
    pub index: u8,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self.role {
            Role::Registrar => crate::stage::registrar_name(self.index).to_owned(),
            Role::Collector => crate::stage::collector_name(self.index),
            Role::Exporter => crate::stage::exporter_name(self.index).to_owned(),
        })
    }
}

/// What is done to a process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// SIGKILL, and a new start at the end.
    Killed,
    /// SIGSTOP, and SIGCONT at the end.
    Frozen,
    /// SIGTERM, and a new start at the end, or once it has ended.
    Stopped,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::Stopped => "stopped",
        })
    }
}

/// A time in which a process does not work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outage {
    /// Whose.
    pub target: Target,
    /// How.
    pub kind: Kind,
    /// From the start of the exporters.
    pub begin: Duration,
    /// From the start of the exporters.
    pub end: Duration,
    /// Nobody else of the role worked when it began.
    pub alone: bool,
}

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The same seed draws the same schedule.
    pub seed: u64,
    /// All outages are over by then.
    pub length: Duration,
    /// How many processes there are, by role.
    pub registrars: u8,
    /// Collectors.
    pub collectors: u8,
    /// Exporters.
    pub exporters: u8,
    /// Whether exporters are killed: they must keep their records on disk.
    pub exporters_die: bool,
    /// In place of all that: so many restarts of collectors, as long as they take.
    pub restarts: Option<usize>,
}

/// How the outages of one role are drawn.
struct Habits {
    role: Role,
    count: u8,
    kinds: &'static [Kind],
    /// From the begin of one outage to the next one's.
    gap: (Duration, Duration),
    /// From the end of an outage until the process counts as working.
    recovery: Duration,
    /// An outage takes no longer.
    longest: Duration,
    /// Whether somebody of the role must work.
    needed: bool,
}

/// Draws the outages, ordered by their begin.
pub fn draw(settings: &Settings) -> Vec<Outage> {
    const MS: fn(u64) -> Duration = Duration::from_millis;
    let all: &[Kind] = &[Kind::Killed, Kind::Killed, Kind::Frozen, Kind::Stopped];
    let dying: &[Kind] = &[Kind::Frozen, Kind::Killed];
    if let Some(restarts) = settings.restarts {
        let habits = Habits {
            role: Role::Collector,
            count: settings.collectors,
            kinds: &[Kind::Killed, Kind::Stopped],
            gap: (MS(200), MS(1_000)),
            recovery: MS(700),
            longest: MS(900),
            needed: true,
        };
        return draw_role(settings.seed, Duration::MAX, restarts, &habits);
    }
    let habits = [
        Habits {
            role: Role::Registrar,
            count: settings.registrars,
            kinds: all,
            gap: (MS(2_000), MS(7_000)),
            recovery: MS(2_000),
            longest: Duration::MAX,
            needed: true,
        },
        Habits {
            role: Role::Collector,
            count: settings.collectors,
            kinds: all,
            gap: (MS(600), MS(3_500)),
            recovery: MS(1_500),
            longest: Duration::MAX,
            needed: true,
        },
        Habits {
            role: Role::Exporter,
            count: settings.exporters,
            kinds: if settings.exporters_die { dying } else { &[Kind::Frozen] },
            gap: (MS(5_000), MS(12_000)),
            recovery: MS(500),
            longest: Duration::MAX,
            needed: false,
        },
    ];
    let roles = habits.iter().map(|habits| draw_role(settings.seed, settings.length, usize::MAX, habits));
    let mut outages: Vec<Outage> = roles.flatten().collect();
    outages.sort_by_key(|outage| (outage.begin, outage.target));
    outages
}

/// Draws the outages of a role, `most` at most.
fn draw_role(seed: u64, length: Duration, most: usize, habits: &Habits) -> Vec<Outage> {
    let mut random = Random::new(seed.wrapping_mul(3).wrapping_add(habits.role as u64));
    let mut works_from = vec![Duration::ZERO; habits.count.into()];
    let mut outages = Vec::new();
    let mut begin = FIRST + random.between(Duration::ZERO, habits.gap.1 / 2);
    while begin < length && outages.len() < most {
        // All is drawn whether it is used or not, so that one outage more or less does not change the others' kinds.
        let (pick, kind) = (random.bits(), habits.kinds[index(&mut random, habits.kinds.len())]);
        let wanted = duration(&mut random, kind).min(habits.longest);
        let (dares, shorter) =
            (random.chance(ALONE_PERCENT), random.between(Duration::from_millis(500), LONGEST_ALONE));
        let next = begin + random.between(habits.gap.0, habits.gap.1);
        let working: Vec<u8> =
            (0..habits.count).filter(|one| works_from[usize::from(*one)] <= begin).collect();
        let alone = habits.needed && working.len() == 1;
        if !working.is_empty() && (dares || !alone) {
            let victim = working[usize::try_from(pick % working.len() as u64).unwrap_or(0)];
            let wanted = if alone { wanted.min(shorter) } else { wanted };
            let end = (begin + wanted).min(length);
            works_from[usize::from(victim)] = end + habits.recovery;
            let target = Target { role: habits.role, index: victim };
            outages.push(Outage { target, kind, begin, end, alone });
        }
        begin = next;
    }
    outages
}

fn index(random: &mut Random, length: usize) -> usize {
    usize::try_from(random.below(length as u64)).unwrap_or(0)
}

fn duration(random: &mut Random, kind: Kind) -> Duration {
    let milliseconds = Duration::from_millis;
    match kind {
        Kind::Killed => random.between(milliseconds(300), milliseconds(4_000)),
        Kind::Frozen => random.between(milliseconds(500), milliseconds(8_000)),
        Kind::Stopped => random.between(milliseconds(500), milliseconds(5_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(seed: u64) -> Settings {
        let length = Duration::from_secs(60);
        Settings {
            seed,
            length,
            registrars: 2,
            collectors: 3,
            exporters: 2,
            exporters_die: false,
            restarts: None,
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_schedule() {
        assert_eq!(draw(&settings(7)), draw(&settings(7)));
        assert_ne!(draw(&settings(7)), draw(&settings(8)));
    }

    #[test]
    fn the_schedule_of_a_seed_does_not_change() {
        let text: Vec<String> = draw(&Settings { length: Duration::from_secs(20), ..settings(1) })
            .iter()
            .map(|outage| {
                let Outage { target, kind, begin, end, alone } = outage;
                format!("{target} {kind} {} {} {alone}", begin.as_millis(), end.as_millis())
            })
            .collect();
        assert_eq!(
            text,
            [
                "registrar-2 killed 2139 2924 false",
                "collector-b stopped 2353 7033 false",
                "collector-a killed 5268 7071 false",
                "exporter frozen 5858 13659 false",
                "registrar frozen 7369 9306 false",
                "collector-b killed 10776 12903 false",
                "collector-c frozen 13732 16869 false",
                "registrar-2 frozen 15108 19505 false",
                "collector-b killed 16104 18929 false",
                "exporter-2 frozen 16899 20000 false",
                "collector-c killed 18938 20000 false",
            ]
        );
    }

    #[test]
    fn so_many_restarts_are_drawn_as_are_wanted_and_of_collectors_alone() {
        let outages = draw(&Settings { restarts: Some(100), ..settings(5) });
        assert_eq!(outages.len(), 100);
        assert!(outages.iter().all(|outage| outage.target.role == Role::Collector));
        assert!(outages.iter().all(|outage| outage.kind != Kind::Frozen));
        assert!(outages[99].end < Duration::from_secs(180), "{:?}", outages[99]);
    }

    #[test]
    fn a_process_has_one_outage_at_a_time_and_none_at_the_end() {
        for seed in 0..200 {
            let outages = draw(&settings(seed));
            assert!(outages.len() > 20, "seed {seed}: {} outages", outages.len());
            for (at, outage) in outages.iter().enumerate() {
                assert!(outage.begin < outage.end && outage.end <= Duration::from_secs(60));
                let next = outages[at + 1..].iter().find(|next| next.target == outage.target);
                assert!(next.is_none_or(|next| next.begin > outage.end), "seed {seed}: {outage:?} {next:?}");
            }
        }
    }

    #[test]
    fn a_collector_and_a_registrar_work_but_for_the_times_marked() {
        let (mut alone, mut frozen, mut killed, mut stopped) = (0, 0, 0, 0);
        for seed in 0..200 {
            let outages = draw(&settings(seed));
            for outage in &outages {
                let role = outage.target.role;
                let count = match role {
                    Role::Registrar => 2,
                    Role::Collector => 3,
                    Role::Exporter => continue,
                };
                let down = outages.iter().filter(|other| {
                    other.target.role == role && other.begin <= outage.begin && outage.begin < other.end
                });
                assert!(down.count() < count || outage.alone, "seed {seed}: {outage:?}");
                assert!(!outage.alone || outage.end - outage.begin <= LONGEST_ALONE);
                alone += u32::from(outage.alone);
                frozen += u32::from(outage.kind == Kind::Frozen);
                killed += u32::from(outage.kind == Kind::Killed);
                stopped += u32::from(outage.kind == Kind::Stopped);
            }
        }
        assert!([alone, frozen, killed, stopped].iter().all(|count| *count > 200));
    }

    #[test]
    fn exporters_are_killed_only_where_they_keep_records_on_disk() {
        let killed = |exporters_die| {
            let outages = draw(&Settings { exporters_die, ..settings(3) });
            let of_exporters = |outage: &&Outage| outage.target.role == Role::Exporter;
            outages.iter().filter(of_exporters).filter(|outage| outage.kind == Kind::Killed).count()
        };
        assert_eq!(killed(false), 0);
        assert!(killed(true) > 0);
        let others = |exporters_die| -> Vec<Outage> {
            let outages = draw(&Settings { exporters_die, ..settings(3) });
            outages.into_iter().filter(|outage| outage.target.role != Role::Exporter).collect()
        };
        assert_eq!(others(false), others(true));
    }
}
