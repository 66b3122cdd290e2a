//! Deregistration, asked for by us or told by the registrar (RFC 5352 section 3.2).

use std::time::Instant;

use super::{Event, Goal, Home, PoolElement, Stage, Timer};
use crate::LostReason;
use crate::wire::Message;
use crate::wire::asap::deregistration::{Deregistration, DeregistrationResponse};

impl PoolElement {
    /// Takes the element out of its pool. Ends with [`Event::Deregistered`] or
    /// [`Event::DeregistrationFailed`], after which the registrar's connection is closed.
    pub fn deregister(&mut self, now: Instant) {
        if self.goal == Goal::Deregistered {
            return;
        }
        self.goal = Goal::Deregistered;
        self.attempts = 0;
        for timer in [Timer::T2, Timer::T4, Timer::Retry] {
            self.timers.stop(&timer);
        }
        if !self.known {
            return self.end(Event::Deregistered);
        }
        self.timers.set(Timer::T3, now + self.profile.t3_deregistration);
        self.pursue(now);
    }

    /// Sends the deregistration and starts T3 (D1 to D4).
    pub(super) fn send_deregistration(&mut self, now: Instant, home: Home) {
        self.stage = Stage::Deregistering;
        self.timers.set(Timer::T3, now + self.profile.t3_deregistration);
        let message = Deregistration { pool: self.pool.clone(), pe: self.pe, unknown: vec![] };
        self.send(home.connection, &Message::Deregistration(message));
    }

    /// T3 expired: another registrar is tried, so often as a registration would be.
    pub(super) fn deregistration_timed_out(&mut self, now: Instant) {
        self.attempts += 1;
        if self.attempts > self.profile.max_reg_attempt {
            return self.end(Event::DeregistrationFailed);
        }
        self.timers.set(Timer::T3, now + self.profile.t3_deregistration);
        self.lose_home(now, LostReason::Silent);
    }

    pub(super) fn handle_deregistration_response(&mut self, now: Instant, response: DeregistrationResponse) {
        if response.pool != self.pool || response.pe != self.pe {
            return;
        }
        match self.stage {
            Stage::Deregistering if response.causes.is_empty() => self.end(Event::Deregistered),
            Stage::Deregistering => {
                self.event(Event::ErrorReceived { causes: response.causes });
                self.end(Event::DeregistrationFailed);
            }
            // The registrar tells that the life has ended (section 2.2.4): we still serve.
            Stage::Registered => {
                self.event(Event::Expired);
                self.stage = Stage::Unregistered;
                self.pursue(now);
            }
            Stage::Registering { .. } => {
                self.event(Event::Expired);
                self.stage = Stage::Registering { again: false };
            }
            Stage::Unregistered | Stage::Rejected | Stage::OutOfScope => {}
        }
    }

    /// Stops everything.
    fn end(&mut self, event: Event) {
        self.goal = Goal::Nothing;
        self.stage = Stage::Unregistered;
        self.known = false;
        for timer in [Timer::T2, Timer::T3, Timer::T4, Timer::Retry] {
            self.timers.stop(&timer);
        }
        let steps = self.hunt.give_up();
        self.perform(steps);
        self.event(event);
        if let Some(home) = self.home.take() {
            self.accepted.remove(&home.connection);
            self.outputs.push_back(crate::Output::Disconnect { connection: home.connection });
        }
    }
}
