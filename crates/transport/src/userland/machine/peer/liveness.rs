//! Whether the peer still lives.
//!
//! dcsctp's limit on retransmissions is off, since it cannot tell a stalled reader from a dead peer, and
//! so are its heartbeats. Instead any packet with the right tag is a sign of life, and its lack for too
//! long the end. HEARTBEATs of our own (RFC 9260 section 8.3) ask a peer that is not heard:
//!
//! * after `probe` from the side that set the association up, after `heartbeat` from the other: the first
//!   can go elsewhere and wants to know soon, and its questions tell the other that it lives;
//! * more often once a quarter of `silence` has passed, so that lost packets are not taken for a dead peer;
//! * more often still while ICMP says that nobody is there.

use std::time::{Duration, Instant};

use crate::Profile;

/// Marks the nonces of our HEARTBEATs, in which the rest counts.
const OURS: u32 = 0x8000_0000;
/// ICMP messages after which silence alone proves what they say: routers and hosts limit how many they
/// send (Linux: a burst of six, then one a second).
const MANY: u32 = 3;

/// ICMP says the peer is gone, and nothing valid came since.
struct Trouble {
    since: Instant,
    last: Instant,
    count: u32,
}

pub(super) struct Liveness {
    heard: Instant,
    /// When the last HEARTBEAT left.
    asked: Instant,
    /// This side set the association up.
    opener: bool,
    nonce: u32,
    /// Smoothed round trip time (RFC 9260 section 6.3.1), zero until known.
    round_trip: Duration,
    trouble: Option<Trouble>,
    /// What a peer has beyond `silence` at present.
    grace: Duration,
}

impl Liveness {
    pub(super) fn new(now: Instant, opener: bool) -> Liveness {
        let round_trip = Duration::ZERO;
        Liveness {
            heard: now,
            asked: now,
            opener,
            nonce: 0,
            round_trip,
            trouble: None,
            grace: Duration::ZERO,
        }
    }

    /// A packet with the right tag came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.trouble = None;
    }

    /// A HEARTBEAT ACK with this nonce came.
    pub(super) fn answered(&mut self, nonce: u32, now: Instant) {
        if nonce != self.nonce | OURS {
            return;
        }
        let sample = now - self.asked;
        self.round_trip = if self.round_trip.is_zero() { sample } else { (self.round_trip * 7 + sample) / 8 };
    }

    /// The network says that nobody listens at the peer's UDP port: a hint, so look now (RFC 9260
    /// section 10). Returns for how long it says so.
    pub(super) fn unreachable(&mut self, now: Instant) -> Duration {
        let trouble = self.trouble.get_or_insert(Trouble { since: now, last: now, count: 0 });
        trouble.last = now;
        trouble.count += 1;
        now - trouble.since
    }

    /// This process did not run for so long; the peer is not to blame.
    pub(super) fn excuse(&mut self, stall: Duration, now: Instant) {
        self.heard = (self.heard + stall).min(now);
        self.trouble = None;
    }

    /// Whether ICMP is believed: it says so over a while, or said so often enough before the network
    /// limited it, and nothing valid came.
    pub(super) fn is_unreachable(&self, now: Instant, profile: &Profile) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| {
            trouble.last >= trouble.since + profile.unreachable || now >= self.doomed(trouble, profile)
        })
    }

    /// When a peer in trouble is lost even if no further ICMP message comes.
    fn doomed(&self, trouble: &Trouble, profile: &Profile) -> Instant {
        if trouble.count < MANY {
            return self.lost(profile);
        }
        trouble.since + 2 * profile.unreachable + 2 * self.round_trip
    }

    fn lost(&self, profile: &Profile) -> Instant {
        self.heard + profile.silence + self.grace + 2 * self.round_trip
    }

    /// Whether the peer was silent for too long. Where datagrams wait that were not read (`behind`), it has twice
    /// as long, but not for ever: somebody may send us more than we can read.
    pub(super) fn is_silent(&mut self, now: Instant, profile: &Profile, behind: bool) -> bool {
        self.grace = if behind { profile.silence } else { Duration::ZERO };
        now >= self.lost(profile)
    }

    /// Whether the peer is not heard, although it was asked twice.
    pub(super) fn is_quiet(&self, now: Instant, profile: &Profile) -> bool {
        now >= self.heard + self.interval(profile) * 5 / 2 + 2 * self.round_trip
    }

    /// How often a peer is asked that is not heard.
    fn interval(&self, profile: &Profile) -> Duration {
        if self.opener { profile.probe.max(self.round_trip) } else { profile.heartbeat }
    }

    /// The nonce of a HEARTBEAT to send now, if one is due.
    pub(super) fn poll_probe(&mut self, now: Instant, profile: &Profile) -> Option<u32> {
        if now < self.probe_due(profile) {
            return None;
        }
        self.asked = now;
        self.nonce = self.nonce.wrapping_add(1) & !OURS;
        // dcsctp takes the answer for that of an older heartbeat and ignores it.
        Some(self.nonce | OURS)
    }

    fn probe_due(&self, profile: &Profile) -> Instant {
        let calm = self.asked.max(self.heard) + self.interval(profile);
        let quiet = (self.heard + profile.silence / 4).max(self.asked + profile.silence / 10);
        let trouble = self.trouble.as_ref();
        let urgent = trouble.map(|trouble| self.asked.max(trouble.since) + profile.unreachable / 4);
        [calm, quiet].into_iter().chain(urgent).min().unwrap_or(calm)
    }

    /// When to look again.
    pub(super) fn deadline(&self, profile: &Profile) -> Instant {
        let trouble = self.trouble.as_ref().map(|trouble| self.doomed(trouble, profile));
        let next = self.probe_due(profile).min(self.lost(profile));
        trouble.map_or(next, |doomed| doomed.min(next))
    }
}
