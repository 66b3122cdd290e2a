//! Dynamic updates: who set the S flag is told when a pool changes (RFC 5352 section 2.2.5).
//!
//! Told is who joins, leaves, moves, becomes suspect or recovers, not a change of load. Changes within a short
//! time are told at once. The end of the pool is told with cause 9, and ends the subscription.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::resolution::unknown_pool;
use super::{Key, Registrar, Timer};
use crate::{ConnectionId, PoolHandle};

/// Changes within this time are told together.
const COALESCE: Duration = Duration::from_millis(20);

/// Pools one connection may hear of.
const MAX_SUBSCRIPTIONS: usize = 64;

/// Subscribers told at once; the next ones follow after [`PAUSE`], so that thousands of long answers do not
/// stand in memory together.
const PORTION: usize = 128;
const PAUSE: Duration = Duration::from_millis(1);

/// Nobody is told while so many octets, or more, wait to be taken by our owner.
const UNSENT: usize = 1 << 20;

/// Who wants to hear of one pool.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    /// How many elements each wants.
    items: BTreeMap<ConnectionId, Option<u32>>,
    /// Who was told last in the round that is under way.
    told: Option<ConnectionId>,
    /// The pool has changed since that round began.
    again: bool,
}

impl Registrar {
    /// Returns whether the connection will be told of changes.
    pub(super) fn subscribe(
        &mut self,
        pool: &PoolHandle,
        connection: ConnectionId,
        items: Option<u32>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&connection) else { return false };
        let full = peer.subscriptions.len() >= MAX_SUBSCRIPTIONS;
        let full = full || self.subscriptions >= self.config.max_subscriptions;
        if full && !peer.subscriptions.contains(pool) {
            return false;
        }
        // All share the octets of one handle.
        let pool = self.subscribers.get_key_value(pool).map_or(pool, |(known, _)| known).clone();
        if peer.subscriptions.insert(pool.clone()) {
            self.subscriptions += 1;
        }
        self.subscribers.entry(pool).or_default().items.insert(connection, items);
        true
    }

    pub(super) fn unsubscribe(&mut self, pool: &PoolHandle, connection: ConnectionId) {
        if let Some(subscribers) = self.subscribers.get_mut(pool) {
            if subscribers.items.remove(&connection).is_some() {
                self.subscriptions -= 1;
            }
            if subscribers.items.is_empty() {
                self.subscribers.remove(pool);
            }
        }
    }

    /// An element joined, left, moved, became suspect or recovered: suspects are set aside, and who asked is told.
    pub(super) fn element_changed(&mut self, now: Instant, key: &Key) {
        self.set_aside_if_suspect(key);
        self.pool_changed(now, &key.0);
    }

    /// Resolutions pass over who is set aside without a look at it.
    pub(super) fn set_aside_if_suspect(&mut self, key: &Key) {
        let suspect = self.is_suspect(key);
        if let Some(pool) = self.handlespace.pool_mut(&key.0) {
            pool.set_aside(key.1, suspect);
        }
    }

    pub(super) fn pool_changed(&mut self, now: Instant, pool: &PoolHandle) {
        let Some(subscribers) = self.subscribers.get_mut(pool) else { return };
        if subscribers.told.is_some() {
            subscribers.again = true;
            return;
        }
        let timer = Timer::Update(pool.clone());
        if self.timers.deadline(&timer).is_none() {
            self.timers.set(timer, now + COALESCE);
        }
    }

    /// Tells the next subscribers of a pool.
    pub(super) fn tell_subscribers(&mut self, now: Instant, pool: &PoolHandle) {
        if self.unsent >= UNSENT {
            return self.timers.set(Timer::Update(pool.clone()), now + PAUSE);
        }
        let Some(subscribers) = self.subscribers.get_mut(pool) else { return };
        let after = subscribers.told.map_or(Bound::Unbounded, Bound::Excluded);
        let next = subscribers.items.range((after, Bound::Unbounded)).take(PORTION);
        let portion: Vec<_> = next.map(|(&connection, &items)| (connection, items)).collect();
        subscribers.told = portion.last().map(|&(connection, _)| connection);
        let known = self.handlespace.pool(pool).is_some();
        for &(connection, items) in &portion {
            if known {
                let count = self.item_count(items);
                let chosen = self.preview(pool, count);
                self.send_chosen(connection, pool.clone(), &chosen, true);
            } else {
                self.end_subscription(pool, connection);
            }
        }
        self.continue_round(now, pool, portion.len() == PORTION);
    }

    /// The pool is gone, and with it the subscription.
    fn end_subscription(&mut self, pool: &PoolHandle, connection: ConnectionId) {
        if let Some(peer) = self.peers.get_mut(&connection) {
            peer.subscriptions.remove(pool);
        }
        self.unsubscribe(pool, connection);
        self.send_response(connection, unknown_pool(pool.clone()));
    }

    fn continue_round(&mut self, now: Instant, pool: &PoolHandle, more: bool) {
        let Some(subscribers) = self.subscribers.get_mut(pool) else { return };
        let pause = if more {
            PAUSE
        } else {
            subscribers.told = None;
            if !std::mem::take(&mut subscribers.again) {
                return;
            }
            COALESCE
        };
        self.timers.set(Timer::Update(pool.clone()), now + pause);
    }
}
