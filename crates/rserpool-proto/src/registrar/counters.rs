//! Everything that moves is counted; the daemon turns this into metrics.

use std::collections::BTreeMap;

use super::Removal;
use crate::wire::{CauseCode, ErrorCause, Message, MessageType};

/// Counts since the start of the registrar.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Messages received by type, unreadable and unknown ones included.
    pub received: BTreeMap<MessageType, u64>,
    /// Messages sent by type.
    pub sent: BTreeMap<MessageType, u64>,
    /// Error causes sent by code.
    pub causes: BTreeMap<CauseCode, u64>,
    /// Messages that could not be processed.
    pub malformed: u64,
    /// Connections closed at once since there were as many as there may be.
    pub connections_refused: u64,
    /// Elements that joined a pool.
    pub registered: u64,
    /// Registrations of elements that were there.
    pub updated: u64,
    /// Registrations refused.
    pub rejected: u64,
    /// Lives that were told in seconds to this registrar, which counts milliseconds; other registrars' included.
    pub lives_in_seconds: u64,
    /// Elements that left, by reason.
    pub removed: BTreeMap<Removal, u64>,
    /// Keep-alives answered in time.
    pub keep_alives_answered: u64,
    /// Keep-alives not answered in time.
    pub keep_alives_missed: u64,
    /// Handle resolutions answered with elements.
    pub resolutions_answered: u64,
    /// Handle resolutions of unknown pools.
    pub resolutions_unknown: u64,
    /// Handle resolutions of pools where nobody serves, or whose answer does not fit a message even with one element.
    pub resolutions_refused: u64,
    /// Answers and updates with fewer elements than were selected, since no more fit a message.
    pub answers_cut: u64,
    /// Elements in answers.
    pub elements_selected: u64,
    /// Reports of unreachability that led to a keep-alive.
    pub reports_accepted: u64,
    /// Reports beyond the reporter's rate.
    pub reports_limited: u64,
    /// Reports of elements that are not registered.
    pub reports_unknown: u64,
    /// Times this registrar was stopped.
    pub stalls: u64,
}

/// Handle resolutions of one pool.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Resolved {
    /// Answered with elements.
    pub answered: u64,
    /// Elements in those answers, before any was cut off.
    pub selected: u64,
}

impl Counters {
    pub(super) fn count_sent(&mut self, message: &Message) {
        self.count_sent_type(message.message_type());
        let causes: &[ErrorCause] = match message {
            Message::RegistrationResponse(response) => &response.causes,
            Message::DeregistrationResponse(response) => &response.causes,
            Message::HandleResolutionResponse(response) => response.causes.as_deref().unwrap_or_default(),
            Message::Error(error) => &error.causes,
            _ => &[],
        };
        for cause in causes {
            *self.causes.entry(cause.code).or_insert(0) += 1;
        }
    }

    /// Counts a message without causes.
    pub(super) fn count_sent_type(&mut self, kind: MessageType) {
        *self.sent.entry(kind).or_insert(0) += 1;
    }
}
