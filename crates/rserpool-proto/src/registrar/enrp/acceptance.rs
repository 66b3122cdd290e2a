//! Who is sent away hears why, and who is sent away says so.
//!
//! RFC 5353 has no words for it: an ENRP_ERROR (section 2.10) with a cause goes out before the connection is closed, at
//! most once a second, five times at once, whoever is refused. On the other side it becomes an event, and so does a
//! registrar that closes one connection after another and says nothing; each once in a while.

use std::time::{Duration, Instant};

use super::super::token_bucket::TokenBucket;
use super::super::{Event, Registrar};
use super::Refusal;
use crate::wire::enrp::error::EnrpError;
use crate::wire::{CauseCode, ErrorCause};
use crate::{ConnectionId, RegistrarAddress};

/// Errors that are told to whom we refuse in a second.
const TOLD_PER_SECOND: u32 = 1;

/// Refusals in a row until that is told: a registrar may not have looked our name up yet, or wait for who had our
/// identifier before; and the same without a word, as one does that ends.
const REFUSED_IN_A_ROW: u32 = 3;
const CLOSED_IN_A_ROW: u32 = 5;

/// How long nothing more is told of the same registrar.
const TELL_AGAIN: Duration = Duration::from_secs(600);

/// Why another registrar does not take us for a peer, as far as is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotAccepted {
    /// No peer may be where we are.
    Stranger,
    /// It has no room for one more.
    TooMany,
    /// Something else: there may be another registrar of our identifier.
    Unsaid,
    /// It told our own identifier, and is not where we are.
    OurId,
    /// It says nothing and closes each connection.
    Closes,
}

impl NotAccepted {
    fn of(cause: CauseCode) -> Option<NotAccepted> {
        match cause {
            CauseCode::SECURITY => Some(NotAccepted::Stranger),
            CauseCode::LACK_OF_RESOURCES => Some(NotAccepted::TooMany),
            CauseCode::UNSPECIFIED => Some(NotAccepted::Unsaid),
            _ => None,
        }
    }
}

/// What was told of refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// To those we refused.
    errors: Option<TokenBucket>,
    /// Of those who connected to us and refused us; of the others their target knows.
    accepted_told: Option<Instant>,
}

impl Registrar {
    /// Tells who is about to be sent away, if that was not told too often. One that leaves owes no reason.
    pub(super) fn explain(&mut self, now: Instant, connection: ConnectionId, refusal: Refusal) {
        let code = match refusal {
            Refusal::Stranger => CauseCode::SECURITY,
            Refusal::TooMany => CauseCode::LACK_OF_RESOURCES,
            Refusal::IdConflict => CauseCode::UNSPECIFIED,
            _ => return,
        };
        if !self.enrp.enabled || self.enrp.leaving {
            return;
        }
        let errors = &mut self.enrp.refusals.errors;
        if errors.get_or_insert_with(|| TokenBucket::new(TOLD_PER_SECOND, now)).take(now) {
            self.send_error(connection, vec![ErrorCause::plain(code)]);
        }
    }

    /// Hears whether somebody who has not said who he is sends us away; returns whether he does.
    pub(super) fn hear_refusal(&mut self, now: Instant, connection: ConnectionId, error: &EnrpError) -> bool {
        let Some(link) = self.enrp.links.get_mut(&connection).filter(|link| link.peer.is_none()) else {
            return false;
        };
        let Some(why) = error.causes.iter().find_map(|cause| NotAccepted::of(cause.code)) else {
            return false;
        };
        link.explained = true;
        for cause in &error.causes {
            *self.enrp.counters.causes_received.entry(cause.code.label()).or_insert(0) += 1;
        }
        let target = self.enrp.targets.iter_mut().find(|target| target.link == Some(connection));
        let refused = target.map_or(REFUSED_IN_A_ROW, |target| {
            target.closed = target.closed.saturating_add(1);
            target.closed
        });
        if refused >= REFUSED_IN_A_ROW {
            self.not_accepted(now, connection, why);
        }
        true
    }

    /// A connection has ended that we did not end.
    pub(in super::super) fn link_closed(&mut self, now: Instant, connection: ConnectionId) {
        let silent = self
            .enrp
            .links
            .get(&connection)
            .is_some_and(|link| link.up && link.peer.is_none() && !link.explained);
        let target = self.enrp.targets.iter_mut().find(|target| target.link == Some(connection));
        if let Some(target) = target.filter(|_| silent) {
            target.closed = target.closed.saturating_add(1);
            if target.closed >= CLOSED_IN_A_ROW {
                self.not_accepted(now, connection, NotAccepted::Closes);
            }
        }
        self.link_lost(now, connection);
    }

    /// Somebody over there has our identifier. It may be ourselves, if it is where we listen.
    pub(super) fn hear_our_id(&mut self, now: Instant, connection: ConnectionId) {
        let Some(link) = self.enrp.links.get(&connection) else { return };
        let config = &self.enrp.config;
        let own = config.transport.addresses.iter().copied();
        let own = own.chain(config.tcp.iter().map(|tcp| tcp.address.ip()));
        let own: Vec<_> = own.map(|ip| ip.to_canonical()).collect();
        // Without a place of our own nothing can be said.
        if !own.is_empty() && !link.remote.iter().any(|ip| own.contains(&ip.to_canonical())) {
            self.not_accepted(now, connection, NotAccepted::OurId);
        }
    }

    fn not_accepted(&mut self, now: Instant, connection: ConnectionId, why: NotAccepted) {
        let target = self.enrp.targets.iter_mut().find(|target| target.link == Some(connection));
        let (at, told): (Option<RegistrarAddress>, _) = match target {
            Some(target) => {
                let tried = target.turn.wrapping_sub(1) % target.addresses.len();
                (Some(target.addresses[tried]), &mut target.told)
            }
            None => (None, &mut self.enrp.refusals.accepted_told),
        };
        if told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_AGAIN) {
            *told = Some(now);
            self.event(Event::NotAccepted { at, from: connection, why });
        }
    }
}
