//! Business cards and the element used last: whom to turn to before the policy chooses (RFC 5352 section 3.9).
//!
//! A card comes from the element in use, over its control channel, and says whom it recommends when it fails. While a
//! registrar is connected the pool's policy knows more; without one the card does.

use super::{PoolUser, Selected};
use crate::wire::PoolElementParameter;
use crate::wire::asap::business_card::BusinessCard;
use crate::{PeId, UserTransport};

/// Elements kept of one card.
const MAX_ELEMENTS: usize = 32;

impl PoolUser {
    /// Takes in a business card of the element in use (BC2); it replaces the one before. Returns whether it is of
    /// this pool.
    pub fn handle_business_card(&mut self, card: BusinessCard) -> bool {
        let ours = card.pool == self.config.pool;
        if ours {
            self.card = card.elements;
            self.card.truncate(MAX_ELEMENTS);
        }
        ours
    }

    /// Goes back to an element at the next selection that finds it in the pool and out of quarantine; then, or once
    /// another was selected, it is forgotten.
    pub fn stick_to(&mut self, pe: PeId) {
        self.last = Some(pe);
    }
}

/// The first element of a card that can be used.
pub(super) fn select(card: &[PoolElementParameter], wanted: impl Fn(PeId) -> bool) -> Option<Selected> {
    card.iter().filter(|element| wanted(element.pe)).find_map(|element| {
        let transport = UserTransport::from_wire(&element.user_transport, element.encapsulation)?;
        Some(Selected { pe: element.pe, transport, policy: element.policy.clone(), stale: true })
    })
}
