//! What the kernel counts: figures, silence, hints at losses.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::time::Duration;

use tokio::time::Instant;

use super::super::options::{self, Statistics};
use super::{Connection, Settling};
use crate::LossReason;
use crate::link::Figures;

/// Hints that something was lost since the last settlement.
#[derive(Default)]
pub(super) struct Hints {
    gaps: u64,
    retransmissions: u64,
    pub(super) rto: Duration,
    pub(super) seen: bool,
}

impl Hints {
    pub(super) fn new(rto: Duration) -> Hints {
        Hints { rto, ..Hints::default() }
    }

    pub(super) fn look(&mut self, statistics: &Statistics) {
        // A retransmission time-out doubles the RTO.
        self.seen |= statistics.gaps != self.gaps
            || statistics.retransmissions != self.retransmissions
            || statistics.longest_rto * 2 >= self.rto * 3;
        (self.gaps, self.retransmissions) = (statistics.gaps, statistics.retransmissions);
    }
}

impl Connection {
    /// Tells the peer's addresses: those of the handshake, and what was added since (RFC 5061).
    pub(super) fn publish_peers(&self) {
        let Ok(peers) = options::peer_addresses(&self.socket) else { return };
        let state = self.state();
        self.link.set_peers(peers.into_iter().map(|peer| state.paths.address(peer)));
    }

    /// Publishes figures and ends an association whose peer is silent. The kernel's own limit on
    /// retransmissions is set so high that it does not end one whose reader only stalls.
    pub(super) async fn watch(&self) -> LossReason {
        let profile = &self.shared.config.profile;
        let tick = (profile.heartbeat / 2).min(profile.silence / 4).max(Duration::from_millis(10));
        let (mut heard, mut silence, mut last) = (0, Duration::ZERO, Instant::now());
        loop {
            tokio::time::sleep(tick).await;
            // Time in which this process did not run counts as one tick.
            let passed = last.elapsed().min(tick * 2);
            last = Instant::now();
            let Ok(statistics) = options::statistics(&self.socket) else { continue };
            let Ok(status) = options::status(&self.socket) else { continue };
            silence = if statistics.packets_in == heard { silence + passed } else { Duration::ZERO };
            heard = statistics.packets_in;
            self.link.publish(Figures {
                srtt: Some(status.srtt).filter(|srtt| !srtt.is_zero()),
                congestion_window: Some(status.congestion_window as usize),
                peer_window: Some(status.peer_window as usize),
                retransmissions: Some(statistics.retransmissions),
                // It is asked once it was silent for `heartbeat`, at the next tick.
                quiet: silence >= profile.heartbeat * 2 + 2 * status.srtt,
            });
            self.state().hints.look(&statistics);
            self.look();
            if self.state().settling != Settling::No {
                self.read.notify_one();
            }
            self.write.notify_one();
            if silence >= profile.silence + 2 * status.srtt {
                self.shared.counters.lost_silent.one();
                return LossReason::Silent(silence);
            }
            if silence >= profile.heartbeat {
                for path in options::peer_addresses(&self.socket).unwrap_or_default() {
                    let _ = options::demand_heartbeat(&self.socket, path);
                }
            }
        }
    }
}
