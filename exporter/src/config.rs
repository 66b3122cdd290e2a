//! `exporter.toml`, a module per table. The annotated sample is `deploy/config/exporter.toml`.

mod class;
mod export;
mod metering;
mod pool;
mod relay;
mod rule;
mod sampling;
mod source;
mod udp;

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use service::config::{Faults, Http, Invalid};

use crate::export::{Classes, Classifier, FlowEncoder, OpenRules};
use crate::metering::MeteringConfig;

pub use class::{ClassTable, ClassTables, Word};
pub use export::{Durability, Export, RetentionConfig};
pub use metering::{AddedField, Fields, KeyName, Metering, Times, TunnelLayers};
pub use pool::{Pool, Service, Transport};
pub use relay::Relay;
pub use rule::{Conditions, RuleTable, TemplateName, TemplateNames};
pub use sampling::Sampling;
pub use source::{Source, Speed, Start, parse_utc};
pub use udp::Udp;

/// The whole file; every key but `source.pcap`, `source.interfaces` or `relay.listen` and, of the destination, `pool.key-file` or `udp.collector` has a
/// default.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Where packets come from: this or `relay`.
    #[serde(default)]
    pub source: Option<Source>,
    /// Where flows come from: this or `source`.
    #[serde(default)]
    pub relay: Option<Relay>,
    /// How packets become flows.
    #[serde(default)]
    pub metering: Metering,
    /// Which packets are metered; all without it.
    #[serde(default)]
    pub sampling: Option<Sampling>,
    /// Where flows go: this or `udp`.
    #[serde(default)]
    pub pool: Option<Pool>,
    /// Where flows go: this or `pool`.
    #[serde(default)]
    pub udp: Option<Udp>,
    /// How hard the transport tries to deliver them: classes in this order, the last loses first.
    #[serde(default)]
    pub class: ClassTables,
    /// Which class a flow goes with: the first rule that matches tells. The class no rule names takes the rest.
    #[serde(default)]
    pub rule: Vec<RuleTable>,
    /// How they are packed.
    #[serde(default)]
    pub export: Export,
    /// What waits for an acknowledgement.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// Timing of associations.
    #[serde(default)]
    pub profile: rserpool::ProfileConfig,
    /// What outlives a restart.
    #[serde(default)]
    pub state: State,
    /// Who this exporter is, and who its peers may be.
    #[serde(default)]
    pub tls: Option<rserpool::TlsConfig>,
    /// Metrics and health.
    #[serde(default = "http")]
    pub http: Http,
}

const fn http() -> Http {
    Http::loopback(9382)
}

/// `[state]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct State {
    /// Directory of the ledger and the spool. Without it every start is a new ledger, and there is no spool.
    #[serde(default)]
    pub directory: Option<PathBuf>,
}

/// Where flows come from.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Packets that are metered.
    Packets(&'a Source),
    /// Routers that meter.
    Routers(&'a Relay),
}

impl Input<'_> {
    /// Tells whether records wait where they come from while nobody takes them.
    pub fn waits(&self) -> bool {
        match self {
            Self::Packets(source) => source.waits(),
            Self::Routers(_) => false,
        }
    }
}

impl fmt::Display for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packets(source) => source.fmt(f),
            Self::Routers(relay) => relay.fmt(f),
        }
    }
}

/// Where flows go.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// A pool of collectors.
    Pool(&'a Pool),
    /// One collector, over UDP.
    Udp(&'a Udp),
}

impl Config {
    /// Returns the one input.
    ///
    /// Fails where there is none or more than one; never for a configuration that was checked.
    pub fn input(&self) -> Result<Input<'_>, Invalid> {
        match (&self.source, &self.relay) {
            (Some(source), None) => Ok(Input::Packets(source)),
            (None, Some(relay)) => Ok(Input::Routers(relay)),
            (None, None) => Err(Invalid::new(
                "source",
                "no flows: needs `[source]` (packets that are metered) or `[relay]` (routers that send flows)",
            )),
            (Some(_), Some(_)) => Err(Invalid::new(
                "relay",
                "flows come from one input, and there are `[source]` and `[relay]`",
            )),
        }
    }

    /// Returns the packets.
    ///
    /// Fails where flows come from routers.
    pub fn packets(&self) -> Result<&Source, Invalid> {
        match self.input()? {
            Input::Packets(source) => Ok(source),
            Input::Routers(_) => Err(Invalid::new("relay", "packets are metered here, and there are none")),
        }
    }

    /// Returns the one destination.
    ///
    /// Fails where there is none or more than one; never for a configuration that was checked.
    pub fn destination(&self) -> Result<Destination<'_>, Invalid> {
        match (&self.pool, &self.udp) {
            (Some(pool), None) => Ok(Destination::Pool(pool)),
            (None, Some(udp)) => Ok(Destination::Udp(udp)),
            (None, None) => Err(Invalid::new(
                "pool",
                "flows go nowhere: needs `[pool]` (collectors of a pool) or `[udp]` (one collector)",
            )),
            (Some(_), Some(_)) => {
                Err(Invalid::new("udp", "flows go to one destination, and there are `[pool]` and `[udp]`"))
            }
        }
    }

    /// Returns the settings of the metering process.
    pub fn metering(&self) -> MeteringConfig {
        MeteringConfig { sampling: self.sampling.map(Sampling::selector), ..self.metering.metering() }
    }

    /// Returns what encodes flow records.
    pub fn encoder(&self) -> FlowEncoder {
        FlowEncoder::with(&self.metering.selection(self.sampling.is_some()))
    }

    /// Returns the classes and what sorts flow records into them.
    ///
    /// Fails where they contradict each other; never for a configuration that was checked.
    pub fn classes(&self) -> Result<(Classes, Classifier), Faults> {
        rule::compile(&self.class, &self.rule, self.encoder().templates())
    }

    /// Returns the classes and what sorts the flow records of routers into them.
    ///
    /// Fails as [`Config::classes`].
    pub fn open_classes(&self) -> Result<(Classes, OpenRules), Faults> {
        rule::compile_open(&self.class, &self.rule)
    }
}

/// Refuses what is good key by key and wrong together.
pub(crate) fn validate(config: &Config, faults: &mut Faults) {
    match faults.take(config.input()) {
        Some(Input::Packets(source)) => {
            source.validate(faults);
            faults.take(config.classes());
        }
        Some(Input::Routers(relay)) => relay.validate(config, faults),
        None => {}
    }
    config.export.validate(faults);
    config.retention.validate(config.state.directory.is_some(), faults);
    config.metering.validate(faults);
    if let Some(sampling) = config.sampling {
        sampling.validate(faults);
    }
    if let Some(Destination::Udp(_)) = faults.take(config.destination())
        && !config.class.is_empty()
    {
        faults.add(
            "class",
            "over UDP nothing is sent twice: classes need `[pool]`, with `[udp]` there must be none",
        );
    }
    if let Some(pool) = &config.pool {
        pool.validate(config.tls.is_some(), faults);
    }
    if let Some(udp) = &config.udp {
        udp.validate(faults);
    }
}

#[cfg(test)]
mod tests;
