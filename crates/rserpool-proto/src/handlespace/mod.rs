//! The handlespace: pools by handle, elements by identifier, and what a registration must agree with
//! (RFC 5352 section 3.1, RFC 5356 section 4).

mod pool;

use std::collections::BTreeMap;

pub use pool::Pool;

use crate::wire::{CauseCode, ErrorCause, PoolElementParameter};
use crate::{PeId, PoolHandle, policy};

/// How much a handlespace may hold; beyond, registrations lack resources (RFC 5355 threat 1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Pools in all.
    pub pools: usize,
    /// Elements in all.
    pub elements: usize,
    /// Elements of one pool.
    pub elements_per_pool: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { pools: 1_000, elements: 50_000, elements_per_pool: 10_000 }
    }
}

/// What a registration did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Registered {
    /// A new element.
    New,
    /// An element that was there, with other values.
    Changed,
    /// An element that was there, with the same values.
    Unchanged,
}

/// All pools.
#[derive(Debug, Default)]
pub struct Handlespace {
    pools: BTreeMap<PoolHandle, Pool>,
    elements: usize,
    limits: Limits,
}

impl Handlespace {
    /// Returns an empty handlespace.
    pub fn new(limits: Limits) -> Handlespace {
        Handlespace { pools: BTreeMap::new(), elements: 0, limits }
    }

    /// Registers or re-registers an element; the first one of a pool decides its policy, transport type and
    /// transport use (RFC 5352 section 3.1).
    ///
    /// Fails with the cause for the answer: 3 policy unknown, 5 policy, 7 transport type or 8 transport use
    /// not the pool's, 6 limits reached. Nothing is changed then.
    pub fn register(
        &mut self,
        handle: &PoolHandle,
        element: PoolElementParameter,
    ) -> Result<Registered, ErrorCause> {
        self.check(handle, &element)?;
        let ranking = policy::ranking(element.policy.policy_type())
            .ok_or_else(|| ErrorCause::plain(CauseCode::INVALID_VALUES))?;
        let pool = self.pools.entry(handle.clone()).or_insert_with(|| Pool::new(ranking));
        let registered = pool.insert(element);
        if registered == Registered::New {
            self.elements += 1;
        }
        Ok(registered)
    }

    /// Checks a registration without making it; see [`Handlespace::register`].
    pub fn check(&self, handle: &PoolHandle, element: &PoolElementParameter) -> Result<(), ErrorCause> {
        let lack = || Err(ErrorCause::plain(CauseCode::LACK_OF_RESOURCES));
        let Some(pool) = self.pools.get(handle) else {
            if !policy::is_supported(element.policy.policy_type()) {
                let mut information = Vec::new();
                // A policy that does not fit is left out, which receivers tolerate.
                let _ = element.policy.encode(&mut information);
                return Err(ErrorCause { code: CauseCode::INVALID_VALUES, information });
            }
            let full = self.pools.len() >= self.limits.pools || self.elements >= self.limits.elements;
            return if full { lack() } else { Ok(()) };
        };
        pool.check(element)?;
        let new = pool.element(element.pe).is_none();
        let full = self.elements >= self.limits.elements || pool.len() >= self.limits.elements_per_pool;
        if new && full { lack() } else { Ok(()) }
    }

    /// Removes an element, and its pool with the last one; returns the element.
    pub fn deregister(&mut self, handle: &PoolHandle, pe: PeId) -> Option<PoolElementParameter> {
        let pool = self.pools.get_mut(handle)?;
        let element = pool.remove(pe)?;
        if pool.is_empty() {
            self.pools.remove(handle);
        }
        self.elements -= 1;
        Some(element)
    }

    /// Returns the pool of this name.
    pub fn pool(&self, handle: &PoolHandle) -> Option<&Pool> {
        self.pools.get(handle)
    }

    /// Returns the pool of this name, to select from it.
    pub fn pool_mut(&mut self, handle: &PoolHandle) -> Option<&mut Pool> {
        self.pools.get_mut(handle)
    }

    /// Returns the pools in order of their handles.
    pub fn pools(&self) -> impl Iterator<Item = (&PoolHandle, &Pool)> {
        self.pools.iter()
    }

    /// Returns the number of elements in all pools.
    pub fn elements(&self) -> usize {
        self.elements
    }
}

#[cfg(test)]
mod tests;
