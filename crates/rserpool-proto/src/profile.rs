//! Timers and thresholds by name (RFC 5352 section 7, RFC 5353 section 4.2): `fast`, `rfc` and `rsplib`.
//!
//! `fast` is the default: the RFC's values find a dead pool element after minutes.

use std::time::Duration;

use crate::wire::LifeUnit;

/// Every time and threshold of the machines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Profile {
    /// Name in the configuration.
    pub name: &'static str,
    /// T1-ENRPrequest: how long a handle resolution may take.
    pub t1_request: Duration,
    /// T2-registration: how long a registration may take.
    pub t2_registration: Duration,
    /// T3-deregistration: how long a deregistration may take.
    pub t3_deregistration: Duration,
    /// T4-reregistration at most.
    pub t4_max: Duration,
    /// T4-reregistration is this much earlier than the end of the life.
    pub t4_margin: Duration,
    /// Life of a registration.
    pub life: Duration,
    /// Unit of a life on the wire.
    pub life_unit: LifeUnit,
    /// T5-serverhunt at first: the next round of a hunt starts so long after the last one.
    pub t5_hunt: Duration,
    /// RETRAN-MAX: where doubling T5 ends.
    pub t5_max: Duration,
    /// T7-ENRPoutdate: how long a registrar is known by its announce.
    pub t7_outdate: Duration,
    /// How long a connection may take to come up; T5 counts if it is longer.
    pub connect_timeout: Duration,
    /// T5 and retries are spread by so many percent.
    pub jitter_percent: u8,
    /// MAX-REG-ATTEMPT: unanswered registrations before the failure is told.
    pub max_reg_attempt: u32,
    /// Stop registering after MAX-REG-ATTEMPT, as RFC 5352 section 3.1 says; else go on.
    pub stop_after_max_reg_attempt: bool,
    /// A rejected registration is tried again after this, doubling up to ten times; `None`: never.
    pub rejected_retry: Option<Duration>,
    /// MAX-REQUEST-RETRANSMIT: how often a handle resolution is repeated before another registrar is asked.
    pub max_request_retransmit: u32,
    /// `stale_cache_value`: age at which a resolved pool is resolved again.
    pub stale_cache: Duration,
    /// First wait before an unknown or exhausted pool is resolved again; doubles.
    pub resolve_retry: Duration,
    /// Where doubling that wait ends.
    pub resolve_retry_max: Duration,
    /// First time in quarantine of an unreachable pool element; doubles.
    pub quarantine: Duration,
    /// Where doubling the quarantine ends.
    pub quarantine_max: Duration,
    /// Time between keep-alives to one pool element, spread by [`Profile::keep_alive_jitter_percent`].
    pub keep_alive_interval: Duration,
    /// Spread of the interval (RFC 5352 section 3.5: 50 percent).
    pub keep_alive_jitter_percent: u8,
    /// How long an acknowledgement may take.
    pub keep_alive_timeout: Duration,
    /// Unanswered keep-alives that end a registration.
    pub keep_alive_attempts: u32,
    /// How long a pool element without connection stays registered; zero: not at all.
    pub reconnect_grace: Duration,
    /// MAX-BAD-PE-REPORT: from so many distinct reporters on, one unanswered keep-alive is enough.
    pub max_bad_pe_report: usize,
    /// PEER-HEARTBEAT-CYCLE: time between presences to all peers (RFC 5353 section 4.2), spread by
    /// [`Profile::jitter_percent`] downwards.
    pub peer_heartbeat: Duration,
    /// MAX-TIME-LAST-HEARD: a peer silent for so long is asked whether it lives.
    pub peer_last_heard: Duration,
    /// MAX-TIME-NO-RESPONSE: how long a peer's answer may take, and a connection to it.
    pub peer_no_response: Duration,
    /// How long a starting registrar looks for a mentor before it serves alone.
    pub mentor_discovery: Duration,
    /// How long the peers' acknowledgements of a takeover may take before it starts again.
    pub takeover_timeout: Duration,
    /// First wait before a peer is connected to again; doubles.
    pub peer_retry: Duration,
    /// Where doubling that wait ends.
    pub peer_retry_max: Duration,
    /// Time between full audits of every peer's table, whatever its checksum says.
    pub audit_interval: Duration,
    /// A peer's table is asked for at most once in this time.
    pub resync_gap: Duration,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Profile {
    /// Finds a dead pool element within 3.5 s, and has taken over a dead registrar within 6 s.
    pub const FAST: Profile = Profile {
        name: "fast",
        t1_request: millis(500),
        t2_registration: seconds(3),
        t3_deregistration: seconds(1),
        t4_max: seconds(10),
        t4_margin: seconds(20),
        life: seconds(30),
        life_unit: LifeUnit::Seconds,
        t5_hunt: millis(50),
        t5_max: seconds(5),
        t7_outdate: seconds(10),
        connect_timeout: seconds(1),
        jitter_percent: 50,
        max_reg_attempt: 2,
        stop_after_max_reg_attempt: false,
        rejected_retry: Some(seconds(1)),
        max_request_retransmit: 2,
        stale_cache: seconds(5),
        resolve_retry: millis(200),
        resolve_retry_max: seconds(1),
        quarantine: seconds(30),
        quarantine_max: seconds(600),
        keep_alive_interval: seconds(1),
        keep_alive_jitter_percent: 50,
        keep_alive_timeout: millis(900),
        keep_alive_attempts: 2,
        reconnect_grace: seconds(2),
        max_bad_pe_report: 3,
        peer_heartbeat: millis(800),
        peer_last_heard: seconds(2),
        peer_no_response: seconds(1),
        mentor_discovery: seconds(2),
        takeover_timeout: millis(1_500),
        peer_retry: millis(250),
        peer_retry_max: seconds(5),
        audit_interval: seconds(300),
        resync_gap: seconds(5),
    };

    /// RFC 5352 section 7; what the RFC leaves open is chosen in proportion.
    pub const RFC: Profile = Profile {
        name: "rfc",
        t1_request: seconds(15),
        t2_registration: seconds(30),
        t3_deregistration: seconds(30),
        t4_max: seconds(600),
        t4_margin: seconds(20),
        life: seconds(900),
        life_unit: LifeUnit::Seconds,
        t5_hunt: seconds(10),
        t5_max: seconds(60),
        t7_outdate: seconds(5),
        connect_timeout: seconds(0),
        jitter_percent: 10,
        max_reg_attempt: 2,
        stop_after_max_reg_attempt: true,
        rejected_retry: None,
        max_request_retransmit: 2,
        stale_cache: seconds(30),
        resolve_retry: seconds(10),
        resolve_retry_max: seconds(60),
        quarantine: seconds(60),
        quarantine_max: seconds(600),
        keep_alive_interval: seconds(30),
        keep_alive_jitter_percent: 50,
        keep_alive_timeout: seconds(15),
        keep_alive_attempts: 1,
        reconnect_grace: seconds(60),
        max_bad_pe_report: 3,
        peer_heartbeat: seconds(30),
        peer_last_heard: seconds(61),
        peer_no_response: seconds(5),
        mentor_discovery: seconds(15),
        takeover_timeout: seconds(15),
        peer_retry: seconds(5),
        peer_retry_max: seconds(60),
        audit_interval: seconds(300),
        resync_gap: seconds(5),
    };

    /// The reference implementation's defaults, with its unit of a life.
    pub const RSPLIB: Profile = Profile {
        name: "rsplib",
        t1_request: seconds(3),
        t2_registration: seconds(3),
        t3_deregistration: seconds(3),
        t4_max: seconds(30),
        t4_margin: seconds(20),
        life: seconds(90),
        life_unit: LifeUnit::Milliseconds,
        t5_hunt: seconds(1),
        t5_max: seconds(10),
        t7_outdate: seconds(5),
        connect_timeout: millis(7_500),
        jitter_percent: 10,
        max_reg_attempt: 1,
        stop_after_max_reg_attempt: false,
        rejected_retry: Some(seconds(30)),
        max_request_retransmit: 1,
        stale_cache: seconds(5),
        resolve_retry: millis(250),
        resolve_retry_max: seconds(5),
        quarantine: seconds(30),
        quarantine_max: seconds(600),
        keep_alive_interval: seconds(5),
        keep_alive_jitter_percent: 0,
        keep_alive_timeout: seconds(5),
        keep_alive_attempts: 1,
        reconnect_grace: seconds(0),
        max_bad_pe_report: 3,
        peer_heartbeat: millis(2_444),
        peer_last_heard: seconds(5),
        peer_no_response: seconds(5),
        mentor_discovery: seconds(5),
        takeover_timeout: seconds(5),
        peer_retry: seconds(1),
        peer_retry_max: seconds(10),
        audit_interval: seconds(300),
        resync_gap: seconds(5),
    };

    /// Returns the profile of this name.
    pub fn by_name(name: &str) -> Option<Profile> {
        [Self::FAST, Self::RFC, Self::RSPLIB].into_iter().find(|profile| profile.name == name)
    }

    /// Returns when to send the next ASAP_REGISTRATION (T4, RFC 5352 section 7.1): [`Profile::t4_margin`]
    /// before `life` ends, at most [`Profile::t4_max`] and at least a third of the life from now.
    pub fn reregistration_delay(&self, life: Duration) -> Duration {
        life.saturating_sub(self.t4_margin).max(life / 3).min(self.t4_max)
    }
}

impl Default for Profile {
    fn default() -> Profile {
        Profile::FAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found_by_name() {
        for profile in [Profile::FAST, Profile::RFC, Profile::RSPLIB] {
            assert_eq!(Profile::by_name(profile.name), Some(profile));
        }
        assert_eq!(Profile::by_name("slow"), None);
    }

    #[test]
    fn the_profile_rfc_has_the_timers_and_thresholds_of_the_rfcs() {
        let rfc = Profile::RFC;
        // RFC 5352 sections 7.1 and 7.3; T6 is `registrar::announce`'s.
        assert_eq!([rfc.t1_request, rfc.t2_registration, rfc.t3_deregistration], [15, 30, 30].map(seconds));
        assert_eq!([rfc.t4_max, rfc.t4_margin], [seconds(600), seconds(20)]);
        assert_eq!([rfc.t5_hunt, rfc.t5_max, rfc.t7_outdate], [10, 60, 5].map(seconds));
        assert_eq!((rfc.max_reg_attempt, rfc.max_request_retransmit), (2, 2));
        assert_eq!((rfc.life_unit, rfc.keep_alive_jitter_percent), (LifeUnit::Seconds, 50));
        // RFC 5353 section 4.2.
        assert_eq!([rfc.peer_heartbeat, rfc.peer_last_heard, rfc.peer_no_response], [30, 61, 5].map(seconds));
    }

    #[test]
    fn re_registration_comes_20_s_before_the_end_or_after_10_min_and_never_at_once() {
        assert_eq!(Profile::RFC.reregistration_delay(seconds(100)), seconds(80));
        assert_eq!(Profile::RFC.reregistration_delay(seconds(3600)), seconds(600));
        assert_eq!(Profile::RFC.reregistration_delay(seconds(15)), seconds(5));
    }

    #[test]
    fn the_fast_profile_finds_a_dead_element_within_3500_ms() {
        let fast = Profile::FAST;
        let interval = fast.keep_alive_interval * (100 + u32::from(fast.keep_alive_jitter_percent)) / 100;
        assert!(interval + fast.keep_alive_timeout * fast.keep_alive_attempts <= millis(3_500));
        assert!(fast.reconnect_grace <= millis(3_500));
    }

    #[test]
    fn a_peer_is_silent_only_after_two_missing_heartbeats_and_the_fast_profile_takes_over_within_6_s() {
        for profile in [Profile::FAST, Profile::RFC, Profile::RSPLIB] {
            assert!(profile.peer_last_heard > profile.peer_heartbeat * 2);
        }
        // Whoever is asked to agree may have heard the dead one last, and asks it first.
        let fast = Profile::FAST;
        assert!(fast.peer_last_heard + fast.peer_no_response * 2 + fast.keep_alive_timeout <= seconds(6));
    }
}
