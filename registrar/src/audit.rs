//! The audit log: one line at level INFO, target `audit`, for every registration, removal and takeover, with who
//! asked for it and why it was done.
//!
//! What changes with every load report (`ElementUpdated`) is no such line: DEBUG has it. Refusals, which anybody can
//! cause at will, have some lines a minute, and then one that says how many more there were.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use std::borrow::Cow;

use rserpool::Causes;
use rserpool_proto::registrar::{Event, NotAccepted, Removal};
use tracing::{debug, info, warn};

use crate::remotes::Remotes;
use crate::text::pool_text;

/// What this registrar decided itself.
const ITSELF: &str = "registrar";

/// The name under which claims are counted that an element's home has contradicted.
const CONTRADICTED: &str = "contradicted";

/// Lines about refusals of one cause in [`MINUTE`].
const REFUSALS: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// What was said about refusals of one cause.
#[derive(Debug)]
struct Refusals {
    since: Instant,
    said: u32,
    suppressed: u64,
}

/// Writes the log, and remembers how much of it is about refusals.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    refusals: BTreeMap<&'static str, Refusals>,
}

impl Audit {
    /// Writes the line of an event.
    pub(crate) fn tell(&mut self, now: Instant, event: &Event, remotes: &Remotes) {
        let limited = match event {
            Event::RegistrationRejected { cause, .. } => Some(cause.code.label()),
            // One for each element of a registrar, once parted registrars meet again.
            Event::ClaimContradicted { .. } => Some(CONTRADICTED),
            _ => None,
        };
        if limited.is_none_or(|cause| self.may_say(now, cause)) {
            write(event, remotes);
        }
    }

    /// Says what was not said of minutes that are over; to be called now and then.
    pub(crate) fn tell_suppressed(&mut self, now: Instant) {
        for (cause, suppressed) in self.take_suppressed(now) {
            match cause {
                CONTRADICTED => {
                    warn!(target: "audit", suppressed, "more claims of other registrars' elements");
                }
                _ => info!(target: "audit", cause, suppressed, "more registrations refused"),
            }
        }
    }

    fn may_say(&mut self, now: Instant, cause: &'static str) -> bool {
        self.tell_suppressed(now);
        let entry = self.refusals.entry(cause).or_insert(Refusals { since: now, said: 0, suppressed: 0 });
        if entry.said < REFUSALS {
            entry.said += 1;
            return true;
        }
        entry.suppressed += 1;
        false
    }

    /// The causes whose minute is over and how many lines each did not get.
    fn take_suppressed(&mut self, now: Instant) -> Vec<(&'static str, u64)> {
        let mut suppressed = Vec::new();
        self.refusals.retain(|cause, entry| {
            let lasts = now.saturating_duration_since(entry.since) < MINUTE;
            if !lasts && entry.suppressed > 0 {
                suppressed.push((*cause, entry.suppressed));
            }
            lasts
        });
        suppressed
    }
}

fn write(event: &Event, remotes: &Remotes) {
    match event {
        Event::ElementRegistered { pool, pe, by } => {
            let by = remotes.name(*by);
            info!(target: "audit", pool = &*pool_text(pool), %pe, by, "pool element registered");
        }
        Event::ElementUpdated { pool, pe, by } => {
            debug!(target: "audit", pool = &*pool_text(pool), %pe, by = remotes.name(*by), "pool element updated");
        }
        Event::ElementReassociated { pool, pe, reason, by } => {
            let by = remotes.name(*by);
            info!(target: "audit", pool = &*pool_text(pool), %pe, by, reason = reason.label(),
                "pool element registered over another association");
        }
        Event::ElementRemoved { pool, pe, reason, by, element } => {
            let by = match (by, reason) {
                (Some(by), _) => Cow::Borrowed(remotes.name(*by)),
                (None, Removal::HomeSaid | Removal::NotListed) => {
                    format!("registrar {}", element.home).into()
                }
                (None, _) => ITSELF.into(),
            };
            info!(target: "audit", pool = &*pool_text(pool), %pe, by = &*by, reason = reason.label(), "pool element removed");
        }
        Event::ElementDraining { pool, pe } => {
            info!(target: "audit", pool = &*pool_text(pool), %pe, by = "operator", "pool element draining");
        }
        Event::ElementUndrained { pool, pe } => {
            info!(target: "audit", pool = &*pool_text(pool), %pe, by = "operator", "pool element no longer draining");
        }
        Event::RegistrationRejected { pool, pe, by, cause } => {
            let by = remotes.name(*by);
            info!(target: "audit", pool = &*pool_text(pool), %pe, by, reason = %cause, "registration refused");
        }
        Event::ElementSuspect { pool, pe } => debug!(pool = &*pool_text(pool), %pe, "pool element suspect"),
        Event::ElementRecovered { pool, pe } => {
            debug!(pool = &*pool_text(pool), %pe, "pool element recovered");
        }
        Event::Malformed { connection, error } => debug!(%connection, %error, "malformed message"),
        Event::Stalled { duration } => {
            let milliseconds = duration.as_millis();
            warn!(milliseconds, "this process was stopped; all deadlines are put off");
        }
        Event::HomeChanged { pool, pe, from, to } => {
            info!(target: "audit", pool = &*pool_text(pool), %pe, %from, %to, "home of a pool element changed");
        }
        Event::ElementAdopted { pool, pe, from } => {
            let from = from.map_or_else(|| "takeover".to_owned(), |from| from.to_string());
            info!(target: "audit", pool = &*pool_text(pool), %pe, from, "pool element adopted");
        }
        Event::ElementReplicated { pool, pe, home } => {
            info!(target: "audit", pool = &*pool_text(pool), %pe, %home, "pool element of another registrar");
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
        Event::ClaimContradicted { pool, pe, home, claimer } => {
            warn!(target: "audit", pool = &*pool_text(pool), %pe, %home, %claimer,
                "a registrar claims a pool element that its home has still");
        }
        Event::NotAccepted { from, why, .. } => {
            let peer = remotes.name(*from);
            match why {
                NotAccepted::Stranger => warn!(target: "audit", peer,
                    "another registrar refuses this one as a stranger: list this one's address in its [[peer]] or in its \
                     [enrp] networks"),
                NotAccepted::TooMany => warn!(target: "audit", peer,
                    "another registrar has no room for this one: it has too many peers or connections"),
                NotAccepted::Unsaid => warn!(target: "audit", peer,
                    "another registrar refuses this one, its log says why: if it knows another registrar by the same \
                     identifier, give one of them another `id` in its configuration"),
                NotAccepted::OurId => warn!(target: "audit", peer,
                    "another registrar has this one's identifier: give one of them another `id` in its configuration"),
                NotAccepted::Closes => warn!(target: "audit", peer,
                    "another registrar closes every connection without a word: is this one in its [[peer]] list or in \
                     its [enrp] networks?"),
            }
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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_some_lines_and_a_number() {
        let (start, mut audit) = (Instant::now(), Audit::default());
        assert_eq!((0..1_000).filter(|_| audit.may_say(start, "security")).count(), 20);
        assert!(audit.may_say(start, "lack_of_resources"), "each cause has its own lines");
        assert_eq!(audit.take_suppressed(start + Duration::from_secs(59)), []);
        assert_eq!(audit.take_suppressed(start + MINUTE), [("security", 980)]);
        assert!(audit.may_say(start + MINUTE, "security"));
    }
}
