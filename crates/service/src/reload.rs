//! SIGHUP: the configuration is checked again, what can be read again is, and metrics tell how that went.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use crate::config::{self, Sources};
use crate::notify::Notify;
use crate::{Daemon, log};

type Callback = Box<dyn FnMut() -> bool + Send>;

/// Signals are a process's, and so is what they do.
static CALLBACKS: Mutex<Vec<Callback>> = Mutex::new(Vec::new());

/// Calls `reload` at every SIGHUP while the configuration file is good. It returns whether it succeeded, and leaves
/// everything as it was where not.
pub fn on_hangup(reload: impl FnMut() -> bool + Send + 'static) {
    CALLBACKS.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(reload));
}

/// Answers every SIGHUP. `running` is what the daemon runs with, if it was read from a file. How it went is in
/// `PREFIX_config_last_reload_successful` and `…_timestamp_seconds`.
pub(crate) async fn watch<D: Daemon>(mut hangups: Signal, path: PathBuf, running: Option<Sources>) {
    let notify = Notify::from_env();
    while hangups.recv().await.is_some() {
        notify.send_reloading();
        record(D::METRICS_PREFIX, reload::<D>(&path, running.as_ref()));
        notify.send("READY=1");
    }
}

fn reload<D: Daemon>(path: &std::path::Path, running: Option<&Sources>) -> bool {
    if let Some(running) = running {
        match config::load_daemon::<D>(path) {
            Ok((sources, _)) => {
                let keys = sources.changed(running);
                if !keys.is_empty() {
                    let keys = keys.join(", ");
                    warn!(keys, "the configuration has changed, and is in force after a restart");
                }
            }
            Err(refused) => {
                for line in refused.lines() {
                    error!("{line}");
                }
                error!("the configuration is refused: everything stays as it was");
                return false;
            }
        }
    }
    let mut callbacks = CALLBACKS.lock().unwrap_or_else(PoisonError::into_inner);
    // All of them, also where one fails.
    let successes = callbacks.iter_mut().filter_map(|reload| reload().then_some(())).count();
    info!(read = successes, failed = callbacks.len() - successes, "SIGHUP: read again");
    successes == callbacks.len()
}

/// Turns DEBUG on and off again, by SIGUSR2.
pub(crate) async fn watch_verbosity(mut signals: Signal) {
    while signals.recv().await.is_some() {
        let verbose = log::toggle_debug();
        info!(verbose, "SIGUSR2: the level of the log has changed");
    }
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
