//! The last answer of a registrar, and selection from it (RFC 5352 section 3.3, C1 to C4).

use std::time::{Duration, Instant};

use super::{Event, Member, PoolUser, Request, Selected, Timer, card};
use crate::handlespace::Pool;
use crate::wire::{PolicyType, PoolElementParameter};
use crate::{PeId, UserTransport, policy};

/// Elements remembered as handed out; beyond, only those of the cache are.
const MAX_HANDED_OUT: usize = 1_024;

/// Elements in the order of the policy, and when they were told.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) pool: Pool,
    told: Instant,
    /// A registrar answered since that does not know the pool.
    doubtful: bool,
}

impl Cache {
    /// Keeps the elements of protocols we speak, to be used as RFC 5356 demands of a pool user: see
    /// [`policy::pool_user_rule`].
    pub(super) fn new(policy_type: PolicyType, elements: Vec<PoolElementParameter>, now: Instant) -> Cache {
        let mut pool = Pool::new(policy::pool_user_rule(policy_type));
        for element in elements {
            if UserTransport::from_wire(&element.user_transport, element.encapsulation).is_some() {
                pool.insert(element, true);
            }
        }
        Cache { pool, told: now, doubtful: false }
    }

    pub(super) fn doubt(&mut self) {
        self.doubtful = true;
    }

    fn is_stale(&self, now: Instant, after: Duration) -> bool {
        self.doubtful || now.saturating_duration_since(self.told) > after
    }
}

impl PoolUser {
    /// Returns the element to use next by the pool's policy, without those in quarantine, and asks
    /// the registrar again when the cache is stale. Returns `None` when there is none: then the
    /// pool is resolved again from time to time, and [`Event::Resolved`] or [`Event::QuarantineEnded`] tell when
    /// to ask here again.
    ///
    /// Where there is none out of quarantine, one in it is offered a while after it failed. Two things come before the policy: the element of [`PoolUser::stick_to`], once, and, while no registrar is
    /// connected, the order of the last business card (section 3.9).
    pub fn next_element(&mut self, now: Instant) -> Option<Selected> {
        self.next_element_except(now, &[])
    }

    /// As [`PoolUser::next_element`], without the elements of `exclude`: those in use already, for example.
    pub fn next_element_except(&mut self, now: Instant, exclude: &[PeId]) -> Option<Selected> {
        let stale =
            self.cache.as_ref().is_none_or(|cache| cache.is_stale(now, self.config.profile.stale_cache));
        if stale {
            self.resolve(now);
        }
        let quarantine = &self.quarantine;
        let wanted =
            |pe: PeId| !exclude.contains(&pe) && quarantine.get(&pe).is_none_or(|entry| !entry.holds(now));
        let by_card = self.home.is_none().then(|| card::select(&self.card, wanted)).flatten();
        let last = self.last.filter(|&pe| wanted(pe));
        let chosen = by_card.or_else(|| {
            let cache = self.cache.as_mut()?;
            // A registrar does not list whom the policy never chooses.
            let again = last.and_then(|last| cache.pool.select(1, &mut self.random, |pe| pe == last).pop());
            let pe = again.or_else(|| cache.pool.select(1, &mut self.random, wanted).pop())?;
            let element = cache.pool.element(pe)?;
            let transport = UserTransport::from_wire(&element.user_transport, element.encapsulation)?;
            Some(Selected { pe, transport, policy: element.policy, stale })
        });
        let chosen = chosen.or_else(|| {
            let element = self.cache.as_ref()?.pool.element(self.last_resort(now, exclude)?)?;
            let transport = UserTransport::from_wire(&element.user_transport, element.encapsulation)?;
            Some(Selected { pe: element.pe, transport, policy: element.policy, stale })
        });
        match &chosen {
            Some(selected) => {
                self.last = None;
                self.hand_out(selected.pe);
            }
            None if self.request == Request::None => self.retry_later(now),
            // The answer is on its way.
            None => {}
        }
        chosen
    }

    /// Returns an element by its identifier, in quarantine or not, to be used from now on: it can be reported. Asks the
    /// registrar again when the cache is stale (RFC 5352 section 6.5.3, B). `None`: it was not told of.
    pub fn use_element(&mut self, now: Instant, pe: PeId) -> Option<Selected> {
        let stale =
            self.cache.as_ref().is_none_or(|cache| cache.is_stale(now, self.config.profile.stale_cache));
        if stale {
            self.resolve(now);
        }
        let element = self.cache.as_ref()?.pool.element(pe)?;
        let transport = UserTransport::from_wire(&element.user_transport, element.encapsulation)?;
        self.hand_out(pe);
        Some(Selected { pe, transport, policy: element.policy, stale })
    }

    /// Remembers that an element is in use.
    fn hand_out(&mut self, pe: PeId) {
        self.handed_out.insert(pe);
        if let (MAX_HANDED_OUT.., Some(cache)) = (self.handed_out.len(), &self.cache) {
            self.handed_out.retain(|&pe| cache.pool.contains(pe));
        }
    }

    /// Returns the elements last told, in order of their identifiers.
    pub fn elements(&self) -> impl Iterator<Item = PoolElementParameter> {
        self.cache.iter().flat_map(|cache| cache.pool.elements())
    }

    /// Returns the elements last told, in order of their identifiers, and which of them could be selected at `now`.
    /// Asking moves nothing on in the pool's policy.
    pub fn members(&self, now: Instant) -> impl Iterator<Item = Member> {
        self.elements().map(move |element| {
            let usable = self.quarantine.get(&element.pe).is_none_or(|entry| !entry.holds(now));
            Member { pe: element.pe, policy: element.policy, usable }
        })
    }

    /// Returns whether an element could be selected at `now`.
    pub(super) fn has_usable(&self, now: Instant) -> bool {
        self.members(now).any(|member| member.usable)
    }

    /// Replaces the cache and returns whether the elements or their values are others.
    pub(super) fn replace_cache(&mut self, cache: Cache) -> bool {
        let changed = !self.elements().eq(cache.pool.elements());
        self.cache = Some(cache);
        changed
    }

    /// Resolves again after a while, which doubles until an element can be used.
    pub(super) fn retry_later(&mut self, now: Instant) {
        if self.timers.deadline(&Timer::Retry).is_some() {
            return;
        }
        let profile = &self.config.profile;
        let doubled = profile.resolve_retry * 2u32.saturating_pow(self.retries.min(16));
        let delay = self.random.jitter(doubled.min(profile.resolve_retry_max), profile.jitter_percent);
        self.retries = self.retries.saturating_add(1);
        self.timers.set(Timer::Retry, now + delay);
    }

    pub(super) fn tell_resolved(&mut self, changed: bool) {
        let elements = self.elements().count();
        self.event(Event::Resolved { elements, changed });
    }
}
