//! Accepting associations, the same for every back end.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{Association, PeerAddress};

/// Accepts associations. Dropping it stops listening; associations not yet accepted are aborted.
#[derive(Debug)]
pub struct Listener {
    incoming: mpsc::Receiver<Association>,
    local: PeerAddress,
    _stop: Stop,
}

/// Stops the back end's listening when dropped.
pub(crate) struct Stop(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl Drop for Stop {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stop")
    }
}

impl Listener {
    pub(crate) fn new(incoming: mpsc::Receiver<Association>, local: PeerAddress, stop: Stop) -> Listener {
        Listener { incoming, local, _stop: stop }
    }

    /// Waits for the next association, which is up. Fails once the endpoint below is closed. Cancel safe.
    pub async fn accept(&mut self) -> io::Result<Association> {
        self.incoming
            .recv()
            .await
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the endpoint is closed"))
    }

    /// Where this listens, with the port in use where 0 was asked for.
    pub fn local(&self) -> PeerAddress {
        self.local
    }
}
