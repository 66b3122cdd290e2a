//! The audit log: one line at level INFO, target `audit`, for every registration, removal and takeover, with who
//! asked for it and why it was done.
//!
//! What changes with every load report (`ElementUpdated`) is no such line: DEBUG has it.

use rserpool_proto::registrar::Event;
use tracing::{debug, info, warn};

use crate::remotes::Remotes;

/// What this registrar decided itself.
const ITSELF: &str = "registrar";

/// Writes the line of an event.
pub(crate) fn tell(event: &Event, remotes: &Remotes) {
    match event {
        Event::ElementRegistered { pool, pe, by } => {
            let by = remotes.name(*by);
            info!(target: "audit", %pool, %pe, by, "pool element registered");
        }
        Event::ElementUpdated { pool, pe, by } => {
            debug!(target: "audit", %pool, %pe, by = remotes.name(*by), "pool element updated");
        }
        Event::ElementRemoved { pool, pe, reason, by, .. } => {
            let by = by.map_or_else(|| ITSELF.to_owned(), |by| remotes.name(by));
            info!(target: "audit", %pool, %pe, by, reason = reason.label(), "pool element removed");
        }
        Event::ElementDraining { pool, pe } => {
            info!(target: "audit", %pool, %pe, by = "operator", "pool element draining");
        }
        Event::ElementUndrained { pool, pe } => {
            info!(target: "audit", %pool, %pe, by = "operator", "pool element no longer draining");
        }
        Event::RegistrationRejected { pool, pe, by, cause } => {
            let by = remotes.name(*by);
            debug!(target: "audit", %pool, %pe, by, %cause, "registration refused");
        }
        Event::ElementSuspect { pool, pe } => debug!(%pool, %pe, "pool element suspect"),
        Event::ElementRecovered { pool, pe } => debug!(%pool, %pe, "pool element recovered"),
        Event::Malformed { connection, error } => debug!(%connection, %error, "malformed message"),
        Event::Stalled { duration } => {
            let milliseconds = duration.as_millis();
            warn!(milliseconds, "this process was stopped; all deadlines are put off");
        }
    }
}
