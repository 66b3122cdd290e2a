//! The element in use: selection, failover and the control channel.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use rserpool_proto::PeId;
use rserpool_proto::Protocol;
use rserpool_proto::wire::asap::cookie::CookieEcho;
use rserpool_proto::wire::{Message, TransportUse};
use tracing::{debug, info};
use transport::{ConnectError, LossReason};

use super::{Leave, Origin, PoolSession, Service, SessionEvent, addresses};
use crate::{PoolUser, Selected};

/// Where the session is with the element in use.
pub(super) enum Primary {
    /// The pool user is asked for one. The question outlives the calls: each time it is asked, the policy moves on.
    Waiting(Pin<Box<dyn Future<Output = Selected> + Send + Sync>>),
    Connecting(Selected),
    Up(Selected, Hook),
}

/// Whose turn it is to send to an element that has just come into use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hook {
    /// The application has not read of it.
    Untold,
    /// The application's.
    Told,
    /// What waits, and then everything in order.
    Over,
}

impl Primary {
    pub(super) fn wait(user: &Arc<PoolUser>) -> Primary {
        let user = Arc::clone(user);
        Primary::Waiting(Box::pin(async move { user.wait_element().await }))
    }

    /// There is none, and none will be looked for.
    pub(super) fn none() -> Primary {
        Primary::Waiting(Box::pin(std::future::pending()))
    }

    /// Waits for the pool user's answer, if it was asked. Cancel safe.
    pub(super) async fn selected(&mut self) -> Selected {
        match self {
            Primary::Waiting(answer) => answer.await,
            Primary::Connecting(_) | Primary::Up(..) => std::future::pending().await,
        }
    }

    pub(super) fn element(&self) -> Option<PeId> {
        match self {
            Primary::Waiting(_) => None,
            Primary::Connecting(selected) | Primary::Up(selected, _) => Some(selected.pe),
        }
    }

    fn is(&self, with: Origin) -> bool {
        self.element().map(Origin::Element) == Some(with)
    }

    /// Returns the element the application may send to at once.
    pub(super) fn open(&self) -> Option<PeId> {
        match self {
            Primary::Up(selected, Hook::Told | Hook::Over) => Some(selected.pe),
            _ => None,
        }
    }

    /// Returns whether what waits may go, to another than `peer`.
    pub(super) fn flows_beside(&self, peer: Origin) -> bool {
        matches!(self, Primary::Up(selected, Hook::Over) if Origin::Element(selected.pe) != peer)
    }

    /// The application has read that `element` is in use, be it still so or not.
    pub(super) fn hook_was_told(&mut self, element: PeId) {
        if let Primary::Up(selected, hook @ Hook::Untold) = self
            && selected.pe == element
        {
            *hook = Hook::Told;
        }
    }

    /// Returns whether the application has had its turn.
    pub(super) fn hook_is_over(&self) -> bool {
        matches!(self, Primary::Up(_, Hook::Told))
    }
}

impl fmt::Debug for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Primary::Waiting(_) => f.write_str("Waiting"),
            Primary::Connecting(selected) => f.debug_tuple("Connecting").field(&selected.pe).finish(),
            Primary::Up(selected, hook) => f.debug_tuple("Up").field(&selected.pe).field(hook).finish(),
        }
    }
}

impl PoolSession {
    /// Uses an element from now on; returns it, or none if it cannot be reached from here.
    pub(super) fn select(&mut self, selected: Selected) -> Option<PeId> {
        let (pe, with) = (selected.pe, Origin::Element(selected.pe));
        let Some(addresses) = addresses(&selected, self.config.tls) else {
            info!(%pe, protocol = %selected.transport.protocol, "pool element not used: another transport");
            self.user.set_aside(pe);
            self.primary = Primary::wait(&self.user);
            return None;
        };
        self.open_channel(with, addresses);
        self.primary = Primary::Connecting(selected);
        if self.channels.get(&with).is_some_and(|channel| channel.is_up) {
            self.up(with);
        }
        Some(pe)
    }

    /// An association is up, or its peer came back without its state: the cookie goes first, then the application.
    pub(super) fn up(&mut self, with: Origin) {
        if !self.primary.is(with) {
            return;
        }
        let selected = match std::mem::replace(&mut self.primary, Primary::none()) {
            Primary::Connecting(selected) | Primary::Up(selected, Hook::Told | Hook::Over) => selected,
            // The application has not even read of the first time.
            other => return self.primary = other,
        };
        let element = selected.pe;
        if self.has_control(&selected) {
            self.introduce(with);
        }
        debug!(pe = %element, "pool element in use");
        self.primary = Primary::Up(selected, Hook::Untold);
        self.events.push_back(SessionEvent::Ready { element, after: self.last.replace(element) });
    }

    /// Sends what an element gets first on its control channel.
    fn introduce(&self, with: Origin) {
        let Some(channel) = self.channels.get(&with) else { return };
        let echo = self.cookie.clone().map(|cookie| CookieEcho { cookie, unknown: Vec::new() });
        let card = self.config.business_card.clone();
        let messages = [echo.map(Message::CookieEcho), card.map(Message::BusinessCard)];
        for message in messages.into_iter().flatten() {
            // Only a cookie or card of nearly 64 KiB does not fit.
            match message.to_octets() {
                Ok(octets) => channel.control(octets),
                Err(error) => debug!(%error, "message for the control channel too long"),
            }
        }
    }

    fn has_control(&self, element: &Selected) -> bool {
        match (self.config.service, element.transport.protocol) {
            (Service::Full, _) => true,
            (Service::AsRegistered, Protocol::Sctp) => {
                element.transport.transport_use == TransportUse::DATA_PLUS_CONTROL
            }
            (Service::AsRegistered | Service::Minimal, _) => false,
        }
    }

    /// The application has had its turn: what waits goes to the element in use.
    pub(super) fn release(&mut self) {
        if let Primary::Up(selected, hook) = &mut self.primary {
            *hook = Hook::Over;
            if let Some(channel) = self.channels.get_mut(&Origin::Element(selected.pe)) {
                self.held.drain(..).for_each(|outgoing| channel.send(self.config.ppid, outgoing));
            }
        }
    }

    pub(super) fn control_message(&mut self, from: Origin, octets: &[u8]) {
        let primary = match &self.primary {
            Primary::Up(selected, _) => self.primary.is(from) && self.has_control(selected),
            Primary::Waiting(_) | Primary::Connecting(_) => false,
        };
        if !primary {
            return self.refuse_control(from, &"not the control channel of the element in use");
        }
        match Message::decode(octets) {
            Ok(Message::Cookie(cookie)) => self.cookie = Some(cookie.cookie),
            Ok(Message::BusinessCard(card)) => self.user.business_card(card),
            Ok(message) => self.refuse_control(from, &message.message_type()),
            Err(error) => self.refuse_control(from, &error),
        }
    }

    /// Leaves the element in use, as the application wants it.
    pub(super) fn leave(&mut self, pe: PeId, why: Leave) {
        let with = Origin::Element(pe);
        self.primary = Primary::wait(&self.user);
        match why {
            Leave::Failed => {
                self.user.report_unreachable(pe);
                if let Some(channel) = self.channels.remove(&with) {
                    self.give_up(with, channel);
                }
            }
            Leave::Unwilling => {
                self.user.set_aside(pe);
                if let Some(channel) = self.channels.get_mut(&with) {
                    channel.retire();
                }
            }
        }
    }

    /// The peer takes nothing more; what it has taken is told before the end.
    pub(super) fn closing(&mut self, with: Origin) {
        if let Some(channel) = self.channels.get_mut(&with) {
            channel.retiring = true;
        }
        if let (Origin::Element(pe), true) = (with, self.primary.is(with)) {
            self.user.set_aside(pe);
            self.primary = Primary::wait(&self.user);
        }
    }

    pub(super) fn lost(&mut self, with: Origin, reason: LossReason) {
        let Some(channel) = self.channels.remove(&with) else { return };
        match with {
            Origin::Address(_) => {}
            // Whom an element does not trust has no say in whether it stays in the pool.
            Origin::Element(pe) if channel.may_have_refused() => self.user.set_aside(pe),
            Origin::Element(pe) if !channel.retiring => self.user.report_unreachable(pe),
            Origin::Element(_) => {}
        }
        if self.primary.is(with) {
            self.primary = Primary::wait(&self.user);
        }
        self.events.push_back(SessionEvent::Lost { with, reason });
        self.give_up(with, channel);
    }

    pub(super) fn not_connected(&mut self, to: Origin, error: ConnectError) {
        let Some(channel) = self.channels.remove(&to) else { return };
        debug!(%to, %error, "not reached");
        if let Origin::Element(pe) = to {
            // Whom this user does not trust is no business of the registrar.
            match error {
                ConnectError::Tls(..) => self.user.set_aside(pe),
                _ => self.user.report_unreachable(pe),
            }
        }
        if self.primary.is(to) {
            self.primary = Primary::wait(&self.user);
        } else {
            self.events.push_back(SessionEvent::NotReached { to, error });
        }
        self.give_up(to, channel);
    }
}
