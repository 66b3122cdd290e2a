//! The handlespace: pools by handle, elements by identifier, and what a registration must agree with
//! (RFC 5352 section 3.1, RFC 5356 section 4).

mod checksum;
mod order;
mod pool;
mod queue;
mod shares;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

pub use pool::Pool;

use crate::hashing::Table;
use crate::policy::Rule;
use crate::wire::param::pe_checksum::PeChecksum;
use crate::wire::{CauseCode, ErrorCause, PoolElementParameter};
use crate::{PeId, PoolHandle, RegistrarId, policy};
use checksum::{Block, Sum};

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
    pools: Table<PoolHandle, Pool>,
    /// Their handles.
    order: BTreeSet<PoolHandle>,
    elements: usize,
    /// What each registrar owns, without those that own nothing.
    owners: BTreeMap<RegistrarId, Sum>,
    limits: Limits,
}

impl Handlespace {
    /// Returns an empty handlespace.
    pub fn new(limits: Limits) -> Handlespace {
        Handlespace { limits, ..Handlespace::default() }
    }

    /// Registers or re-registers an element; the first one of a pool decides its policy, transport type and
    /// transport use (RFC 5352 section 3.1).
    ///
    /// `element.home` owns the element from then on; registering again may change the owner.
    ///
    /// Fails with the cause for the answer: 3 policy unknown, 5 policy, 7 transport type or 8 transport use
    /// not the pool's, 6 limits reached. Nothing is changed then.
    pub fn register(
        &mut self,
        handle: &PoolHandle,
        element: PoolElementParameter,
    ) -> Result<Registered, ErrorCause> {
        let (pe, home) = (element.pe, element.home);
        let space_left = self.elements < self.limits.elements;
        let inserted = match self.pools.get_mut(handle) {
            Some(pool) => {
                pool.check(&element)?;
                let has_room = space_left && pool.len() < self.limits.elements_per_pool;
                pool.insert(element, has_room)
            }
            None => {
                let rule = rule_of_new_pool(&element)?;
                let has_room = space_left && self.pools.len() < self.limits.pools;
                let mut pool = Pool::new(rule);
                let inserted = pool.insert(element, has_room);
                if inserted.is_some() {
                    self.pools.insert(handle.clone(), pool);
                    self.order.insert(handle.clone());
                }
                inserted
            }
        };
        let Some((registered, before)) = inserted else {
            return Err(ErrorCause::plain(CauseCode::LACK_OF_RESOURCES));
        };
        if registered == Registered::New {
            self.elements += 1;
        }
        if before != Some(home) {
            self.change_owner(Block::of(handle, pe), before, Some(home));
        }
        Ok(registered)
    }

    /// Checks a registration without making it; see [`Handlespace::register`].
    pub fn check(&self, handle: &PoolHandle, element: &PoolElementParameter) -> Result<(), ErrorCause> {
        let lack = || Err(ErrorCause::plain(CauseCode::LACK_OF_RESOURCES));
        let Some(pool) = self.pools.get(handle) else {
            rule_of_new_pool(element)?;
            let full = self.pools.len() >= self.limits.pools || self.elements >= self.limits.elements;
            return if full { lack() } else { Ok(()) };
        };
        pool.check(element)?;
        let full = self.elements >= self.limits.elements || pool.len() >= self.limits.elements_per_pool;
        if full && !pool.contains(element.pe) { lack() } else { Ok(()) }
    }

    /// Removes an element, and its pool with the last one; returns the element.
    pub fn deregister(&mut self, handle: &PoolHandle, pe: PeId) -> Option<PoolElementParameter> {
        let pool = self.pools.get_mut(handle)?;
        let element = pool.remove(pe)?;
        if pool.is_empty() {
            self.pools.remove(handle);
            self.order.remove(handle);
        }
        self.elements -= 1;
        self.change_owner(Block::of(handle, pe), Some(element.home), None);
        Some(element)
    }

    /// Changes the owner of an element; returns whether there is such an element.
    pub fn set_home(&mut self, handle: &PoolHandle, pe: PeId, home: RegistrarId) -> bool {
        let before = self.pools.get_mut(handle).and_then(|pool| pool.set_home(pe, home));
        if before.is_some() {
            self.change_owner(Block::of(handle, pe), before, Some(home));
        }
        before.is_some()
    }

    fn change_owner(&mut self, block: Block, before: Option<RegistrarId>, after: Option<RegistrarId>) {
        if before == after {
            return;
        }
        if let Some(before) = before
            && let Some(sum) = self.owners.get_mut(&before)
        {
            sum.remove(block);
            if sum.is_empty() {
                self.owners.remove(&before);
            }
        }
        if let Some(after) = after {
            self.owners.entry(after).or_default().add(block);
        }
    }

    /// Returns the PE checksum over the elements this registrar owns (RFC 5353 section 3.6.2);
    /// `ffff` when it owns none.
    pub fn checksum(&self, home: RegistrarId) -> PeChecksum {
        PeChecksum(self.owners.get(&home).copied().unwrap_or_default().checksum16())
    }

    /// Returns the 32-bit variant of [`Handlespace::checksum`] (docs/wire.md); all ones when it owns none.
    pub fn checksum32(&self, home: RegistrarId) -> u32 {
        self.owners.get(&home).copied().unwrap_or_default().checksum32()
    }

    /// Returns the registrars that own elements, and how many.
    pub fn owners(&self) -> impl Iterator<Item = (RegistrarId, usize)> {
        self.owners.iter().map(|(&home, sum)| (home, sum.elements()))
    }

    /// Returns the elements a registrar owns, by handle and identifier.
    pub fn owned_by(&self, home: RegistrarId) -> impl Iterator<Item = (&PoolHandle, PoolElementParameter)> {
        self.owned_after(home, None)
    }

    /// Returns the elements a registrar owns that come after this one, by handle and identifier.
    pub fn owned_after(
        &self,
        home: RegistrarId,
        last: Option<(&PoolHandle, PeId)>,
    ) -> impl Iterator<Item = (&PoolHandle, PoolElementParameter)> {
        self.pools_from(last).flat_map(move |(handle, pool, after)| {
            pool.after(after, Some(home)).map(move |element| (handle, element))
        })
    }

    /// Returns all elements that come after this one, by handle and identifier.
    pub fn after(
        &self,
        last: Option<(&PoolHandle, PeId)>,
    ) -> impl Iterator<Item = (&PoolHandle, PoolElementParameter)> {
        self.pools_from(last)
            .flat_map(|(handle, pool, after)| pool.after(after, None).map(move |element| (handle, element)))
    }

    /// The pools from that of `last` on, the first with the element to begin behind.
    fn pools_from(
        &self,
        last: Option<(&PoolHandle, PeId)>,
    ) -> impl Iterator<Item = (&PoolHandle, &Pool, Option<PeId>)> {
        let from = last.map_or(Bound::Unbounded, |(handle, _)| Bound::Included(handle));
        // The bounds are looked up here; nothing of `last` is kept but a copy.
        let begin = last.map(|(handle, pe)| (handle.clone(), pe));
        let from = self.order.range::<PoolHandle, _>((from, Bound::Unbounded));
        from.filter_map(|handle| self.pools.get_key_value(handle)).map(move |(handle, pool)| {
            let after = begin.as_ref().filter(|(first, _)| first == handle).map(|&(_, pe)| pe);
            (handle, pool, after)
        })
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
        self.order.iter().filter_map(|handle| self.pools.get_key_value(handle))
    }

    /// Lets a handle share the octets that the pool's own one has, if there is such a pool: a message may bring
    /// 64 KiB.
    pub(crate) fn share(&self, handle: &mut PoolHandle) {
        if let Some((known, _)) = self.pools.get_key_value(handle) {
            *handle = known.clone();
        }
    }

    /// Returns the number of elements in all pools.
    pub fn elements(&self) -> usize {
        self.elements
    }
}

/// How a pool selects that begins with this element; cause 3 with the policy when we cannot.
fn rule_of_new_pool(element: &PoolElementParameter) -> Result<&'static dyn Rule, ErrorCause> {
    policy::rule(element.policy.policy_type()).ok_or_else(|| {
        let mut information = Vec::new();
        // A policy that does not fit is left out, which receivers tolerate.
        let _ = element.policy.encode(&mut information);
        ErrorCause { code: CauseCode::INVALID_VALUES, information }
    })
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
