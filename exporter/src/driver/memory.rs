//! Remembers the collector in use for the next start, beside the loop: a slow disk delays no failover.

use std::path::PathBuf;
use std::sync::Arc;

use rserpool::PeId;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::debug;

use crate::state;

pub(super) struct Memory {
    latest: watch::Sender<Option<PeId>>,
    task: JoinHandle<()>,
}

impl Memory {
    /// Remembers in `directory` which collector of `pool` is in use.
    pub(super) fn new(directory: PathBuf, pool: String) -> Self {
        let (latest, mut news) = watch::channel(None);
        let place = Arc::new((directory, pool));
        let task = tokio::spawn(async move {
            while news.changed().await.is_ok() {
                let Some(pe) = *news.borrow_and_update() else { continue };
                let place = Arc::clone(&place);
                let written = spawn_blocking(move || state::remember_collector(&place.0, &place.1, pe)).await;
                if let Ok(Err(error)) = written {
                    debug!(%error, "the collector is not remembered for the next start");
                }
            }
        });
        Self { latest, task }
    }

    /// Takes note of the collector in use, and does not wait.
    pub(super) fn note(&self, pe: PeId) {
        self.latest.send_replace(Some(pe));
    }

    /// Waits until the last one noted is on disk.
    pub(super) async fn close(self) {
        let Self { latest, task } = self;
        drop(latest);
        // It only fails with the runtime.
        let _ = task.await;
    }
}
