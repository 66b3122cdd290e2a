//! What moved among registrars, and what was refused.

use std::collections::BTreeMap;

use crate::wire::enrp::MessageType;

/// Why something a peer, or someone who would be one, wanted was not done.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Refusal {
    /// It comes from an address no peer may have.
    Stranger,
    /// There are too many peers or connections.
    TooMany,
    /// The identifier is ours, or one that is connected from another host.
    IdConflict,
    /// A long identifier's lower half is not the short one beside it.
    LongIdentifier,
    /// One connection spoke for two identifiers, or for none.
    WrongSender,
    /// It is for another registrar.
    WrongReceiver,
    /// The sender has not said who it is with a presence.
    NotIntroduced,
    /// It sends more than it may.
    RateLimited,
    /// An update or table gives an element to a third registrar.
    ThirdParty,
    /// An update or table says we own an element.
    NamesUs,
    /// An element's home did not say so.
    NotHome,
    /// There is no room for the element.
    LackOfResources,
    /// An element of the same identifier is somewhere else.
    OtherElement,
    /// The update's action is unknown.
    UnknownAction,
    /// The handlespace does not take the element.
    Unsuitable,
    /// A takeover of somebody who lives, or that was not agreed on.
    Takeover,
    /// An answer nobody asked for.
    Unasked,
    /// It does not fit one message, or not this peer.
    TooLong,
}

impl Refusal {
    /// Returns the reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Refusal::Stranger => "stranger",
            Refusal::TooMany => "too_many",
            Refusal::IdConflict => "id_conflict",
            Refusal::LongIdentifier => "long_identifier",
            Refusal::WrongSender => "wrong_sender",
            Refusal::WrongReceiver => "wrong_receiver",
            Refusal::NotIntroduced => "not_introduced",
            Refusal::RateLimited => "rate_limited",
            Refusal::ThirdParty => "third_party",
            Refusal::NamesUs => "names_us",
            Refusal::NotHome => "not_home",
            Refusal::LackOfResources => "lack_of_resources",
            Refusal::OtherElement => "other_element",
            Refusal::UnknownAction => "unknown_action",
            Refusal::Unsuitable => "unsuitable",
            Refusal::Takeover => "takeover",
            Refusal::Unasked => "unasked",
            Refusal::TooLong => "too_long",
        }
    }
}

/// Counts since the start of the registrar.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EnrpCounters {
    /// Messages received by type, unreadable and unknown ones included.
    pub received: BTreeMap<MessageType, u64>,
    /// Messages sent by type.
    pub sent: BTreeMap<MessageType, u64>,
    /// Messages that could not be read.
    pub malformed: u64,
    /// What was refused, by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// Connections to peers begun.
    pub connects: u64,
    /// Checksums that did not agree.
    pub mismatches: u64,
    /// Tables asked for.
    pub tables_requested: u64,
    /// Tables refused by a peer or not answered in time.
    pub tables_failed: u64,
    /// Elements in tables sent.
    pub table_elements_sent: u64,
    /// Elements in tables received.
    pub table_elements_received: u64,
    /// Takeovers begun.
    pub takeovers_started: u64,
    /// Takeovers ended because the target lives, somebody else goes on, or acknowledgements are missing.
    pub takeovers_abandoned: u64,
    /// Takeovers completed.
    pub takeovers_won: u64,
    /// Elements asked to adopt us as home.
    pub adoptions_started: u64,
    /// Elements that did.
    pub adoptions_done: u64,
    /// Elements whose home became another registrar.
    pub elements_given: u64,
}
