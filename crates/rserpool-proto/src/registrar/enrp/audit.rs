//! Auditing and resynchronisation (RFC 5353 section 3.6).
//!
//! A checksum that does not agree makes us ask for what the peer owns, at most once in the profile's gap. As the
//! checksum covers handles and identifiers only, every table is asked for from time to time as well, and when a peer
//! is connected again. Where elements of a table find no room here, the gap doubles each time, up to the time between
//! two audits.

use std::time::Instant;

use super::super::{Event, Registrar};
use super::Timer;
use crate::RegistrarId;
use crate::wire::param::pe_checksum::PeChecksum;
use crate::wire::param::pe_checksum32::PeChecksum32;

/// The checksum over no elements.
const NOTHING: PeChecksum = PeChecksum(u16::MAX);

impl Registrar {
    pub(super) fn schedule_audit(&mut self, now: Instant) {
        let profile = &self.config.profile;
        let wait = self.random.jitter(profile.audit_interval, profile.jitter_percent.min(20));
        self.set_timer(Timer::Audit, now + wait);
    }

    pub(super) fn audit(&mut self, now: Instant) {
        self.schedule_audit(now);
        self.look_up_all(now);
        for peer in self.connected_peers() {
            self.resynchronize(now, peer);
        }
    }

    /// A peer told the checksum over its elements, and perhaps the 32-bit one.
    pub(super) fn compare_checksum(
        &mut self,
        now: Instant,
        id: RegistrarId,
        told: PeChecksum,
        told32: Option<PeChecksum32>,
    ) {
        let held = self.handlespace.checksum(id);
        let agrees = told == held && told32.is_none_or(|told| told.0 == self.handlespace.checksum32(id));
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        peer.told = Some(told);
        if peer.download.is_some() {
            return;
        }
        if agrees {
            self.settle_claims(now, id);
            return self.catch_up(now, id);
        }
        self.enrp.counters.mismatches += 1;
        self.event(Event::ChecksumMismatch { peer: id, told, held });
        self.resynchronize(now, id);
    }

    /// Asks for what a peer owns where something it told may have been lost with a connection: values that are in no
    /// checksum. Repeated at its presences until its table is here; a peer that owns nothing told nothing.
    pub(super) fn catch_up(&mut self, now: Instant, id: RegistrarId) {
        let nothing = self.owned(id) == 0;
        let Some(peer) = self.enrp.peers.get_mut(&id).filter(|peer| peer.missed) else { return };
        if nothing && peer.told == Some(NOTHING) {
            peer.missed = false;
        } else {
            self.resynchronize(now, id);
        }
    }

    /// Asks for what a peer owns, if it was not asked just now.
    pub(super) fn resynchronize(&mut self, now: Instant, id: RegistrarId) {
        if !self.is_ready() {
            return;
        }
        let profile = &self.config.profile;
        let Some(peer) = self.enrp.peers.get(&id) else { return };
        // What has no room here has none a moment later either.
        let longer = 2_u32.saturating_pow(peer.incomplete.min(16));
        let gap =
            profile.resync_gap.saturating_mul(longer).min(profile.audit_interval.max(profile.resync_gap));
        let recently = peer.last_download.is_some_and(|at| now.saturating_duration_since(at) < gap);
        if peer.download.is_none() && !recently {
            self.request_table(now, id, true);
        }
    }
}
