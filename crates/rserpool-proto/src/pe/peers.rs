//! The other elements of the pool, as the home registrar tells them: whom a business card can name (RFC 5352
//! section 3.9).
//!
//! Asked of the home registrar after each registration, with the S flag, so that changes are told (section 2.2.5). A
//! registrar that does not answer is not asked again before the next registration: the registration is what matters.

use super::{Event, PoolElement};
use crate::wire::asap::handle_resolution::{HandleResolution, HandleResolutionResponse};
use crate::wire::{Message, PoolElementParameter};

/// Elements asked for, and kept.
const MAX_PEERS: usize = 32;

impl PoolElement {
    /// Learns the other elements of the pool, from the next registration on; [`Event::PeersChanged`] tells changes.
    pub fn watch_peers(&mut self) {
        self.watches_peers = true;
    }

    /// Returns the other elements of the pool as last told, in the registrar's order, at most 32.
    pub fn peers(&self) -> &[PoolElementParameter] {
        &self.peers
    }

    pub(super) fn ask_for_peers(&mut self) {
        let Some(home) = self.home.filter(|_| self.watches_peers) else { return };
        let items = u32::try_from(MAX_PEERS + 1).ok();
        let (pool, unknown) = (self.pool.clone(), vec![]);
        let request = HandleResolution { send_updates: true, pool, items, unknown };
        self.send(home.connection, &Message::HandleResolution(request));
    }

    pub(super) fn handle_peers(&mut self, response: HandleResolutionResponse) {
        if !self.watches_peers || response.pool != self.pool || response.causes.is_some() {
            return;
        }
        let mut peers = response.elements;
        peers.retain(|element| element.pe != self.pe);
        peers.truncate(MAX_PEERS);
        // Other loads and another order are no news.
        let news = !same_places(&self.peers, &peers);
        self.peers = peers;
        if news {
            self.event(Event::PeersChanged);
        }
    }
}

/// Returns whether the same elements are at the same places.
fn same_places(before: &[PoolElementParameter], now: &[PoolElementParameter]) -> bool {
    let place = |element: &PoolElementParameter| (element.pe, element.encapsulation);
    let at = |element: &PoolElementParameter| {
        before
            .iter()
            .any(|known| place(known) == place(element) && known.user_transport == element.user_transport)
    };
    before.len() == now.len() && now.iter().all(at)
}
