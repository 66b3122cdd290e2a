//! The audit log: one line at level INFO, target `audit`, for every registration, removal and takeover, with who
//! asked for it and why it was done.
//!
//! What changes with every load report (`ElementUpdated`) is no such line: DEBUG has it.

use rserpool::Causes;
use rserpool_proto::registrar::{Event, Removal};
use tracing::{debug, info, warn};

use crate::remotes::Remotes;
use crate::text::pool_text;

/// What this registrar decided itself.
const ITSELF: &str = "registrar";

/// Writes the line of an event.
pub(crate) fn tell(event: &Event, remotes: &Remotes) {
    match event {
        Event::ElementRegistered { pool, pe, by } => {
            let by = remotes.name(*by);
            info!(target: "audit", pool = pool_text(pool), %pe, by, "pool element registered");
        }
        Event::ElementUpdated { pool, pe, by } => {
            debug!(target: "audit", pool = pool_text(pool), %pe, by = remotes.name(*by), "pool element updated");
        }
        Event::ElementRemoved { pool, pe, reason, by, element } => {
            let by = match (by, reason) {
                (Some(by), _) => remotes.name(*by),
                (None, Removal::HomeSaid | Removal::NotListed) => format!("registrar {}", element.home),
                (None, _) => ITSELF.to_owned(),
            };
            info!(target: "audit", pool = pool_text(pool), %pe, by, reason = reason.label(), "pool element removed");
        }
        Event::ElementDraining { pool, pe } => {
            info!(target: "audit", pool = pool_text(pool), %pe, by = "operator", "pool element draining");
        }
        Event::ElementUndrained { pool, pe } => {
            info!(target: "audit", pool = pool_text(pool), %pe, by = "operator", "pool element no longer draining");
        }
        Event::RegistrationRejected { pool, pe, by, cause } => {
            let by = remotes.name(*by);
            debug!(target: "audit", pool = pool_text(pool), %pe, by, %cause, "registration refused");
        }
        Event::ElementSuspect { pool, pe } => debug!(pool = pool_text(pool), %pe, "pool element suspect"),
        Event::ElementRecovered { pool, pe } => debug!(pool = pool_text(pool), %pe, "pool element recovered"),
        Event::Malformed { connection, error } => debug!(%connection, %error, "malformed message"),
        Event::Stalled { duration } => {
            let milliseconds = duration.as_millis();
            warn!(milliseconds, "this process was stopped; all deadlines are put off");
        }
        Event::HomeChanged { pool, pe, from, to } => {
            info!(target: "audit", pool = pool_text(pool), %pe, %from, %to, "home of a pool element changed");
        }
        Event::ElementAdopted { pool, pe, from } => {
            let from = from.map_or_else(|| "takeover".to_owned(), |from| from.to_string());
            info!(target: "audit", pool = pool_text(pool), %pe, from, "pool element adopted");
        }
        Event::ElementReplicated { pool, pe, home } => {
            info!(target: "audit", pool = pool_text(pool), %pe, %home, "pool element of another registrar");
        }
        Event::Ready { mentor } => {
            let mentor = mentor.map(|mentor| mentor.to_string());
            info!(mentor, "ready for peers");
        }
        Event::PeerJoined { peer } => info!(target: "audit", %peer, "registrar joined"),
        Event::PeerSuspect { peer } => info!(%peer, "registrar silent"),
        Event::PeerRecovered { peer } => info!(%peer, "registrar lives"),
        Event::PeerLost { peer, elements } => warn!(target: "audit", %peer, elements, "registrar dead"),
        Event::PeerRefused { from, refusal } => {
            let from = from.map(|from| remotes.name(from));
            debug!(target: "audit", from, reason = refusal.label(), "refused a registrar");
        }
        Event::IdConflict { holder, ours, holder_at, newcomer, newcomer_at, from } => {
            let id = holder.short();
            let from = from.map(|from| remotes.name(from));
            warn!(target: "audit", %id, ours, %holder, ?holder_at, %newcomer, ?newcomer_at, from,
                "two registrars have the same identifier, the second is refused: give one of them another `id` in its \
                 configuration");
        }
        Event::PeerError { peer, causes } => {
            debug!(%peer, causes = %Causes(causes), "a registrar reports an error");
        }
        Event::TableDownloaded { peer, own, elements } => debug!(%peer, own, elements, "table received"),
        Event::TableIncomplete { peer, missing } => {
            warn!(target: "audit", %peer, missing,
                "no room for pool elements of another registrar; they cannot be resolved here (section [limits])");
        }
        Event::ChecksumMismatch { peer, told, held } => {
            debug!(%peer, told = %format_args!("{:04x}", told.0), held = %format_args!("{:04x}", held.0),
                "checksums differ");
        }
        Event::TakeoverStarted { target, elements } => {
            info!(target: "audit", registrar = %target, elements, "takeover started");
        }
        Event::TakeoverAbandoned { target, why } => {
            info!(target: "audit", registrar = %target, ?why, "takeover abandoned");
        }
        Event::TakenOver { target, elements } => {
            warn!(target: "audit", registrar = %target, elements, "took over");
        }
        Event::TakeoverLost { target, to } => {
            info!(target: "audit", registrar = %target, %to, "another registrar took over");
        }
        Event::Left { elements } => info!(target: "audit", elements, "left the other registrars"),
    }
}
