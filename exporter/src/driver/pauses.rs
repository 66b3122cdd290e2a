//! The pause between connections to the same collector (RFC 7011 section 10.4.4).
//!
//! "In the default configuration, an Exporting Process MUST NOT attempt to establish a connection more frequently than
//! once per minute": TCP and TLS only, and for each collector by itself, so that a failover waits for nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use transport::PeerAddress;

/// When collectors were last connected to.
pub(super) struct Pauses {
    pause: Duration,
    last: HashMap<PeerAddress, Instant>,
}

impl Pauses {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, last: HashMap::new() }
    }

    /// Returns how long to wait until the first of a collector's `addresses` may be connected to; zero for now.
    pub(super) fn remaining(&self, now: Instant, addresses: &[PeerAddress]) -> Duration {
        let remaining = |address| {
            let last = self.last.get(address)?;
            Some(self.pause.saturating_sub(now.saturating_duration_since(*last)))
        };
        addresses.iter().map(|address| remaining(address).unwrap_or_default()).min().unwrap_or_default()
    }

    /// Takes down that `addresses` are connected to now. What is older than the pause is forgotten.
    pub(super) fn note(&mut self, now: Instant, addresses: &[PeerAddress]) {
        let pause = self.pause;
        self.last.retain(|_, last| now.saturating_duration_since(*last) < pause);
        let connections =
            addresses.iter().filter(|address| matches!(address, PeerAddress::Tcp(_) | PeerAddress::Tls(_)));
        self.last.extend(connections.map(|address| (*address, now)));
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    fn tcp(last: u8) -> PeerAddress {
        PeerAddress::Tcp(SocketAddr::from(([192, 0, 2, last], 4739)))
    }

    #[test]
    fn the_same_collector_is_connected_to_once_a_pause_and_others_at_once() {
        let (mut pauses, start) = (Pauses::new(PAUSE), Instant::now());
        assert_eq!(pauses.remaining(start, &[tcp(1)]), Duration::ZERO);
        pauses.note(start, &[tcp(1)]);
        let later = start + Duration::from_secs(20);
        assert_eq!(pauses.remaining(later, &[tcp(1)]), Duration::from_secs(40));
        assert_eq!(pauses.remaining(later, &[tcp(2)]), Duration::ZERO);
        assert_eq!(pauses.remaining(start + PAUSE, &[tcp(1)]), Duration::ZERO);
    }

    #[test]
    fn sctp_does_not_pause() {
        let (mut pauses, start) = (Pauses::new(PAUSE), Instant::now());
        let sctp = PeerAddress::sctp(IpAddr::from([192, 0, 2, 1]), 4739);
        pauses.note(start, &[sctp]);
        assert_eq!(pauses.remaining(start, &[sctp]), Duration::ZERO);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let (mut pauses, start) = (Pauses::new(PAUSE), Instant::now());
        for second in 0..10_u8 {
            pauses.note(start + PAUSE * u32::from(second), &[tcp(second)]);
        }
        assert_eq!(pauses.last.len(), 1);
    }
}
