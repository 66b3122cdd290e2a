//! The search for the next collector: elements are asked for and connected to, one at a time, or, while records wait for
//! a collector, side by side.
//!
//! Timers: 1 s (without a collector) or 30 s until the pool is asked again, if nothing changes there; 250 ms from one attempt to the next, whose predecessors are still awaited (RFC 8305 section 5, there for the
//! addresses of one host). The first collector that is connected ends the search.

use std::time::{Duration, Instant};

use rserpool::PeId;

use super::{Choice, Link, Move, Output, Role, Sign};

/// When to ask the pool for an element again, without any collector.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The same for one to stand by, or to move to.
const ASK_FOR_STANDBY_AGAIN: Duration = Duration::from_secs(30);
/// From one attempt to the next beside it.
const STAGGER: Duration = Duration::from_millis(250);
/// So many are awaited at once.
const MAX_ATTEMPTS: usize = 3;

/// Where the search is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Seek {
    No,
    Running(Attempts),
    /// There was nobody.
    Waiting {
        until: Instant,
        /// Who could be used then.
        usable: Vec<PeId>,
    },
}

/// The elements that are tried.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Attempts {
    /// An element was asked for.
    asking: bool,
    connecting: Vec<PeId>,
    /// When to try another one beside them.
    next: Option<Instant>,
}

impl Attempts {
    /// An element was asked for.
    pub(super) fn begin() -> Self {
        Self { asking: true, ..Self::default() }
    }

    /// Elements that are being connected to.
    pub(super) fn connecting(&self) -> &[PeId] {
        &self.connecting
    }

    /// The element that was asked for is being connected to.
    pub(super) fn connect(&mut self, now: Instant, pe: PeId) {
        self.asking = false;
        self.connecting.push(pe);
        self.next = (self.connecting.len() < MAX_ATTEMPTS).then_some(now + STAGGER);
    }

    /// The element will not do. Returns whether no attempt is left.
    pub(super) fn fail(&mut self, now: Instant, pe: PeId) -> bool {
        match self.connecting.iter().position(|connecting| *connecting == pe) {
            Some(at) => drop(self.connecting.remove(at)),
            None => self.asking = false,
        }
        self.next = Some(now);
        self.is_over()
    }

    /// There is no other element to be tried for now. Returns whether no attempt is left.
    pub(super) fn exhaust(&mut self) -> bool {
        (self.asking, self.next) = (false, None);
        self.is_over()
    }

    /// There may be other elements.
    pub(super) fn renew(&mut self, now: Instant) {
        if self.connecting.len() < MAX_ATTEMPTS {
            self.next.get_or_insert(now);
        }
    }

    /// Returns when to try another element beside the others, if nobody takes records meanwhile.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next.filter(|_| !self.asking)
    }

    /// Another element was asked for.
    pub(super) fn ask(&mut self) {
        self.asking = true;
    }

    fn is_over(&self) -> bool {
        !self.asking && self.connecting.is_empty()
    }
}

impl Choice {
    /// The element that was asked for is being connected to.
    pub fn handle_connecting(&mut self, now: Instant, pe: PeId) {
        if let Seek::Running(attempts) = &mut self.seek {
            attempts.connect(now, pe);
        }
    }

    /// A connection that was asked for is up; no other one is awaited. `acknowledges`: the collector sends cookies.
    pub fn handle_connected(&mut self, now: Instant, pe: PeId, acknowledges: bool) {
        self.seek = Seek::No;
        if self.standby.take().is_some() {
            // It was sought because the one that stands by would not do.
            self.leave(Role::Standby, Sign::Rebalance);
        }
        self.standby = Some(Link { pe, acknowledges, quiet: false });
        self.outputs.push_back(Output::Admit);
        self.pursue(now);
    }

    /// A connection that was asked for did not come up, or is not wanted; the pool user knows about the element.
    pub fn handle_not_connected(&mut self, now: Instant, pe: PeId) {
        if let Seek::Running(attempts) = &mut self.seek
            && attempts.fail(now, pe)
        {
            self.seek = Seek::No;
            self.give_up_choosy_move();
        }
        self.pursue(now);
    }

    /// The pool user had no element.
    pub fn handle_nobody(&mut self, now: Instant) {
        if let Seek::Running(attempts) = &mut self.seek
            && !attempts.exhaust()
        {
            return;
        }
        let pause = if self.active.is_none() { ASK_AGAIN } else { ASK_FOR_STANDBY_AGAIN };
        self.seek = Seek::Waiting { until: now + pause, usable: self.usable() };
        self.give_up_choosy_move();
    }

    /// Looks for the collector that is missing, if one is.
    pub(super) fn seek(&mut self, now: Instant) {
        let Some(active) = self.active else {
            // A slow one is better than none.
            let slow = self.slow.all(now);
            let is_choosy = self.members.iter().any(|member| member.usable && !slow.contains(&member.pe));
            return self.ask(if is_choosy { slow } else { Vec::new() });
        };
        let mut except = vec![active.pe];
        match self.moving {
            Some(Move { settling: None, target: Some(target), .. }) => {
                self.seek = Seek::Running(Attempts::begin());
                return self.outputs.push_back(Output::SeekElement(target));
            }
            Some(Move { settling: None, sign, .. }) => {
                except.extend(self.standby.map(|standby| standby.pe));
                if sign == Sign::Slow {
                    except.extend(self.slow.all(now));
                }
            }
            _ if self.standby.is_some() => return,
            Some(Move { settling: Some(_), .. }) => {}
            None if self.config.standby => {}
            None => return,
        }
        if self.members.iter().any(|member| member.usable && !except.contains(&member.pe)) {
            self.ask(except);
        } else {
            self.handle_nobody(now);
        }
    }

    /// While nobody takes records, another element is tried beside one that does not answer at once.
    pub(super) fn seek_beside(&mut self, now: Instant) {
        let is_pressed = self.is_pressed();
        let Seek::Running(attempts) = &mut self.seek else { return };
        if !is_pressed || attempts.due().is_none_or(|due| now < due) {
            return;
        }
        let mut except = attempts.connecting().to_vec();
        except.extend([self.active, self.standby].into_iter().flatten().map(|link| link.pe));
        if self.members.iter().any(|member| member.usable && !except.contains(&member.pe)) {
            attempts.ask();
            self.outputs.push_back(Output::Seek { except });
        } else {
            attempts.exhaust();
        }
    }

    pub(super) fn ask(&mut self, except: Vec<PeId>) {
        self.seek = Seek::Running(Attempts::begin());
        self.outputs.push_back(Output::Seek { except });
    }
}
