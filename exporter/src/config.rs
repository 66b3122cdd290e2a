//! `exporter.toml`, a module per table. The annotated sample is `deploy/config/exporter.toml`.

mod class;
mod export;
mod metering;
mod pool;
mod source;

use std::path::PathBuf;

use serde::Deserialize;
use service::config::{Http, Invalid};

pub use class::{Classes, Limited, Reliable, Timed, Unreliable};
pub use export::{Export, RetentionConfig};
pub use metering::Metering;
pub use pool::Pool;
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
    /// How hard the transport tries to deliver them.
    #[serde(default)]
    pub class: Classes,
    /// How they are packed.
    #[serde(default)]
    pub export: Export,
    /// What waits for an acknowledgement.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// What outlives a restart.
    #[serde(default)]
    pub state: State,
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

/// Refuses what is good key by key and wrong together.
pub(crate) fn validate(config: &Config) -> Result<(), Invalid> {
    config.class.validate()?;
    config.export.validate()?;
    config.retention.validate()?;
    config.metering.validate()?;
    config.pool.validate()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_classes_are_refused_by_name() {
        let text = "[source]\npcap = \"a\"\n[pool]\nkey-file = \"k\"\n[class.reliable]\n[class.timed]\n";
        let error = service::config::parse::<Config>("exporter.toml", text, validate).unwrap_err();
        assert!(error.to_string().contains("reliable, timed"), "{error}");
    }
}
