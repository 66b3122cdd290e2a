//! What elements of other registrars make us keep (RFC 5355 threat 1).
//!
//! They share the octets that registrations may take here. One that does not fit is not stored, and its home's
//! checksum does not agree from then on: its table is asked for again later each time (see `audit`).

use std::collections::BTreeMap;

use super::super::{Key, Registrar};
use crate::wire::PoolElementParameter;

/// Shorter ones are bounded by the number of elements.
const SHORT: usize = 256;

/// Octets of handles and parameters by element.
#[derive(Debug, Default)]
pub(in super::super) struct Replicated {
    octets: BTreeMap<Key, usize>,
    total: usize,
}

impl Replicated {
    pub(in super::super) fn octets(&self) -> usize {
        self.total
    }

    fn of(&self, key: &Key) -> usize {
        self.octets.get(key).copied().unwrap_or(0)
    }

    fn set(&mut self, key: &Key, octets: usize) {
        self.remove(key);
        if octets > SHORT {
            self.total += octets;
            self.octets.insert(key.clone(), octets);
        }
    }

    /// The element is gone, or counts as ours.
    pub(in super::super) fn remove(&mut self, key: &Key) {
        self.total -= self.octets.remove(key).unwrap_or(0);
    }
}

impl Registrar {
    /// Counts an element of another registrar; returns whether there is room for it. If there is not, what is
    /// counted stays as it was.
    pub(super) fn count_replicated(&mut self, key: &Key, element: &PoolElementParameter) -> bool {
        let octets = key.0.as_octets().len() + element.to_octets().len();
        // One of ours that another registrar takes is known, and leaves room.
        let known = self.enrp.replicated.of(key) + self.monitors.get(key).map_or(0, |monitor| monitor.octets);
        let fits = (self.octets + self.enrp.replicated.octets()).saturating_sub(known) + octets
            <= self.config.max_octets;
        if fits || octets <= SHORT {
            self.enrp.replicated.set(key, octets);
        }
        fits || octets <= SHORT
    }
}
