//! Whether another collector serves better than the one in use, and when to move there.
//!
//! Two reasons: with a policy that has loads, another element's load is lower by a fifth of full; with any other one, an
//! element joins a pool of so many, and each exporter moves there with the chance that makes shares even.
//!
//! Nobody flaps, and not all move at once: the first move is 60 to 120 s after the last change of collector, and between
//! the first look and the second, which must say the same, are 10 to 70 s at random. With loads the second look is an
//! answer of the registrar from then, so that whoever moves first shows in it. A collector that was left for a better one
//! is not moved to again for an hour: where the exporter takes its load along, the other one looks better at once.
//!
//! Timers: those, and a look every 30 to 40 s where there are loads, which registrars do not push.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rserpool::{Load, Member, PeId, Random};

/// From one change of collector to the next move: so long, and up to as long again.
const STAY: Duration = Duration::from_secs(60);
/// From the first look to the second: so long, and up to [`SPREAD`] more.
const SECOND_LOOK: Duration = Duration::from_secs(10);
const SPREAD: Duration = Duration::from_secs(60);
/// From one look to the next: so long, and up to a third more.
const LOOK: Duration = Duration::from_secs(30);
/// A load lower by less is none to move for.
const DIFFERENCE: Load = Load(Load::FULL.0 / 5);
/// An element that was left for a better one is not moved to again for so long: its load may have come along.
const NO_RETURN: Duration = Duration::from_secs(3_600);
/// An element that was away for longer joins when it comes back.
const AWAY: Duration = Duration::from_secs(60);

/// What the first look found.
#[derive(Clone, Copy, Debug)]
struct Proposal {
    pe: PeId,
    /// When to look again.
    at: Instant,
    by_load: bool,
}

#[derive(Debug)]
pub(super) struct Rebalance {
    random: Random,
    earliest: Option<Instant>,
    proposal: Option<Proposal>,
    /// Elements that were usable, and since when they are not.
    known: BTreeMap<PeId, Option<Instant>>,
    /// Elements left for better ones, and until when they are not moved to again.
    left_until: BTreeMap<PeId, Instant>,
    look_at: Option<Instant>,
    news: u64,
}

impl Rebalance {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            earliest: None,
            proposal: None,
            known: BTreeMap::new(),
            left_until: BTreeMap::new(),
            look_at: None,
            news: 0,
        }
    }

    /// Another collector is in use.
    pub(super) fn moved(&mut self, now: Instant) {
        self.earliest = Some(now + STAY + self.up_to(STAY));
        self.proposal = None;
    }

    /// The element is left for a better one.
    pub(super) fn left(&mut self, now: Instant, pe: PeId) {
        self.left_until.retain(|_, until| now < *until);
        self.left_until.insert(pe, now + NO_RETURN);
    }

    /// The element failed: when it is back, it joins.
    pub(super) fn forget(&mut self, pe: PeId) {
        self.known.remove(&pe);
    }

    /// Takes in who is there. Who was not before joins, unless the collector in use is not listed either: then it is the
    /// registrar that has begun anew.
    pub(super) fn observe(&mut self, now: Instant, active: PeId, members: &[Member]) {
        if !members.iter().any(|member| member.pe == active) {
            return;
        }
        let is_first = self.known.is_empty();
        self.known.retain(|_, gone| gone.is_none_or(|since| now.saturating_duration_since(since) < AWAY));
        let usable = |pe: PeId| members.iter().any(|member| member.pe == pe && member.usable);
        for (_, gone) in self.known.iter_mut().filter(|(pe, _)| !usable(**pe)) {
            gone.get_or_insert(now);
        }
        for member in members.iter().filter(|member| member.usable) {
            let joins = self.known.insert(member.pe, None).is_none() && !is_first;
            if joins && member.policy.load().is_none() && self.proposal.is_none() && member.pe != active {
                self.invite(now, member.pe, members.len() as u64);
            }
        }
    }

    /// One of `members` moves to the element that joins.
    fn invite(&mut self, now: Instant, pe: PeId, members: u64) {
        if self.random.next_u64().is_multiple_of(members) {
            let at = self.second_look(now);
            self.proposal = Some(Proposal { pe, at, by_load: false });
        }
    }

    /// Returns when [`Rebalance::is_look_due`] and [`Rebalance::decide`] are to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let joined = self.proposal.filter(|proposal| !proposal.by_load).map(|proposal| proposal.at);
        [self.look_at, joined].into_iter().flatten().min()
    }

    /// Tells whether the registrar is to be asked for loads; counts as asked then.
    pub(super) fn is_look_due(&mut self, now: Instant, members: &[Member]) -> bool {
        if members.iter().all(|member| member.policy.load().is_none()) {
            self.look_at = None;
            return false;
        }
        let is_due = self.look_at.is_some_and(|at| at <= now);
        if is_due || self.look_at.is_none() {
            self.look_at = Some(now + LOOK + self.up_to(LOOK / 3));
        }
        is_due
    }

    /// Returns the element to move to, if it is time. `news` counts the answers of registrars; `usable` are the elements
    /// to choose from.
    pub(super) fn decide(
        &mut self,
        now: Instant,
        news: Option<u64>,
        active: PeId,
        members: &[Member],
        usable: &[PeId],
    ) -> Option<PeId> {
        let is_open = |pe: PeId| self.left_until.get(&pe).is_none_or(|until| *until <= now);
        let usable: Vec<PeId> = usable.iter().copied().filter(|&pe| is_open(pe)).collect();
        let is_answer = news.is_some_and(|news| std::mem::replace(&mut self.news, news) != news);
        match self.proposal {
            Some(Proposal { pe, at, by_load: false }) => {
                if now < at {
                    return None;
                }
                self.proposal = None;
                usable.contains(&pe).then_some(pe)
            }
            _ if !is_answer => None,
            Some(Proposal { at, .. }) => {
                let lighter = lighter(active, members, &usable);
                if lighter.is_none() || now >= at {
                    self.proposal = None;
                }
                lighter.filter(|_| now >= at)
            }
            None => {
                let pe = lighter(active, members, &usable)?;
                let at = self.second_look(now);
                self.look_at = Some(at);
                self.proposal = Some(Proposal { pe, at, by_load: true });
                None
            }
        }
    }

    fn second_look(&mut self, now: Instant) -> Instant {
        let soon = now + SECOND_LOOK;
        self.earliest.map_or(soon, |earliest| earliest.max(soon)) + self.up_to(SPREAD)
    }

    /// Returns a time below `most`.
    fn up_to(&mut self, most: Duration) -> Duration {
        let share = u32::try_from(self.random.next_u64() >> 32).unwrap_or(0);
        most.mul_f64(f64::from(share) / f64::from(u32::MAX))
    }
}

/// Returns the usable element with the lowest load, if that is low enough beside the load of the one in use.
fn lighter(active: PeId, members: &[Member], usable: &[PeId]) -> Option<PeId> {
    let load = |member: &Member| member.policy.load();
    let own = members.iter().find(|member| member.pe == active).and_then(load)?;
    let others = members.iter().filter(|member| member.pe != active && usable.contains(&member.pe));
    let (least, pe) = others.filter_map(|member| Some((load(member)?, member.pe))).min()?;
    (least.0.saturating_add(DIFFERENCE.0) <= own.0).then_some(pe)
}
