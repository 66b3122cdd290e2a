//! Dynamic updates: who set the S flag is told when a pool changes (RFC 5352 section 2.2.5).
//!
//! Told is who joins, leaves, moves, becomes suspect or recovers, not a change of load. Changes within a short
//! time are told at once. The end of the pool is told with cause 9, and ends the subscription.

use std::time::{Duration, Instant};

use super::resolution::{NOBODY_SERVES, refusal, unknown_pool};
use super::{Registrar, Timer};
use crate::{ConnectionId, PeId, PoolHandle};

/// Changes within this time are told together.
const COALESCE: Duration = Duration::from_millis(20);

/// Pools one connection may hear of.
const MAX_SUBSCRIPTIONS: usize = 64;

impl Registrar {
    /// Returns whether the connection will be told of changes.
    pub(super) fn subscribe(
        &mut self,
        pool: &PoolHandle,
        connection: ConnectionId,
        items: Option<u32>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&connection) else { return false };
        if peer.subscriptions.len() >= MAX_SUBSCRIPTIONS && !peer.subscriptions.contains(pool) {
            return false;
        }
        peer.subscriptions.insert(pool.clone());
        self.subscribers.entry(pool.clone()).or_default().insert(connection, items);
        true
    }

    pub(super) fn unsubscribe(&mut self, pool: &PoolHandle, connection: ConnectionId) {
        if let Some(subscribers) = self.subscribers.get_mut(pool) {
            subscribers.remove(&connection);
            if subscribers.is_empty() {
                self.subscribers.remove(pool);
            }
        }
    }

    pub(super) fn pool_changed(&mut self, now: Instant, pool: &PoolHandle) {
        let timer = Timer::Update(pool.clone());
        if self.subscribers.contains_key(pool) && self.timers.deadline(&timer).is_none() {
            self.timers.set(timer, now + COALESCE);
        }
    }

    pub(super) fn tell_subscribers(&mut self, pool: &PoolHandle) {
        if self.handlespace.pool(pool).is_none() {
            for connection in self.subscribers.remove(pool).unwrap_or_default().into_keys() {
                if let Some(peer) = self.peers.get_mut(&connection) {
                    peer.subscriptions.remove(pool);
                }
                self.send_response(connection, unknown_pool(pool.clone()));
            }
            return;
        }
        for (connection, items) in self.subscribers.get(pool).cloned().unwrap_or_default() {
            let count = self.item_count(items);
            let chosen = self.preview(pool, count);
            let mut response = match chosen[..] {
                [] => refusal(pool.clone(), NOBODY_SERVES),
                _ => self.answer(pool.clone(), &chosen),
            };
            response.updates_accepted = true;
            self.send_response(connection, response);
        }
    }

    /// Like a selection, but nobody asked: the head stays where it is.
    fn preview(&mut self, handle: &PoolHandle, count: usize) -> Vec<PeId> {
        let monitors = &self.monitors;
        let up = |pe: PeId| monitors.get(&(handle.clone(), pe)).is_some_and(|m| !m.is_suspect());
        let Some(pool) = self.handlespace.pool_mut(handle) else { return vec![] };
        let chosen = pool.peek(count, &mut self.random, up);
        if chosen.is_empty() { pool.peek(count, &mut self.random, |_| true) } else { chosen }
    }
}
