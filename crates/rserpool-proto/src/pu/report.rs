//! Reports of unreachable elements (RFC 5352 section 3.5): once each time, and only of elements that
//! were handed out.

use std::time::{Duration, Instant};

use super::quarantine::Fault;
use super::{Event, Home, PoolUser};
use crate::PeId;
use crate::wire::Message;
use crate::wire::asap::unreachable::EndpointUnreachable;

impl PoolUser {
    /// Puts an element in quarantine and reports it, now or as soon as there is a registrar.
    ///
    /// Returns `false` and does nothing when the element was not selected since the last report of it: a
    /// failure is reported once.
    pub fn report_unreachable(&mut self, now: Instant, pe: PeId) -> bool {
        let selected = self.handed_out.contains(&pe);
        if selected {
            self.to_report.insert(pe);
            self.leave(now, pe, Fault::Unreachable);
        }
        selected
    }

    /// Puts an element in quarantine that answers but is not to be used for now, such as one that asks its users
    /// to leave. No registrar is told: enough reports would put it out of the pool (RFC 5352 section 3.5).
    ///
    /// Returns `false` and does nothing when the element was not selected since the last failure of it.
    pub fn set_aside(&mut self, now: Instant, pe: PeId) -> bool {
        self.leave(now, pe, Fault::Unwilling)
    }

    fn leave(&mut self, now: Instant, pe: PeId, fault: Fault) -> bool {
        if !self.handed_out.remove(&pe) {
            return false;
        }
        self.put_in_quarantine(now, pe, fault);
        self.pursue(now);
        self.resolve(now);
        true
    }

    /// Does not offer an element for `pause`: it must not be connected to yet (RFC 7011 section 10.4.4). It has not
    /// failed, and its next failure is quarantined as if this had not been.
    ///
    /// Returns `false` and does nothing when the element was not selected since.
    pub fn put_off(&mut self, now: Instant, pe: PeId, pause: Duration) -> bool {
        let selected = self.handed_out.remove(&pe);
        if selected {
            self.hold_back(now, pe, pause);
        }
        selected
    }

    pub(super) fn send_reports(&mut self, home: Home) {
        for pe in std::mem::take(&mut self.to_report) {
            let message = EndpointUnreachable { pool: self.config.pool.clone(), pe, unknown: vec![] };
            self.send(home.connection, &Message::EndpointUnreachable(message));
            self.event(Event::Reported { pe });
        }
    }
}
