//! Failed elements are not offered for a while: 30 s at first, doubling to 10 min.
//!
//! A re-registration ends the quarantine early. It shows in two ways: the element is listed with another
//! transport, or it is listed again after it was not. Other policy values do not count, they may
//! have been on their way when the element failed.
//!
//! Where every element that is known is in quarantine, or not wanted, one of those that were not reached is offered all the same:
//! the one that failed longest ago, 1 s after its failure at the earliest, doubling to 10 s. It may be its user that was to blame.

use std::time::{Duration, Instant};

use super::{Event, PoolUser, Timer};
use crate::PeId;
use crate::wire::{PoolElementParameter, Transport};

/// From a failure until the element is offered where there is no other, the first time, and where doubling ends.
const LAST_RESORT: Duration = Duration::from_secs(1);
const LAST_RESORT_MAX: Duration = Duration::from_secs(10);
/// Failed elements remembered at once; the one that ends first is forgotten beyond.
const MAX_REMEMBERED: usize = 1_024;

/// Why an element is in quarantine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// It does not answer, or so it seems.
    Unreachable,
    /// It answers, and will not serve, or may not.
    Unwilling,
}

#[derive(Debug)]
pub(super) struct Quarantined {
    until: Instant,
    /// When it is offered if there is no other.
    last_resort: Instant,
    /// How often in a row; doubles the time.
    times: u32,
    /// Where the element was when it failed.
    transport: Option<(Transport, Option<u16>)>,
    /// A complete answer did not list the element since.
    unlisted: bool,
}

impl Quarantined {
    pub(super) fn holds(&self, now: Instant) -> bool {
        now < self.until
    }
}

impl PoolUser {
    pub(super) fn put_in_quarantine(&mut self, now: Instant, pe: PeId, fault: Fault) {
        let times = self.quarantine.get(&pe).map_or(0, |entry| entry.times);
        let profile = &self.config.profile;
        let duration = (profile.quarantine * 2u32.saturating_pow(times.min(16))).min(profile.quarantine_max);
        let known = self.cache.as_ref().and_then(|cache| cache.pool.element(pe));
        let transport = known.map(|element| (element.user_transport.clone(), element.encapsulation));
        let pause = (LAST_RESORT * 2u32.saturating_pow(times.min(16))).min(LAST_RESORT_MAX).min(duration);
        let until = now + duration;
        let last_resort = match fault {
            Fault::Unreachable => now + self.random.jitter(pause, profile.jitter_percent),
            Fault::Unwilling => until,
        };
        self.hold(now, pe, Quarantined { until, last_resort, times: times + 1, transport, unlisted: false });
    }

    /// As a quarantine of `pause` that says nothing of the element.
    pub(super) fn hold_back(&mut self, now: Instant, pe: PeId, pause: Duration) {
        let times = self.quarantine.get(&pe).map_or(0, |entry| entry.times);
        let until = now + pause;
        self.hold(
            now,
            pe,
            Quarantined { until, last_resort: until, times, transport: None, unlisted: false },
        );
    }

    fn hold(&mut self, now: Instant, pe: PeId, entry: Quarantined) {
        let until = entry.until;
        self.quarantine.insert(pe, entry);
        self.timers.set(Timer::Quarantine(pe), until);
        if self.quarantine.len() > MAX_REMEMBERED {
            self.forget_one();
        }
        self.event(Event::Quarantined { pe, duration: until.saturating_duration_since(now) });
    }

    fn forget_one(&mut self) {
        let first = self.quarantine.iter().min_by_key(|(_, entry)| entry.until).map(|(&pe, _)| pe);
        if let Some(pe) = first {
            self.quarantine.remove(&pe);
            self.timers.stop(&Timer::Quarantine(pe));
        }
    }

    /// Returns the element in quarantine to use while there is no other, if one may be used again.
    pub(super) fn last_resort(&self, now: Instant, exclude: &[PeId]) -> Option<PeId> {
        let known = |pe: PeId| self.cache.as_ref().is_some_and(|cache| cache.pool.contains(pe));
        let held = self.quarantine.iter().filter(|(_, entry)| entry.holds(now) && entry.last_resort <= now);
        let wanted = held.filter(|(pe, _)| !exclude.contains(pe) && known(**pe));
        wanted.min_by_key(|(_, entry)| entry.last_resort).map(|(&pe, _)| pe)
    }

    /// The time is over: the element is offered again, and its failures are forgotten after as long again
    /// as the longest quarantine.
    pub(super) fn quarantine_timed_out(&mut self, now: Instant, pe: PeId) {
        let Some(entry) = self.quarantine.get(&pe) else { return };
        let forget = entry.until + self.config.profile.quarantine_max;
        if now >= forget {
            self.quarantine.remove(&pe);
            return;
        }
        self.timers.set(Timer::Quarantine(pe), forget.max(now + Duration::from_millis(1)));
        self.event(Event::QuarantineEnded { pe });
    }

    /// Ends the quarantine of elements that have registered again, as `listed` shows.
    pub(super) fn end_quarantines(&mut self, listed: &[PoolElementParameter], complete: bool) {
        let mut ended = Vec::new();
        for (&pe, entry) in &mut self.quarantine {
            let Some(element) = listed.iter().find(|element| element.pe == pe) else {
                entry.unlisted |= complete;
                continue;
            };
            let moved = entry.transport.as_ref().is_some_and(|(transport, encapsulation)| {
                (transport, encapsulation) != (&element.user_transport, &element.encapsulation)
            });
            if moved || entry.unlisted {
                ended.push(pe);
            }
        }
        for pe in ended {
            self.quarantine.remove(&pe);
            self.timers.stop(&Timer::Quarantine(pe));
            self.event(Event::QuarantineEnded { pe });
        }
    }
}
