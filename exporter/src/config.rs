//! `exporter.toml`, a module per table. The annotated sample is `deploy/config/exporter.toml`.

mod class;
mod export;
mod metering;
mod pool;
mod rule;
mod source;

use std::path::PathBuf;

use serde::Deserialize;
use service::config::{Http, Invalid};

use crate::export::{Classes, Classifier};

pub use class::{ClassTable, ClassTables, Word};
pub use export::{Export, RetentionConfig};
pub use metering::Metering;
pub use pool::{Pool, Service, Transport};
pub use rule::{Conditions, RuleTable, TemplateName, Templates};
pub use source::{Source, Speed, Start, parse_utc};

/// The whole file; every key but `source.pcap` and `pool.key-file` has a default.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Where packets come from.
    pub source: Source,
    /// How packets become flows.
    #[serde(default)]
    pub metering: Metering,
    /// Where flows go.
    pub pool: Pool,
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
    /// Directory of the ledger. Without it every start is a new ledger.
    #[serde(default)]
    pub directory: Option<PathBuf>,
}

impl Config {
    /// Returns the classes and what sorts flow records into them.
    ///
    /// Fails where they contradict each other; never for a configuration that was checked.
    pub fn classes(&self) -> Result<(Classes, Classifier), Invalid> {
        rule::compile(&self.class, &self.rule)
    }
}

/// Refuses what is good key by key and wrong together.
pub(crate) fn validate(config: &Config) -> Result<(), Invalid> {
    config.classes()?;
    config.export.validate()?;
    config.retention.validate()?;
    config.metering.validate()?;
    config.pool.validate(config.tls.is_some())
}

#[cfg(test)]
mod tests;
