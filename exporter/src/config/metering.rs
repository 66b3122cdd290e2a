//! `[metering]`: packets to flows.

use serde::Deserialize;
use service::config::{Invalid, Period};

use crate::metering::MeteringConfig;

/// `[metering]`: packets to flows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Metering {
    /// A flow without packets for longer than this ends.
    pub idle_timeout: Period,
    /// A flow older than this ends and goes on as a new one.
    pub active_timeout: Period,
    /// Flows kept at a time.
    pub max_flows: usize,
    /// Observation Domain ID of the exported messages.
    pub observation_domain: u32,
}

impl Default for Metering {
    fn default() -> Self {
        let MeteringConfig { idle_timeout, active_timeout, max_flows, .. } = MeteringConfig::default();
        Self {
            idle_timeout: Period(idle_timeout),
            active_timeout: Period(active_timeout),
            max_flows,
            observation_domain: 1,
        }
    }
}

impl Metering {
    /// Returns the settings of the metering process.
    pub fn metering(&self) -> MeteringConfig {
        MeteringConfig {
            idle_timeout: self.idle_timeout.0,
            active_timeout: self.active_timeout.0,
            max_flows: self.max_flows,
            ..MeteringConfig::default()
        }
    }

    pub(super) fn validate(&self) -> Result<(), Invalid> {
        for (key, period) in
            [("metering.idle-timeout", self.idle_timeout), ("metering.active-timeout", self.active_timeout)]
        {
            if period.0.is_zero() {
                return Err(Invalid::new(key, "must be longer than 0"));
            }
        }
        if self.max_flows == 0 {
            return Err(Invalid::new("metering.max-flows", "must be at least 1"));
        }
        Ok(())
    }
}
