//! Which collector is used, and which stands by (RFC 5352 section 3.3; RFC 7011 section 10.2.5).
//!
//! Sans-IO. The driver tells what happened to collectors and what the pool user knows; [`Choice::poll_output`] says what
//! to do. Every collector that is connected stands by first, and is promoted from there:
//!
//! * The one in use is *lost* or frozen: the standby is promoted at once, without any handshake.
//! * It *drains*, or another serves better: make before break. Another collector is connected first, then nothing more is
//!   sent to the old one, and when it has everything (for some seconds at most) the other one goes on and the old
//!   association is closed. So nothing is sent twice. Without another one, the old one is used for as long as it lasts.
//! * It makes *no progress*: it is left only for a collector that is not known to be slow, and only once in a
//!   while. If storage stalls for all of them, each exporter stays where it is after one look at each.
//!
//! One that is promoted in another's place may have been gone for longer than anybody knows. Until its first cookie it is
//! left as soon as it is *quiet* and the one that stands by is not: who is silent for a while then need not be waited for.
//!
//! The pool user's quarantine keeps failed elements out; here is no list of its own but of the slow ones.
//!
//! Timers: 5 s for what is on its way to a collector that is left, 2 s while none of it gets on disk; 30 s between two moves for want of progress; 10 min
//! for which a collector counts as slow; 1 s (without a collector) or 30 s until the pool is asked for another one again, if
//! nothing changes there; 50 ms between two looks at whether a collector just promoted is quiet, for 5 s. Those of moves to
//! better collectors: `rebalance.rs`; of the search: `seek.rs`.

mod rebalance;
mod seek;
mod slow;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use delivery::cookie::State;
use rserpool::{Member, PeId};

use super::Sign;
use rebalance::Rebalance;
use seek::Seek;
use slow::Slow;

/// What is on its way to a collector that is left is waited for so long at most.
const SETTLE: Duration = Duration::from_secs(5);
/// And so long without any of it getting on disk, which may be full.
const SETTLE_WITHOUT_PROGRESS: Duration = Duration::from_secs(2);
/// From one move for want of progress to the next one.
const BETWEEN_SLOW_MOVES: Duration = Duration::from_secs(30);
/// Whether a collector just promoted is quiet is looked at so often,
const LOOK: Duration = Duration::from_millis(50);
/// for so long, and until it has sent a cookie.
const DOUBT: Duration = Duration::from_secs(5);

/// What does not change while the exporter runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChoiceConfig {
    /// Whether a second collector stands by.
    pub standby: bool,
    /// Whether the exporter moves to collectors that serve better.
    pub rebalance: bool,
}

/// What a connected collector is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It gets the records.
    Active,
    /// It has the templates.
    Standby,
}

/// What the driver is to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Asks the pool user for an element, other than these, and connects to it.
    Seek {
        /// Elements that are not wanted.
        except: Vec<PeId>,
    },
    /// Connects to this element.
    SeekElement(PeId),
    /// The collector connected last stands by.
    Admit,
    /// Nothing more is sent to the active collector but what is packed; [`Choice::handle_settled`] awaits its end.
    Pause,
    /// The active collector gets records again.
    Resume,
    /// Ends the association with the collector of this role.
    Leave {
        /// Which one.
        role: Role,
        /// Why.
        sign: Sign,
    },
    /// The standby becomes the active one.
    Promote,
    /// Asks the registrar about the pool.
    Resolve,
}

/// A connected collector.
#[derive(Clone, Copy, Debug)]
struct Link {
    pe: PeId,
    acknowledges: bool,
    /// It was not heard when it should have been.
    quiet: bool,
}

/// The active collector has not shown that it serves.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    next_look: Instant,
    until: Instant,
}

/// The way from one collector to another, while the first still lives.
#[derive(Clone, Copy, Debug)]
struct Move {
    sign: Sign,
    /// Whereto, if only one will do.
    target: Option<PeId>,
    settling: Option<Settling>,
}

/// Everything sent is awaited.
#[derive(Clone, Copy, Debug)]
struct Settling {
    until: Instant,
    /// Progress puts it off so far.
    limit: Instant,
}

/// Decides which collector is used.
#[derive(Debug)]
pub struct Choice {
    config: ChoiceConfig,
    active: Option<Link>,
    standby: Option<Link>,
    doubt: Option<Doubt>,
    seek: Seek,
    moving: Option<Move>,
    members: Vec<Member>,
    slow: Slow,
    next_slow_move: Option<Instant>,
    rebalance: Rebalance,
    outputs: VecDeque<Output>,
}

impl Choice {
    /// Returns the machine without any collector; it looks for one at once. `seed` decides its jitter.
    pub fn new(config: ChoiceConfig, seed: u64) -> Self {
        let mut choice = Self {
            config,
            active: None,
            standby: None,
            doubt: None,
            seek: Seek::No,
            moving: None,
            members: Vec::new(),
            slow: Slow::default(),
            next_slow_move: None,
            rebalance: Rebalance::new(seed),
            outputs: VecDeque::new(),
        };
        choice.ask(Vec::new());
        choice
    }

    /// Returns what to do next, until there is nothing more.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Tells whether the active collector is about to be left.
    pub const fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Tells whether [`Choice::handle_settled`] is awaited.
    pub fn is_settling(&self) -> bool {
        self.moving.is_some_and(|moving| moving.settling.is_some())
    }

    /// Tells whether the active collector has not shown yet that it serves: [`Choice::handle_quiet`] is awaited.
    pub const fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// Returns when to call [`Choice::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let seek = match &self.seek {
            Seek::Waiting { until, .. } => Some(*until),
            Seek::Running(attempts) if self.is_pressed() => attempts.due(),
            Seek::No | Seek::Running(_) => None,
        };
        let look = self.doubt.map(|doubt| doubt.next_look);
        let settling = self.moving.and_then(|moving| moving.settling).map(|settling| settling.until);
        let rebalance = if self.may_rebalance() { self.rebalance.poll_timeout() } else { None };
        [seek, look, settling, rebalance].into_iter().flatten().min()
    }

    /// Fires what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(Move { sign, settling: Some(settling), .. }) = self.moving
            && settling.until <= now
        {
            if sign == Sign::Rebalance {
                // It need not be, and would send records twice.
                self.unsettle();
            } else {
                self.finish_move(now);
            }
        }
        if matches!(self.seek, Seek::Waiting { until, .. } if until <= now) {
            self.seek = Seek::No;
        }
        self.doubt = self.doubt.filter(|doubt| now < doubt.until);
        if let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.next_look <= now) {
            doubt.next_look = now + LOOK;
        }
        self.consider_rebalance(now, None);
        self.pursue(now);
    }

    /// The pool user knows of these elements; `news` counts the answers of registrars.
    pub fn handle_pool(&mut self, now: Instant, news: u64, members: &[Member]) {
        self.members = members.to_vec();
        if let Seek::Waiting { usable, .. } = &self.seek
            && (self.active.is_none() || *usable != self.usable())
        {
            self.seek = Seek::No;
        }
        if let Seek::Running(attempts) = &mut self.seek {
            attempts.renew(now);
        }
        if let Some(active) = self.active.filter(|_| self.config.rebalance) {
            self.rebalance.observe(now, active.pe, &self.members);
        }
        self.consider_rebalance(now, Some(news));
        self.pursue(now);
    }

    /// A collector shows a sign of loss, or cannot be used.
    pub fn handle_sign(&mut self, now: Instant, role: Role, sign: Sign) {
        if !self.is_seeking() {
            self.seek = Seek::No;
        }
        match (role, sign) {
            (Role::Active, Sign::Slow) => self.begin_slow_move(now),
            (Role::Active, Sign::Draining) => self.begin_move(Sign::Draining, None),
            // Whoever drains may say no more.
            (Role::Active, Sign::Frozen)
                if matches!(self.moving, Some(Move { sign: Sign::Draining, settling: Some(_), .. })) =>
            {
                self.finish_move(now);
            }
            (Role::Active, sign) => {
                self.lose_active(sign);
            }
            (Role::Standby, sign) => {
                if let Some(link) = self.standby.take() {
                    self.rebalance.forget(link.pe);
                    self.unsettle();
                    self.leave(role, sign);
                }
            }
        }
        self.pursue(now);
    }

    /// Tells whether a collector was not heard for longer than it should be, as far as the transport knows; while
    /// [`Choice::is_in_doubt`], at every time-out.
    pub fn handle_quiet(&mut self, now: Instant, role: Role, quiet: bool) {
        let link = match role {
            Role::Active => &mut self.active,
            Role::Standby => &mut self.standby,
        };
        if let Some(link) = link.as_mut().filter(|link| link.quiet != quiet) {
            link.quiet = quiet;
            self.pursue(now);
        }
    }

    /// A collector's cookie was believed; `covered`: some records are on its disk since.
    pub fn handle_cookie(&mut self, now: Instant, role: Role, state: State, covered: bool) {
        let link = match role {
            Role::Active => self.active,
            Role::Standby => self.standby,
        };
        let Some(Link { pe, .. }) = link else { return };
        if role == Role::Active {
            self.doubt = None;
        }
        if let Some(Move { settling: Some(settling), .. }) = self.moving.as_mut().filter(|_| covered) {
            settling.until = settling.limit.min(now + SETTLE_WITHOUT_PROGRESS);
        }
        match state {
            State::Draining => return self.handle_sign(now, role, Sign::Draining),
            State::Slow if !covered => self.slow.note(now, pe, false),
            State::Ok if !covered && (role == Role::Active || self.slow.is_found(pe)) => {}
            State::Slow | State::Ok => {
                self.slow.forget(pe);
                if role == Role::Active && self.moving.is_some_and(|moving| moving.sign == Sign::Slow) {
                    self.moving = None;
                }
            }
        }
        self.pursue(now);
    }

    /// The active collector has everything that was sent to it.
    pub fn handle_settled(&mut self, now: Instant) {
        if self.is_settling() {
            self.finish_move(now);
            self.pursue(now);
        }
    }

    fn lose_active(&mut self, sign: Sign) {
        if let Some(link) = self.active.take() {
            self.rebalance.forget(link.pe);
            self.moving = None;
            self.leave(Role::Active, sign);
        }
    }

    fn begin_slow_move(&mut self, now: Instant) {
        let Some(active) = self.active else { return };
        self.slow.note(now, active.pe, true);
        let too_soon = self.next_slow_move.is_some_and(|next| now < next);
        if !too_soon && self.members.iter().any(|member| member.usable && !self.slow.has(now, member.pe)) {
            self.begin_move(Sign::Slow, None);
        }
    }

    /// A move that is under way goes on, but for one out of better reasons.
    fn begin_move(&mut self, sign: Sign, target: Option<PeId>) {
        let settling = match self.moving {
            Some(moving) if moving.sign == Sign::Draining => return,
            Some(moving) => moving.settling,
            None => None,
        };
        self.moving = Some(Move { sign, target, settling });
    }

    /// Ends a move that need not be.
    fn give_up_choosy_move(&mut self) {
        if self.moving.is_some_and(|moving| moving.sign != Sign::Draining && moving.settling.is_none()) {
            self.moving = None;
        }
    }

    /// The collector to move to is lost: the active one is used on, until there is another if it drains.
    fn unsettle(&mut self) {
        if let Some(moving) = self.moving.filter(|moving| moving.settling.is_some()) {
            self.moving = Some(Move { settling: None, ..moving });
            self.outputs.push_back(Output::Resume);
            self.give_up_choosy_move();
        }
    }

    /// Does what is to be done next with the collectors there are.
    fn pursue(&mut self, now: Instant) {
        if self.is_quiet() && self.standby.is_some_and(|standby| !standby.quiet) {
            self.lose_active(Sign::Lost);
        }
        if self.active.is_none() && self.standby.is_some() {
            self.promote(now);
        }
        if let Some(moving) = self.moving.filter(|moving| moving.settling.is_none())
            && self.standby.is_some_and(|standby| self.will_do(now, moving, standby.pe))
        {
            if moving.sign == Sign::Slow {
                self.finish_move(now);
            } else {
                let settling = Settling { until: now + SETTLE_WITHOUT_PROGRESS, limit: now + SETTLE };
                self.moving = Some(Move { settling: Some(settling), ..moving });
                self.outputs.push_back(Output::Pause);
            }
        }
        let is_wanted = self.config.standby || self.moving.is_some();
        if !is_wanted && self.standby.take().is_some() {
            self.leave(Role::Standby, Sign::Rebalance);
        }
        if self.seek == Seek::No {
            self.seek(now);
        }
        self.seek_beside(now);
    }

    /// Tells whether the active collector has not shown that it serves, and is not heard.
    fn is_quiet(&self) -> bool {
        self.doubt.is_some() && self.active.is_some_and(|active| active.quiet)
    }

    /// Tells whether nobody takes records.
    fn is_pressed(&self) -> bool {
        self.active.is_none() || self.is_quiet()
    }

    const fn is_seeking(&self) -> bool {
        matches!(self.seek, Seek::Running(_))
    }

    /// Tells whether a collector is one to move to.
    fn will_do(&self, now: Instant, moving: Move, pe: PeId) -> bool {
        moving.target.is_none_or(|target| target == pe)
            && !(moving.sign == Sign::Slow && self.slow.has(now, pe))
    }

    fn leave(&mut self, role: Role, sign: Sign) {
        self.outputs.push_back(Output::Leave { role, sign });
    }

    fn promote(&mut self, now: Instant) {
        self.active = self.standby.take();
        let acknowledges = self.active.is_some_and(|active| active.acknowledges);
        self.doubt = acknowledges.then_some(Doubt { next_look: now, until: now + DOUBT });
        self.rebalance.moved(now);
        self.outputs.push_back(Output::Promote);
    }

    /// Leaves the active collector for the one that stands by.
    fn finish_move(&mut self, now: Instant) {
        let Some(Move { sign, .. }) = self.moving.take() else { return };
        match (sign, self.active) {
            (Sign::Slow, _) => self.next_slow_move = Some(now + BETWEEN_SLOW_MOVES),
            (Sign::Rebalance, Some(active)) => self.rebalance.left(now, active.pe),
            _ => {}
        }
        self.leave(Role::Active, sign);
        self.promote(now);
    }

    /// Tells whether a move to a better collector may begin. One without cookies cannot tell when everything has arrived.
    fn may_rebalance(&self) -> bool {
        let active = self.active.is_some_and(|active| active.acknowledges);
        self.config.rebalance && active && self.moving.is_none() && !self.is_seeking()
    }

    fn consider_rebalance(&mut self, now: Instant, news: Option<u64>) {
        let Some(active) = self.active.filter(|_| self.may_rebalance()) else { return };
        if self.rebalance.is_look_due(now, &self.members) {
            self.outputs.push_back(Output::Resolve);
        }
        let usable: Vec<PeId> = self.usable().into_iter().filter(|&pe| !self.slow.has(now, pe)).collect();
        if let Some(target) = self.rebalance.decide(now, news, active.pe, &self.members, &usable) {
            self.begin_move(Sign::Rebalance, Some(target));
        }
    }

    fn usable(&self) -> Vec<PeId> {
        self.members.iter().filter(|member| member.usable).map(|member| member.pe).collect()
    }
}
