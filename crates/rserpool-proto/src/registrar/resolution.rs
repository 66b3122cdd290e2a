//! Handle resolution (RFC 5352 section 3.3).

use super::{Health, Registrar};
use crate::handlespace::Pool;
use crate::random::Random;
use crate::wire::asap::error::AsapError;
use crate::wire::asap::handle_resolution::{HandleResolution, HandleResolutionResponse, encode_response};
use crate::wire::param::resolution_option;
use crate::wire::{CauseCode, ErrorCause, Message, MessageType, PoolElementParameter};
use crate::{ConnectionId, PeId, PoolHandle};

/// A message's length has 16 bits (RFC 5354 section 2).
const MAX_MESSAGE: usize = 65_535;

/// Resolutions of pools with longer handles are counted in all only.
const MAX_COUNTED: usize = 64;

/// Why a pool is resolved to nobody: all its elements have weight zero and so give no service (RFC 5356
/// section 3.2). RFC 5354 has no cause of its own for this; "unknown pool handle" would be wrong, and who hears of
/// a lack of resources asks again later.
const NOBODY_SERVES: CauseCode = CauseCode::LACK_OF_RESOURCES;

impl Registrar {
    pub(super) fn handle_resolution(&mut self, connection: ConnectionId, message: HandleResolution) {
        let HandleResolution { send_updates, pool, items, .. } = message;
        let mut chosen = std::mem::take(&mut self.chosen);
        if self.select(&pool, self.item_count(items), &mut chosen) {
            self.count_resolution(&pool, chosen.len());
            // "The 'S' bit will only cause Dynamic update of a Pool when the Pool exists" (section 2.2.5).
            let updates_accepted = send_updates && self.subscribe(&pool, connection, items);
            self.send_chosen(connection, pool, &chosen, updates_accepted);
        } else {
            self.counters.resolutions_unknown += 1;
            self.send_response(connection, unknown_pool(pool));
        }
        self.chosen = chosen;
    }

    fn count_resolution(&mut self, pool: &PoolHandle, selected: usize) {
        if selected == 0 {
            self.counters.resolutions_refused += 1;
            return;
        }
        let selected = u64::try_from(selected).unwrap_or(u64::MAX);
        self.counters.resolutions_answered += 1;
        self.counters.elements_selected += selected;
        if pool.as_octets().len() > MAX_COUNTED {
            return;
        }
        let resolved = match self.resolved.get_mut(pool) {
            Some(resolved) => resolved,
            None => self.resolved.entry(pool.clone()).or_default(),
        };
        resolved.answered += 1;
        resolved.selected += selected;
    }

    pub(super) fn item_count(&self, items: Option<u32>) -> usize {
        let wanted = items.filter(|&items| items != 0).unwrap_or(self.config.default_items);
        usize::try_from(wanted.min(self.config.max_items)).unwrap_or(usize::MAX).max(1)
    }

    /// Selects by the pool's policy among the elements that are up, or among all when none is. Returns whether there
    /// is such a pool.
    fn select(&mut self, handle: &PoolHandle, count: usize, chosen: &mut Vec<PeId>) -> bool {
        self.choose(handle, chosen, |pool, random, up, chosen| pool.select_into(count, random, up, chosen))
    }

    /// Like a selection, but nobody asked: the head stays where it is.
    pub(super) fn preview(&mut self, handle: &PoolHandle, count: usize) -> Vec<PeId> {
        let mut chosen = Vec::new();
        self.choose(handle, &mut chosen, |pool, random, up, chosen| *chosen = pool.peek(count, random, up));
        chosen
    }

    fn choose(
        &mut self,
        handle: &PoolHandle,
        chosen: &mut Vec<PeId>,
        choose: impl Fn(&mut Pool, &mut Random, &mut dyn FnMut(PeId) -> bool, &mut Vec<PeId>),
    ) -> bool {
        let Some(pool) = self.handlespace.pool_mut(handle) else { return false };
        // Where nobody is set aside, nobody is suspect.
        if pool.aside() > 0 {
            let health = Health { monitors: &self.monitors, doubts: &self.enrp.doubts };
            let mut key = (handle.clone(), PeId(0));
            let mut up = |pe| {
                key.1 = pe;
                !health.is_suspect(&key)
            };
            choose(pool, &mut self.random, &mut up, chosen);
            if !chosen.is_empty() {
                return true;
            }
        }
        choose(pool, &mut self.random, &mut |_| true, chosen);
        true
    }

    /// Sends the answer with these elements and the pool's policy; without the ASAP transports, which are
    /// not for pool users. They are written as they are stored.
    pub(super) fn send_chosen(
        &mut self,
        to: ConnectionId,
        handle: PoolHandle,
        chosen: &[PeId],
        updates_accepted: bool,
    ) {
        let pool = self.handlespace.pool(&handle);
        let (Some(pool), Some(&first)) = (pool, chosen.first()) else {
            let refusal = refusal(handle, NOBODY_SERVES);
            return self.send_response(to, HandleResolutionResponse { updates_accepted, ..refusal });
        };
        let policy = pool.policy(first);
        self.scratch.clear();
        let written = encode_response(&mut self.scratch, updates_accepted, &handle, policy.as_ref(), |out| {
            chosen.iter().try_for_each(|&pe| pool.encode_for_users(pe, out))
        });
        if written.is_ok() {
            self.counters.count_sent_type(MessageType::HANDLE_RESOLUTION_RESPONSE);
            return self.send_scratch(to);
        }
        let elements = chosen.iter().filter_map(|&pe| pool.element_for_users(pe)).collect();
        let (pool, causes, unknown) = (handle, None, vec![]);
        self.send_cut(
            to,
            HandleResolutionResponse { updates_accepted, pool, policy, elements, causes, unknown },
        );
    }

    /// Sends a response, or as much of it as fits.
    pub(super) fn send_response(&mut self, to: ConnectionId, response: HandleResolutionResponse) {
        let message = Message::HandleResolutionResponse(response);
        if self.send(to, &message) {
            return;
        }
        let Message::HandleResolutionResponse(response) = message else { return };
        self.send_cut(to, response);
    }

    /// Sends as many of the elements as fit one message, and says how many there were; where not even one fits, that
    /// resources are lacking.
    fn send_cut(&mut self, to: ConnectionId, mut response: HandleResolutionResponse) {
        self.counters.answers_cut += 1;
        let elements = std::mem::take(&mut response.elements);
        let chosen = u32::try_from(elements.len()).unwrap_or(u32::MAX);
        response.unknown.push(resolution_option::to_parameter(chosen));
        let bare = Message::HandleResolutionResponse(response.clone()).to_octets();
        let mut room = MAX_MESSAGE.saturating_sub(bare.map_or(MAX_MESSAGE, |octets| octets.len()));
        let mut fits = |element: &PoolElementParameter| {
            let left = room.checked_sub(element.to_octets().len().next_multiple_of(4));
            room = left.unwrap_or(room);
            left.is_some()
        };
        response.elements = elements.into_iter().take_while(|element| fits(element)).collect();
        if response.elements.is_empty()
            || !self.send(to, &Message::HandleResolutionResponse(response.clone()))
        {
            self.refuse_resolution(to, response.pool);
        }
    }

    /// A handle may leave no room even for this; then it is told without the handle.
    fn refuse_resolution(&mut self, to: ConnectionId, pool: PoolHandle) {
        self.counters.resolutions_refused += 1;
        let causes = vec![ErrorCause::plain(CauseCode::LACK_OF_RESOURCES)];
        let refused = refusal(pool, CauseCode::LACK_OF_RESOURCES);
        if !self.send(to, &Message::HandleResolutionResponse(refused)) {
            self.send(to, &Message::Error(AsapError { causes, unknown: vec![] }));
        }
    }
}

pub(super) fn unknown_pool(pool: PoolHandle) -> HandleResolutionResponse {
    refusal(pool, CauseCode::UNKNOWN_POOL_HANDLE)
}

/// An answer without elements says why (RFC 5352 section 2.2.6).
fn refusal(pool: PoolHandle, cause: CauseCode) -> HandleResolutionResponse {
    HandleResolutionResponse {
        updates_accepted: false,
        pool,
        policy: None,
        elements: vec![],
        causes: Some(vec![ErrorCause::plain(cause)]),
        unknown: vec![],
    }
}
