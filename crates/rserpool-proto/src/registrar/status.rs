//! What the registrar has, for metrics and the operator's view.

use std::collections::BTreeMap;

use super::{Monitor, Registrar};
use crate::handlespace::Pool;
use crate::wire::{ParameterType, PolicyType, PoolElementParameter};
use crate::{ConnectionId, PeId, PoolHandle};

/// One pool, for metrics and status pages.
#[derive(Clone, Copy, Debug)]
pub struct PoolStatus<'a> {
    /// The pool.
    pub pool: &'a PoolHandle,
    /// Its policy.
    pub policy: PolicyType,
    /// Its transport type.
    pub transport: Option<ParameterType>,
    /// Elements that answer.
    pub up: usize,
    /// Elements that may be dead.
    pub suspect: usize,
    /// Elements the operator has taken out of selection.
    pub draining: usize,
}

/// How a registered element is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ElementState {
    /// It answers, or its home has said nothing else.
    Up,
    /// Its association is lost, or a keep-alive was not answered.
    Suspect,
    /// The operator has taken it out of selection.
    Draining,
}

impl ElementState {
    /// Returns the state as operators and metrics call it.
    pub const fn label(self) -> &'static str {
        match self {
            ElementState::Up => "up",
            ElementState::Suspect => "suspect",
            ElementState::Draining => "draining",
        }
    }
}

/// One registered element.
#[derive(Clone, Copy, Debug)]
pub struct ElementStatus<'a> {
    /// As it was registered.
    pub element: &'a PoolElementParameter,
    /// How it is.
    pub state: ElementState,
    /// The connection it is registered over.
    pub connection: Option<ConnectionId>,
}

impl Registrar {
    /// Returns every pool with its elements by state, by handle.
    pub fn pools(&self) -> impl Iterator<Item = PoolStatus<'_>> {
        let mut pools: BTreeMap<&PoolHandle, PoolStatus<'_>> = BTreeMap::new();
        for (handle, pool) in self.handlespace.pools() {
            let suspect = pool.elements().filter(|element| self.is_suspect(handle, element.pe)).count();
            let status = PoolStatus {
                pool: handle,
                policy: pool.policy_type(),
                transport: pool.elements().next().map(|element| element.user_transport.kind()),
                up: pool.len() - suspect,
                suspect,
                draining: 0,
            };
            pools.insert(handle, status);
        }
        for ((handle, _), element) in &self.drained {
            let empty = PoolStatus {
                pool: handle,
                policy: element.policy.policy_type(),
                transport: Some(element.user_transport.kind()),
                up: 0,
                suspect: 0,
                draining: 0,
            };
            pools.entry(handle).or_insert(empty).draining += 1;
        }
        pools.into_values()
    }

    /// Returns up to `count` elements of a pool by identifier, those after `after`; none of an unknown pool.
    pub fn elements(&self, pool: &PoolHandle, after: Option<PeId>, count: usize) -> Vec<ElementStatus<'_>> {
        let known = self.handlespace.pool(pool).into_iter().flat_map(Pool::elements);
        let drained = self.drained.range((pool.clone(), PeId(0))..=(pool.clone(), PeId(u32::MAX)));
        let all = known.chain(drained.map(|(_, element)| element));
        let mut elements: Vec<_> =
            all.filter(|element| after.is_none_or(|after| element.pe > after)).collect();
        elements.sort_unstable_by_key(|element| element.pe);
        elements.truncate(count);
        elements.into_iter().map(|element| self.status(pool, element)).collect()
    }

    fn status<'a>(&self, pool: &PoolHandle, element: &'a PoolElementParameter) -> ElementStatus<'a> {
        let key = (pool.clone(), element.pe);
        let state = if self.drained.contains_key(&key) {
            ElementState::Draining
        } else if self.is_suspect(pool, element.pe) {
            ElementState::Suspect
        } else {
            ElementState::Up
        };
        let connection = self.monitors.get(&key).and_then(|Monitor { connection, .. }| *connection);
        ElementStatus { element, state, connection }
    }
}
