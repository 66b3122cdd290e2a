//! SIGHUP: what can be read again is read again, and metrics tell how that went.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{SignalKind, signal};

use crate::Daemon;

/// Calls `reload` at every SIGHUP until the runtime ends, and records whether it succeeded in
/// `PREFIX_config_last_reload_successful` and `…_timestamp_seconds`. From the moment this returns, SIGHUP does not end
/// the process. Must run within a tokio runtime.
pub fn on_hangup<D: Daemon>(mut reload: impl FnMut() -> bool + Send + 'static) -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            record(D::METRICS_PREFIX, reload());
        }
    });
    Ok(())
}

/// Records that the configuration was read just now. The time is that of the last success.
pub(crate) fn record(prefix: &str, successful: bool) {
    let name = format!("{prefix}_config_last_reload_successful");
    metrics::describe_gauge!(
        name.clone(),
        "Whether the configuration was read at the start or the last SIGHUP"
    );
    metrics::gauge!(name).set(if successful { 1.0 } else { 0.0 });
    if successful {
        let name = format!("{prefix}_config_last_reload_timestamp_seconds");
        metrics::describe_gauge!(name.clone(), "When the configuration was last read with success");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        metrics::gauge!(name).set(now.as_secs_f64());
    }
}
