//! Draining: an operator takes an element out of selection before its host goes down.
//!
//! A draining element leaves the handlespace, so that it is neither selected nor told to anybody, and stays
//! registered and watched: it may register again, deregister, or fall silent as before. Only the home registrar
//! drains; what it does not own is its home's business. To its peers the element has left (HANDLE_UPDATE, delete),
//! and is in no table and no checksum; one that registers with another registrar is selected again. A pool whose
//! elements all drain is unknown to pool users.

use std::time::Instant;

use super::{Event, Key, Registrar};
use crate::handlespace::Registered;
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
    /// The pool has become another one meanwhile.
    #[error("the pool does not take it back: {0}")]
    Refused(ErrorCause),
}

impl Registrar {
    /// Takes an element out of selection. One that drains already goes on so.
    ///
    /// Fails when it is not registered, or at another registrar.
    pub fn drain(&mut self, now: Instant, pool: &PoolHandle, pe: PeId) -> Result<(), DrainError> {
        let key = (pool.clone(), pe);
        if self.drained.contains_key(&key) {
            return Ok(());
        }
        let home = self.element(&key).ok_or(DrainError::Unknown)?.home;
        if home != self.id {
            return Err(DrainError::NotHome(home));
        }
        let Some(element) = self.handlespace.deregister(pool, pe) else { return Err(DrainError::Unknown) };
        self.announce_delete(pool, &element);
        self.drained.insert(key, element);
        self.event(Event::ElementDraining { pool: pool.clone(), pe });
        self.pool_changed(now, pool);
        Ok(())
    }

    /// Puts a draining element back into selection. One that does not drain stays as it is.
    ///
    /// Fails when it is not registered here, or when the pool has another policy or transport by now, or is full.
    pub fn undrain(&mut self, now: Instant, pool: &PoolHandle, pe: PeId) -> Result<(), DrainError> {
        let key = (pool.clone(), pe);
        let Some(element) = self.drained.get(&key) else {
            return self.element(&key).map(|_| ()).ok_or(DrainError::Unknown);
        };
        self.handlespace.register(pool, element.clone()).map_err(DrainError::Refused)?;
        self.drained.remove(&key);
        self.announce_add(&key);
        self.event(Event::ElementUndrained { pool: pool.clone(), pe });
        self.element_changed(now, &key);
        Ok(())
    }

    /// Keeps what an element registered: in the handlespace, or beside it while it drains.
    pub(super) fn keep(
        &mut self,
        key: &Key,
        element: PoolElementParameter,
    ) -> Result<Registered, ErrorCause> {
        let Some(drained) = self.drained.get_mut(key) else {
            return self.handlespace.register(&key.0, element);
        };
        let before = std::mem::replace(drained, element);
        Ok(if before == *drained { Registered::Unchanged } else { Registered::Changed })
    }
}
