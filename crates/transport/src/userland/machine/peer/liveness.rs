//! Whether the peer still lives.
//!
//! dcsctp's limit on retransmissions is off, since it cannot tell a stalled reader from a dead peer.
//! Instead any packet with the right tag is a sign of life, and its lack for too long the end.

use std::time::{Duration, Instant};

use crate::Profile;

/// How often a peer is probed while ICMP says that it is gone.
const PROBE: Duration = Duration::from_millis(50);

/// ICMP says the peer is gone, and nothing valid came since.
struct Trouble {
    since: Instant,
    next_probe: Instant,
}

pub(super) struct Liveness {
    heard: Instant,
    trouble: Option<Trouble>,
    probes: u32,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Liveness {
        Liveness { heard: now, trouble: None, probes: 0 }
    }

    /// A packet with the right tag came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.trouble = None;
    }

    /// The network says that nobody listens at the peer's UDP port: a hint, so look now (RFC 9260
    /// section 10). True proof is only that nothing valid comes for a while. Returns for how long that
    /// has been so.
    pub(super) fn unreachable(&mut self, now: Instant) -> Duration {
        let trouble = self.trouble.get_or_insert(Trouble { since: now, next_probe: now + PROBE });
        now - trouble.since
    }

    /// This process did not run for so long; the peer is not to blame.
    pub(super) fn excuse(&mut self, stall: Duration, now: Instant) {
        self.heard = (self.heard + stall).min(now);
        self.trouble = None;
    }

    /// Whether the peer was silent for too long.
    pub(super) fn is_silent(&self, now: Instant, profile: &Profile) -> bool {
        now >= self.heard + profile.silence
    }

    /// The nonce of a HEARTBEAT to send now, if one is due.
    pub(super) fn poll_probe(&mut self, now: Instant) -> Option<u32> {
        let trouble = self.trouble.as_mut().filter(|trouble| now >= trouble.next_probe)?;
        trouble.next_probe = now + PROBE;
        self.probes = self.probes.wrapping_add(1);
        // dcsctp takes the answer for that of an older heartbeat and ignores it.
        Some(self.probes | 0x8000_0000)
    }

    /// When to look again.
    pub(super) fn deadline(&self, profile: &Profile) -> Instant {
        let silent = self.heard + profile.silence;
        self.trouble.as_ref().map_or(silent, |trouble| trouble.next_probe.min(silent))
    }
}
