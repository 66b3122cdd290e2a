//! SIGHUP: what can be read again is read again.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Calls `reload` at every SIGHUP until the runtime ends. From the moment this returns, SIGHUP does not end the
/// process. Must run within a tokio runtime.
pub fn on_hangup(mut reload: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            reload();
        }
    });
    Ok(())
}
