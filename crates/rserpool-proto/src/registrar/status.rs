//! What the registrar has, for metrics and the operator's view.

use std::time::Instant;

use super::{Key, Registrar};
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
#[derive(Clone, Debug)]
pub struct ElementStatus {
    /// As it was registered.
    pub element: PoolElementParameter,
    /// How it is.
    pub state: ElementState,
    /// The connection it is registered over.
    pub connection: Option<ConnectionId>,
    /// When it answered a keep-alive of this registrar last.
    pub answered: Option<Instant>,
}

impl Registrar {
    /// Returns every pool with its elements by state, by handle.
    pub fn pools(&self) -> impl Iterator<Item = PoolStatus<'_>> {
        self.handlespace.pools().map(|(handle, pool)| PoolStatus {
            pool: handle,
            policy: pool.policy_type(),
            transport: pool.elements().next().map(|element| element.user_transport.kind()),
            up: pool.len() - pool.aside() - pool.draining(),
            suspect: pool.aside(),
            draining: pool.draining(),
        })
    }

    /// Returns up to `count` elements of a pool by identifier, those after `after`; none of an unknown pool.
    pub fn elements(&self, pool: &PoolHandle, after: Option<PeId>, count: usize) -> Vec<ElementStatus> {
        let known = self.handlespace.pool(pool).into_iter().flat_map(Pool::ids);
        let page = known.filter(|pe| after.is_none_or(|after| *pe > after)).take(count);
        page.filter_map(|pe| self.status(&(pool.clone(), pe))).collect()
    }

    fn status(&self, key: &Key) -> Option<ElementStatus> {
        let state = if self.is_draining(key) {
            ElementState::Draining
        } else if self.is_suspect(key) {
            ElementState::Suspect
        } else {
            ElementState::Up
        };
        let monitor = self.monitors.get(key);
        Some(ElementStatus {
            element: self.element(key)?,
            state,
            connection: monitor.and_then(|monitor| monitor.connection),
            answered: monitor.and_then(|monitor| monitor.answered),
        })
    }
}
