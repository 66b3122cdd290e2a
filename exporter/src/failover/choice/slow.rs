//! The collectors that are slow: their outputs cannot keep up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rserpool::PeId;

/// A collector counts as slow for so long after it was last found so, unless it shows the contrary.
const SLOW: Duration = Duration::from_secs(600);

/// Collectors that count as slow.
#[derive(Debug, Default)]
pub(super) struct Slow(BTreeMap<PeId, Until>);

/// For how long one counts as slow.
#[derive(Clone, Copy, Debug)]
struct Until {
    until: Instant,
    /// It made no progress with records. Only progress shows the contrary: without records it says that all is well.
    found: bool,
}

impl Slow {
    /// This one is slow. `found`: it made no progress with records.
    pub(super) fn note(&mut self, now: Instant, pe: PeId, found: bool) {
        self.0.retain(|_, slow| now < slow.until);
        let found = found || self.is_found(pe);
        self.0.insert(pe, Until { until: now + SLOW, found });
    }

    /// This one is not slow.
    pub(super) fn forget(&mut self, pe: PeId) {
        self.0.remove(&pe);
    }

    /// Tells whether this one made no progress with records.
    pub(super) fn is_found(&self, pe: PeId) -> bool {
        self.0.get(&pe).is_some_and(|slow| slow.found)
    }

    /// Tells whether this one counts as slow.
    pub(super) fn has(&self, now: Instant, pe: PeId) -> bool {
        self.0.get(&pe).is_some_and(|slow| now < slow.until)
    }

    /// Returns all that count as slow.
    pub(super) fn all(&self, now: Instant) -> Vec<PeId> {
        self.0.keys().copied().filter(|&pe| self.has(now, pe)).collect()
    }
}
