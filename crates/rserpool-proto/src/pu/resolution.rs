//! Handle resolution (RFC 5352 sections 3.3 and 3.7.2).

use std::time::Instant;

use super::{Cache, Event, Home, PoolUser, Request, Timer};
use crate::LostReason;
use crate::wire::asap::handle_resolution::{HandleResolution, HandleResolutionResponse};
use crate::wire::param::resolution_option;
use crate::wire::{CauseCode, Message, PolicyType, PoolElementParameter};

impl PoolUser {
    /// Asks a registrar for the pool's elements, unless it is being asked (NR1 to NR4).
    pub fn resolve(&mut self, now: Instant) {
        self.timers.stop(&Timer::Retry);
        if self.request == Request::None {
            self.request = Request::Wanted;
            self.pursue(now);
        }
    }

    pub(super) fn send_request(&mut self, now: Instant, home: Home, repeated: u32) {
        self.request = Request::Waiting { repeated };
        self.timers.set(Timer::T1, now + self.config.profile.t1_request);
        let message = HandleResolution {
            send_updates: self.config.updates,
            pool: self.config.pool.clone(),
            items: self.config.items,
            unknown: vec![],
        };
        self.send(home.connection, &Message::HandleResolution(message));
    }

    /// T1 expired: asked again MAX-REQUEST-RETRANSMIT times, then another registrar is looked for.
    pub(super) fn request_timed_out(&mut self, now: Instant) {
        let (Request::Waiting { repeated }, Some(home)) = (self.request, self.home) else { return };
        if repeated < self.config.profile.max_request_retransmit {
            self.send_request(now, home, repeated + 1);
        } else {
            self.lose_home(now, LostReason::Silent);
        }
    }

    pub(super) fn handle_resolution_response(&mut self, now: Instant, response: HandleResolutionResponse) {
        if response.pool != self.config.pool {
            return;
        }
        self.timers.stop(&Timer::T1);
        self.request = Request::None;
        if let Some(causes) = response.causes {
            let unknown = causes.iter().any(|cause| cause.code == CauseCode::UNKNOWN_POOL_HANDLE);
            if let Some(cache) = &mut self.cache {
                cache.doubt();
            }
            if !unknown {
                self.event(Event::Refused { causes });
            } else if !std::mem::replace(&mut self.pool_unknown, true) {
                self.event(Event::PoolUnknown);
            }
            return self.retry_later(now);
        }
        self.pool_unknown = false;
        let complete = self.is_complete(&response);
        let elements = self.in_scope(response.elements);
        self.end_quarantines(&elements, complete);
        // Without a policy parameter Round Robin is meant (section 2.2.6).
        let policy_type = response.policy.map_or(PolicyType::ROUND_ROBIN, |policy| policy.policy_type());
        let cache = Cache::new(policy_type, elements, now);
        let changed = self.replace_cache(cache);
        self.tell_resolved(changed);
        if self.has_usable(now) {
            self.retries = 0;
            self.timers.stop(&Timer::Retry);
        } else {
            self.retry_later(now);
        }
    }

    /// Leaves out the addresses we cannot reach, and the elements without any other.
    fn in_scope(&self, mut elements: Vec<PoolElementParameter>) -> Vec<PoolElementParameter> {
        if let Some(registrar) = self.home.map(|home| home.address.ip) {
            elements.retain_mut(|element| self.scope.filter(&mut element.user_transport, registrar));
        }
        elements
    }

    /// Returns whether an answer lists the whole pool: a registrar that was asked for more has told all, unless it says
    /// that there was no room for them.
    fn is_complete(&self, response: &HandleResolutionResponse) -> bool {
        let elements = response.elements.len();
        let more_than = |items: u32| usize::try_from(items).is_ok_and(|items| elements < items);
        self.config.items.is_some_and(more_than)
            && !resolution_option::cut_from(&response.unknown).is_some_and(more_than)
    }
}
