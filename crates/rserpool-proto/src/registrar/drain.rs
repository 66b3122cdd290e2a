//! Draining: an operator takes an element out of selection before its host goes down.
//!
//! A draining element stays in the handlespace with a mark among its parameters (docs/wire.md section 19), which goes
//! wherever the element goes: into updates and tables, so that no registrar selects it, and to a new home. It is
//! registered and watched as before, told by flag D of its keep-alives, until it deregisters, is gone, or is put back. Only the home registrar drains or
//! puts back. Registering again changes nothing about it: the mark is the operator's, not the element's.
//!
//! To a registrar that does not say that it knows the mark, the element has left (HANDLE_UPDATE, delete): it is in no
//! table and no checksum told to that one. A pool whose elements all drain is there, and resolved to nobody.

use std::time::Instant;

use super::{Event, Key, Registrar};
use crate::handlespace::{Pool, Registered};
use crate::wire::param::draining;
use crate::wire::{ErrorCause, PoolElementParameter};
use crate::{PeId, PoolHandle, RegistrarId};

/// Why an element is not drained, or not put back.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    /// Nobody has registered it.
    #[error("no such pool element is registered")]
    Unknown,
    /// Another registrar is its home.
    #[error("its home is registrar {0}: ask that one")]
    NotHome(RegistrarId),
}

impl Registrar {
    /// Takes an element out of selection. One that drains already goes on so.
    ///
    /// Fails when it is not registered, or at another registrar.
    pub fn drain(&mut self, now: Instant, pool: &PoolHandle, pe: PeId) -> Result<(), DrainError> {
        self.set_draining(now, pool, pe, true)
    }

    /// Puts a draining element back into selection. One that does not drain stays as it is.
    ///
    /// Fails when it is not registered, or at another registrar.
    pub fn undrain(&mut self, now: Instant, pool: &PoolHandle, pe: PeId) -> Result<(), DrainError> {
        self.set_draining(now, pool, pe, false)
    }

    fn set_draining(
        &mut self,
        now: Instant,
        pool: &PoolHandle,
        pe: PeId,
        wanted: bool,
    ) -> Result<(), DrainError> {
        let key = (pool.clone(), pe);
        let mut element = self.element(&key).ok_or(DrainError::Unknown)?;
        if element.home != self.id {
            return Err(DrainError::NotHome(element.home));
        }
        if draining::is_marked(&element.unknown) == wanted {
            return Ok(());
        }
        draining::set(&mut element.unknown, wanted);
        // It is there, so there is room for it and it agrees with its pool.
        self.handlespace.register(pool, element).map_err(|_| DrainError::Unknown)?;
        self.announce_add(&key);
        self.tell_draining(&key, wanted);
        self.element_changed(now, &key);
        Ok(())
    }

    pub(super) fn tell_draining(&mut self, key: &Key, draining: bool) {
        let (pool, pe) = key.clone();
        self.event(match draining {
            true => Event::ElementDraining { pool, pe },
            false => Event::ElementUndrained { pool, pe },
        });
    }

    /// Whether an element is registered and not to be selected.
    pub(super) fn is_draining(&self, key: &Key) -> bool {
        self.handlespace.pool(&key.0).is_some_and(|pool: &Pool| pool.is_draining(key.1))
    }

    /// Keeps what an element registered, and whether it drains.
    pub(super) fn keep(
        &mut self,
        key: &Key,
        mut element: PoolElementParameter,
    ) -> Result<Registered, ErrorCause> {
        draining::set(&mut element.unknown, self.is_draining(key));
        self.handlespace.register(&key.0, element)
    }
}
