//! Delay measurement (draft; docs/wire.md section 13): how far pool elements are, for policies that ask.
//!
//! The home of an element sets the distance measured on the element's association; who is told of an element adds
//! the distance to who told it.

use std::time::{Duration, Instant};

use super::{Key, Registrar};
use crate::policy::{Distance, add_distance, set_distance};
use crate::wire::PoolElementParameter;
use crate::{ConnectionId, RegistrarId};

impl Registrar {
    /// The smoothed round trip time of a connection, which the driver tells from time to time. Elements registered over
    /// it whose policy has a distance get the new one, and peers are told, when it has changed by a step.
    /// Does nothing without [`EnrpConfig::distance_step`](super::EnrpConfig::distance_step).
    pub fn handle_round_trip(&mut self, now: Instant, connection: ConnectionId, round_trip: Duration) {
        self.notice_stall(now);
        let Some(step) = self.distance_step() else { return };
        if !self.peers.contains_key(&connection) && !self.is_link(connection) {
            return;
        }
        let before = self.distances.get(&connection).copied();
        let distance = Distance::of_round_trip(round_trip, step).or_nearly(before, round_trip, step);
        if self.distances.insert(connection, distance) == Some(distance) {
            return;
        }
        let keys: Vec<Key> =
            self.peers.get(&connection).map_or_else(Vec::new, |peer| super::in_order(&peer.elements));
        for key in keys {
            self.move_element(&key, distance);
        }
    }

    fn move_element(&mut self, key: &Key, distance: Distance) {
        let known = self.handlespace.pool(&key.0).and_then(|pool| pool.element(key.1));
        let Some(mut element) = known.filter(|element| element.home == self.id) else { return };
        if set_distance(&mut element.policy, distance) && self.handlespace.register(&key.0, element).is_ok() {
            self.announce_add(key);
        }
    }

    /// Sets what was measured to an element that registers.
    pub(super) fn measure(&self, connection: ConnectionId, element: &mut PoolElementParameter) {
        if self.distance_step().is_some() {
            // An element cannot say itself how far it is.
            let distance = self.distances.get(&connection).copied().unwrap_or_default();
            set_distance(&mut element.policy, distance);
        }
    }

    /// Adds what was measured to the peer that tells of an element.
    pub(super) fn measure_from(&self, sender: RegistrarId, element: &mut PoolElementParameter) {
        let distance = self.connection_to(sender).and_then(|connection| self.distances.get(&connection));
        if let Some(&distance) = distance {
            add_distance(&mut element.policy, distance);
        }
    }

    fn distance_step(&self) -> Option<Duration> {
        self.config.enrp.as_ref().and_then(|enrp| enrp.distance_step)
    }
}
