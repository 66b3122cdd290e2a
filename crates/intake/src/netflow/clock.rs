//! Absolute times from times by the exporter's uptime (RFC 3954 section 8: LAST_SWITCHED and FIRST_SWITCHED).
//!
//! Uptime counts milliseconds modulo 2^32: it wraps every 49.7 days. A time is therefore told by its distance from the
//! uptime of the header, up to 24.8 days before and after it. Version 9 tells the header's time in seconds, so its flows
//! are known to the second only, although their distances are to the millisecond.

/// What a header says of the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// In milliseconds since the Unix epoch.
    unix: u64,
    /// At the same moment, in milliseconds since the exporter started, modulo 2^32.
    uptime: u32,
}

impl Clock {
    pub(super) fn new(seconds: u32, nanoseconds: u32, uptime: u32) -> Self {
        Self { unix: u64::from(seconds) * 1000 + u64::from(nanoseconds / 1_000_000), uptime }
    }

    /// Returns the milliseconds since the Unix epoch at which the uptime was `at`.
    pub(super) const fn absolute(self, at: u32) -> u64 {
        let age = self.uptime.wrapping_sub(at).cast_signed();
        self.unix.saturating_add_signed(-(age as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_as_far_from_the_headers_as_the_uptimes_are() {
        let clock = Clock::new(1_000, 5_999_999, 60_000);
        assert_eq!(clock.absolute(60_000), 1_000_005);
        assert_eq!(clock.absolute(0), 940_005);
        assert_eq!(clock.absolute(60_250), 1_000_255, "a flow that ends after the header was made");
    }

    #[test]
    fn the_uptime_wraps_between_a_flow_and_its_datagram() {
        let clock = Clock::new(2_000, 0, 1_000);
        assert_eq!(clock.absolute(u32::MAX - 999), 1_998_000);
    }

    #[test]
    fn a_clock_that_was_never_set_does_not_go_below_zero() {
        assert_eq!(Clock::new(0, 0, 5_000).absolute(1_000), 0);
    }
}
