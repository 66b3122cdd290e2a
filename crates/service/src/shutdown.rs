//! Orderly end: SIGTERM or SIGINT asks for it, a second one enforces it.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::Exit;

/// Tells every part of a daemon that it shall end. Clones share one state.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A shutdown nobody has asked for yet.
    pub fn new() -> Self {
        Self { requested: Arc::new(watch::Sender::new(false)) }
    }

    /// Asks for the end; asking twice changes nothing.
    pub fn request(&self) {
        self.requested.send_replace(true);
    }

    /// Returns whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Waits until the end is asked for; returns at once when it already was. Cancel safe.
    pub async fn requested(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = self.requested.subscribe().wait_for(|requested| *requested).await;
    }
}

/// SIGTERM and SIGINT, caught from the moment this exists.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Passes the first signal on to `shutdown`; the second one ends the process.
    pub(crate) async fn watch(mut self, shutdown: Shutdown) {
        let signal = self.next().await;
        info!(signal, "shutting down");
        shutdown.request();
        let signal = self.next().await;
        warn!(signal, "second signal, ending at once");
        std::process::exit(Exit::Failed as i32);
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
