//! Takeover suggestion, and leaving (draft; the reference implementation's T flag in ENRP_HANDLE_UPDATE).
//!
//! Make before break: whoever is suggested an element asks it with H and becomes its home only when it has
//! acknowledged; until then nothing changes. The suggesting home takes the loss of the element's association as
//! the hand-over it is, and waits for the new home's update. The new home obeys a removal only by the
//! current home, which is itself, so the old home's late one is lost on it.
//!
//! Timer, of ours: one keep-alive time-out for each offer. An element nobody has taken over then, such as one whose
//! best registrar leaves as well, is offered to the next best.

use std::time::Instant;

use super::super::{Event, Key, Registrar};
use super::{PeerState, Timer};
use crate::RegistrarId;
use crate::wire::enrp::handle_update::UpdateAction;
use crate::wire::param::draining;

/// Registrars that an element is offered to, one after the other.
const OFFERS: usize = 4;

impl Registrar {
    /// An element's home suggests that we become its home.
    pub(super) fn takeover_suggested(&mut self, now: Instant, home: RegistrarId, key: &Key) {
        if !self.enrp.config.takeover_suggestion || self.enrp.leaving {
            return;
        }
        self.enrp.adoptions.suggested.insert(key.clone(), home);
        self.adopt(now, key);
    }

    /// Leaves the operational scope: no further presence, and every element of ours is offered to a peer.
    ///
    /// [`Event::Left`] tells that it is done, at the latest after four keep-alive time-outs. What nobody
    /// took over stays registered with the peers, who will find us silent.
    pub fn leave(&mut self, now: Instant) {
        if std::mem::replace(&mut self.enrp.leaving, true) {
            return;
        }
        self.offer(now, 0);
        self.left_early();
    }

    /// Offers every element of ours to the next registrar, and waits.
    pub(super) fn offer(&mut self, now: Instant, round: usize) {
        if self.enrp.left {
            return;
        }
        if round == OFFERS {
            return self.leave_ended();
        }
        if self.enrp.config.takeover_suggestion {
            let mut keys: Vec<Key> = self.monitors.keys().cloned().collect();
            keys.sort_unstable();
            for key in &keys {
                self.suggest(key);
            }
        }
        self.set_timer(Timer::Leave(round + 1), now + self.config.profile.keep_alive_timeout);
    }

    /// Suggests an element to the best peer by the reference implementation's measure, the largest identifier XOR the
    /// element's; if it was suggested to one, to the next best.
    fn suggest(&mut self, key: &Key) {
        let element = self.element(key);
        let Some(element) = element.filter(|element| element.asap_transport.is_some()) else { return };
        let Some(monitor) = self.monitors.get_mut(key) else { return };
        let measure = |id: RegistrarId| id.0 ^ key.1.0;
        let before = monitor.suggested.map(measure);
        let fit = self.enrp.peers.iter().filter(|(id, peer)| {
            let knows = peer.knows_draining || !draining::is_marked(&element.unknown);
            let next = before.is_none_or(|before| measure(**id) < before);
            next && peer.state == PeerState::Active && peer.via.is_some() && !peer.is_reference && knows
        });
        let Some(best) = fit.map(|(&id, _)| id).max_by_key(|&id| measure(id)) else { return };
        monitor.suggested = Some(best);
        self.tell_update(best, UpdateAction::ADD_PE, &key.0, &element, true);
    }

    /// Whether [`Registrar::leave`] was called.
    pub(in super::super) fn is_leaving(&self) -> bool {
        self.enrp.leaving
    }

    /// Ends leaving early when nothing is left to hand over.
    pub(super) fn left_early(&mut self) {
        if self.enrp.leaving && !self.monitors.values().any(|monitor| monitor.suggested.is_some()) {
            self.leave_ended();
        }
    }

    pub(super) fn leave_ended(&mut self) {
        if !std::mem::replace(&mut self.enrp.left, true) {
            self.event(Event::Left { elements: self.monitors.len() });
        }
    }
}
