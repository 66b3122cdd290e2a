//! Handle updates (RFC 5353 section 3.3): what the home of an element tells all peers.
//!
//! Sent with receiver zero, as the RFC says; the reference implementation fills it in, both are read.

use std::time::Instant;

use super::super::{Registrar, Removal};
use super::{Key, Refusal};
use crate::wire::enrp::handle_update::{HandleUpdate, UpdateAction};
use crate::wire::param::draining;
use crate::wire::param::transport::{SctpTransport, TransportUse};
use crate::wire::{LifeUnit, PoolElementParameter, RegistrationLife};
use crate::{ConnectionId, PoolHandle, RegistrarId};

/// The longest handle the reference implementation takes.
const MAX_HANDLE_REFERENCE: usize = 32;

/// A life of more seconds than this (a day) is one of milliseconds.
const LONG_LIFE: u32 = 86_400;

impl Registrar {
    /// Tells all peers of an element of ours that is new or has changed, or lives on.
    pub(in super::super) fn announce_add(&mut self, key: &Key) {
        if !self.has_connected_peers() {
            return;
        }
        let element = self.element(key);
        if let Some(element) = element.filter(|element| element.home == self.id) {
            self.announce(UpdateAction::ADD_PE, &key.0, &element);
        }
    }

    /// Tells all peers that an element of ours is gone.
    pub(in super::super) fn announce_delete(&mut self, pool: &PoolHandle, element: &PoolElementParameter) {
        self.announce(UpdateAction::DEL_PE, pool, element);
    }

    fn announce(&mut self, action: UpdateAction, pool: &PoolHandle, element: &PoolElementParameter) {
        for to in self.connected_peers() {
            self.tell_update(to, action, pool, element, false);
        }
    }

    pub(super) fn tell_update(
        &mut self,
        to: RegistrarId,
        action: UpdateAction,
        pool: &PoolHandle,
        element: &PoolElementParameter,
        takeover_suggested: bool,
    ) {
        let hidden = self.is_hidden_from(to, element);
        let action = if hidden { UpdateAction::DEL_PE } else { action };
        let Some(element) = self.element_for(to, pool, element) else {
            return self.refuse(Refusal::TooLong, None);
        };
        let update =
            HandleUpdate { action, takeover_suggested, pool: pool.clone(), element, unknown: vec![] };
        let via = self.enrp.peers.get(&to).and_then(|peer| peer.via);
        if let Some(via) = via {
            // Section 3.3.1: the receiver is left blank.
            self.send_over(via, RegistrarId::UNDETERMINED, update.into());
        }
    }

    pub(super) fn handle_update(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        sender: RegistrarId,
        receiver: RegistrarId,
        update: HandleUpdate,
    ) {
        if receiver != RegistrarId::UNDETERMINED
            && let Some(peer) = self.enrp.peers.get_mut(&sender)
        {
            peer.is_reference = true;
        }
        let key = (update.pool, update.element.pe);
        match update.action {
            UpdateAction::ADD_PE => {
                self.unmark(sender, &key);
                let element = self.element_from(sender, update.element);
                let taken = self.take_from_home(now, sender, key.clone(), element);
                if taken && update.takeover_suggested {
                    self.takeover_suggested(now, sender, &key);
                }
            }
            UpdateAction::DEL_PE => match self.home_of(&key) {
                None => {}
                Some(home) if home == sender => self.remove_foreign(now, &key, Removal::HomeSaid),
                Some(_) => {
                    self.withdraw_rival(sender, &key);
                    self.withdraw_claim(now, sender, &key);
                    self.refuse(Refusal::NotHome, Some(connection));
                }
            },
            UpdateAction(_) => self.refuse(Refusal::UnknownAction, Some(connection)),
        }
    }

    /// Whether an element drains and this peer would select it all the same: for this one it has left.
    pub(super) fn is_hidden_from(&self, to: RegistrarId, element: &PoolElementParameter) -> bool {
        let knows = self.enrp.peers.get(&to).is_some_and(|peer| peer.knows_draining);
        !knows && draining::is_marked(&element.unknown)
    }

    /// An element as this peer is told of it; `None` if it cannot be.
    pub(super) fn element_for(
        &self,
        to: RegistrarId,
        pool: &PoolHandle,
        element: &PoolElementParameter,
    ) -> Option<PoolElementParameter> {
        let mut element = element.clone();
        if !self.enrp.peers.get(&to).is_some_and(|peer| peer.is_reference) {
            return Some(element);
        }
        if pool.as_octets().len() > MAX_HANDLE_REFERENCE {
            return None;
        }
        let unit = self.config.profile.life_unit;
        if unit == LifeUnit::Seconds
            && let Some(life) = element.life.duration(unit)
        {
            element.life = RegistrationLife::from_duration(life, LifeUnit::Milliseconds);
        }
        // It refuses elements without an ASAP transport.
        if element.asap_transport.is_none() {
            let addresses = element.user_transport.addresses().to_vec();
            let port = element.user_transport.port().filter(|_| !addresses.is_empty())?;
            let transport_use = TransportUse::DATA_ONLY;
            element.asap_transport = Some(SctpTransport { port, transport_use, addresses, unknown: vec![] });
        }
        Some(element)
    }

    /// An element as this peer means it, seen from here.
    pub(super) fn element_from(
        &mut self,
        from: RegistrarId,
        mut element: PoolElementParameter,
    ) -> PoolElementParameter {
        self.measure_from(from, &mut element);
        if self.config.profile.life_unit == LifeUnit::Milliseconds {
            element.life = self.life_in_our_unit(element.life);
            return element;
        }
        let Some(peer) = self.enrp.peers.get_mut(&from) else { return element };
        if element.life.0 > LONG_LIFE && element.life != RegistrationLife::INFINITE {
            peer.is_reference = true;
        }
        if peer.is_reference
            && let Some(life) = element.life.duration(LifeUnit::Milliseconds)
        {
            element.life = RegistrationLife::from_duration(life, LifeUnit::Seconds);
        }
        element
    }
}
