//! Reports of unreachable elements (RFC 5352 section 3.5).
//!
//! A report makes us ask the element at once. Reports of enough distinct reporters (hosts, or names in certificates,
//! however many connections they have) shorten how long it may be silent; alone they remove nothing, and an answer clears them (RFC 5355 threat 13). An element of another
//! registrar is asked by that one; here others are preferred to it for a while.

use std::time::Instant;

use super::Registrar;
use crate::ConnectionId;
use crate::wire::asap::unreachable::EndpointUnreachable;

/// Reporters remembered per element; more do not change anything.
const MAX_REPORTERS: usize = 8;

impl Registrar {
    pub(super) fn handle_unreachable(
        &mut self,
        now: Instant,
        reporter: ConnectionId,
        message: EndpointUnreachable,
    ) {
        let Some(peer) = self.peers.get(&reporter) else { return };
        let reporter = peer.source.clone();
        if !self.allowances.of(now, &reporter, &self.config).reports.take(now) {
            self.counters.reports_limited += 1;
            return;
        }
        let key = (message.pool, message.pe);
        let Some(monitor) = self.monitors.get_mut(&key) else {
            let known = self.handlespace.pool(&key.0).is_some_and(|pool| pool.contains(key.1));
            if known {
                self.counters.reports_accepted += 1;
                self.doubt(now, &key);
            } else {
                self.counters.reports_unknown += 1;
            }
            return;
        };
        self.counters.reports_accepted += 1;
        if monitor.reporters.len() < MAX_REPORTERS {
            monitor.reporters.insert(reporter);
        }
        self.unreached(now, &key);
        self.probe_at_once(now, &key);
    }
}
