//! `[metering]`: packets to flows.

use serde::Deserialize;
use service::config::{Invalid, Period};

use crate::metering::MeteringConfig;
use crate::packet::Layers;

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
    /// Which packet is metered where one travels in another.
    pub layers: TunnelLayers,
    /// Observation Domain ID of the exported messages.
    pub observation_domain: u32,
}

/// Which packet is metered where one travels in another, in a tunnel.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelLayers {
    /// The one on the wire.
    #[default]
    Outer,
    /// The innermost one.
    Inner,
    /// Each of them.
    Both,
}

impl From<TunnelLayers> for Layers {
    fn from(layers: TunnelLayers) -> Self {
        match layers {
            TunnelLayers::Outer => Self::Outer,
            TunnelLayers::Inner => Self::Inner,
            TunnelLayers::Both => Self::Both,
        }
    }
}

impl Default for Metering {
    fn default() -> Self {
        let MeteringConfig { idle_timeout, active_timeout, max_flows, .. } = MeteringConfig::default();
        Self {
            idle_timeout: Period(idle_timeout),
            active_timeout: Period(active_timeout),
            max_flows,
            layers: TunnelLayers::default(),
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
            layers: self.layers.into(),
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
