//! Registration lives that are told in another unit than this registrar's (RFC 5354 section 3.10).
//!
//! Deviation: the RFC counts seconds, the reference implementation milliseconds, and nothing in a registration says
//! which. A registrar that counts milliseconds takes what is too short to be meant so for seconds.

use super::Registrar;
use crate::wire::{LifeUnit, RegistrationLife};

/// Below this, a life is in seconds. As milliseconds it would be shorter than the time after which an element of the
/// reference implementation hears the first keep-alive, and only then it registers again: no such element could live
/// so. As seconds it is up to 83 min, which are rarely exceeded.
pub(super) const MILLISECONDS_FROM: u32 = 5_000;

impl Registrar {
    /// Returns a life in this registrar's unit, and counts those that were not.
    pub(super) fn life_in_our_unit(&mut self, life: RegistrationLife) -> RegistrationLife {
        if self.config.profile.life_unit == LifeUnit::Seconds || !(1..MILLISECONDS_FROM).contains(&life.0) {
            return life;
        }
        self.counters.lives_in_seconds += 1;
        RegistrationLife(life.0 * 1_000)
    }
}
