//! Keep-alives (RFC 5352 sections 3.4 and 3.5): every element is asked at intervals, spread so that not all are
//! asked at once.

use std::time::Instant;

use super::{Event, Key, Registrar, Removal, Timer};
use crate::ConnectionId;
use crate::wire::Message;
use crate::wire::asap::keep_alive::{EndpointKeepAlive, EndpointKeepAliveAck};

impl Registrar {
    pub(super) fn schedule_keep_alive(&mut self, now: Instant, key: &Key) {
        let profile = &self.config.profile;
        let delay = self.random.jitter(profile.keep_alive_interval, profile.keep_alive_jitter_percent);
        self.timers.set(Timer::KeepAlive(key.clone()), now + delay);
    }

    /// Asks the element whether it lives.
    pub(super) fn probe(&mut self, now: Instant, key: &Key) {
        let Some(connection) = self.monitors.get(key).and_then(|monitor| monitor.connection) else { return };
        self.timers.stop(&Timer::KeepAlive(key.clone()));
        self.timers.set(Timer::Ack(key.clone()), now + self.config.profile.keep_alive_timeout);
        let message = EndpointKeepAlive {
            home: false,
            draining: self.is_draining(key),
            registrar: self.id,
            pool: key.0.clone(),
            pe: Some(key.1),
            unknown: vec![],
        };
        self.send(connection, &Message::EndpointKeepAlive(message));
    }

    /// Asks at once because someone doubts the element, unless it is being asked, or was asked so within two
    /// intervals: then the next regular keep-alive must do, so that doubts cannot make us flood it
    /// (RFC 5355 threat 14).
    pub(super) fn probe_at_once(&mut self, now: Instant, key: &Key) {
        let asked = self.timers.deadline(&Timer::Ack(key.clone())).is_some();
        let Some(monitor) = self.monitors.get_mut(key).filter(|_| !asked) else { return };
        let gap = self.config.profile.keep_alive_interval * 2;
        if monitor.last_doubt.is_none_or(|at| now.saturating_duration_since(at) >= gap) {
            monitor.last_doubt = Some(now);
            self.probe(now, key);
        }
    }

    /// A keep-alive was not answered in time.
    pub(super) fn keep_alive_missed(&mut self, now: Instant, key: &Key) {
        self.counters.keep_alives_missed += 1;
        let Some(monitor) = self.monitors.get_mut(key) else { return };
        let before = monitor.is_suspect();
        monitor.missed += 1;
        let reported = monitor.reporters.len() >= self.config.profile.max_bad_pe_report;
        if reported || monitor.missed >= self.config.profile.keep_alive_attempts {
            if !self.accept_claim(now, key) && !self.give_to_rival(now, key) {
                self.remove(now, key, Removal::Unreachable);
            }
            return;
        }
        if !before {
            self.event(Event::ElementSuspect { pool: key.0.clone(), pe: key.1 });
            self.element_changed(now, key);
        }
        self.probe(now, key);
    }

    /// The element lives: whoever reported or claimed it was wrong.
    pub(super) fn handle_ack(&mut self, now: Instant, from: ConnectionId, message: EndpointKeepAliveAck) {
        let key = (message.pool, message.pe);
        let Some(monitor) = self.monitors.get_mut(&key).filter(|monitor| monitor.connection == Some(from))
        else {
            return self.adopted(now, from, &key);
        };
        let recovered = monitor.is_suspect();
        monitor.answered = Some(now);
        monitor.missed = 0;
        monitor.reporters.clear();
        if self.timers.deadline(&Timer::Ack(key.clone())).is_some() {
            self.counters.keep_alives_answered += 1;
            self.timers.stop(&Timer::Ack(key.clone()));
            self.schedule_keep_alive(now, &key);
        }
        self.refuse_claim(&key);
        self.insist(now, &key);
        if recovered {
            self.event(Event::ElementRecovered { pool: key.0.clone(), pe: key.1 });
            self.element_changed(now, &key);
        }
    }
}
