//! Elements that left lately, in the order in which they did.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rserpool_proto::hashing::Set;
use rserpool_proto::registrar::Removal;
use rserpool_proto::{PeId, PoolHandle};
use serde_json::Value;

/// They stay listed for so long, and so many of them at most.
const GONE_FOR: Duration = Duration::from_secs(300);
const MAX_GONE: usize = 1_000;

#[derive(Debug)]
pub(super) struct Gone {
    pub(super) pool: PoolHandle,
    pub(super) pe: PeId,
    pub(super) reason: Removal,
    pub(super) at: Instant,
    pub(super) element: Value,
}

/// Each element at most once.
#[derive(Debug, Default)]
pub(super) struct Departed {
    order: VecDeque<Gone>,
    /// Whoever registers is looked for here: nearly all of them have never left.
    keys: Set<(PoolHandle, PeId)>,
}

impl Departed {
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Gone> {
        self.order.iter()
    }

    pub(super) fn push(&mut self, gone: Gone) {
        self.forget_old(gone.at);
        self.returned(&gone.pool, gone.pe);
        if self.order.len() >= MAX_GONE {
            self.pop();
        }
        self.keys.insert((gone.pool.clone(), gone.pe));
        self.order.push_back(gone);
    }

    /// An element is there again.
    pub(super) fn returned(&mut self, pool: &PoolHandle, pe: PeId) {
        if self.keys.remove(&(pool.clone(), pe)) {
            self.order.retain(|gone| gone.pe != pe || gone.pool != *pool);
        }
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|gone| now.saturating_duration_since(gone.at) >= GONE_FOR) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(gone) = self.order.pop_front() {
            self.keys.remove(&(gone.pool, gone.pe));
        }
    }
}
