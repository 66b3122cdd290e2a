//! Timing of an association.

use std::time::Duration;

/// Timing of an association. The names are those of RFC 9260 section 16 where it has one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// RTO.Initial, also of T1-init and T1-cookie.
    pub rto_initial: Duration,
    /// RTO.Min. Above the peer's delayed SACK (200 ms in Linux), or idle links retransmit for nothing.
    pub rto_min: Duration,
    /// RTO.Max, and the cap of the back-off. Above `heartbeat`: a retransmission postpones a heartbeat.
    pub rto_max: Duration,
    /// Longest delay of our own SACK.
    pub sack_delay: Duration,
    /// HB.interval of a path without data.
    pub heartbeat: Duration,
    /// The association is lost when no packet with the right verification tag came for so long. TCP:
    /// when nothing was acknowledged for so long.
    pub silence: Duration,
    /// The association is lost when ICMP says so for so long and no valid packet came between.
    pub unreachable: Duration,
    /// `connect` gives up after so long.
    pub connect: Duration,
}

impl Profile {
    /// Notices a dead peer fast. The default.
    pub const fn fast() -> Profile {
        Profile {
            rto_initial: Duration::from_millis(250),
            rto_min: Duration::from_millis(250),
            rto_max: Duration::from_millis(700),
            sack_delay: Duration::from_millis(20),
            heartbeat: Duration::from_millis(500),
            silence: Duration::from_millis(2_000),
            unreachable: Duration::from_millis(250),
            connect: Duration::from_millis(3_000),
        }
    }

    /// The values RFC 9260 section 16 recommends; a dead peer is noticed after two minutes.
    pub const fn rfc() -> Profile {
        Profile {
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_secs(1),
            rto_max: Duration::from_secs(60),
            sack_delay: Duration::from_millis(200),
            heartbeat: Duration::from_secs(30),
            silence: Duration::from_secs(120),
            unreachable: Duration::from_secs(10),
            connect: Duration::from_secs(60),
        }
    }
}

impl Default for Profile {
    fn default() -> Profile {
        Profile::fast()
    }
}
