//! One pool: its elements by identifier and in the order of its policy.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::Registered;
use crate::policy::Ranking;
use crate::random::Random;
use crate::wire::{CauseCode, ErrorCause, Policy, PolicyType, PoolElementParameter};
use crate::{PeId, RegistrarId};

/// Elements of one policy, transport type and transport use.
pub struct Pool {
    ranking: &'static dyn Ranking,
    elements: BTreeMap<PeId, Member>,
    /// (rank, turn, element): the first is the head.
    order: BTreeSet<(u64, u64, PeId)>,
    next_turn: u64,
}

struct Member {
    element: PoolElementParameter,
    rank: u64,
    turn: u64,
}

impl Pool {
    pub(crate) fn new(ranking: &'static dyn Ranking) -> Pool {
        Pool { ranking, elements: BTreeMap::new(), order: BTreeSet::new(), next_turn: 0 }
    }

    /// Returns the pool's policy type.
    pub fn policy_type(&self) -> PolicyType {
        self.ranking.policy_type()
    }

    /// Returns the policy with the values of the element at the head.
    pub fn policy(&self) -> Option<&Policy> {
        let (_, _, pe) = self.order.first()?;
        Some(&self.elements.get(pe)?.element.policy)
    }

    /// Returns the element; what it is made of is kept in another form, so this is a value.
    pub fn element(&self, pe: PeId) -> Option<PoolElementParameter> {
        self.elements.get(&pe).map(|member| member.element.clone())
    }

    /// Returns whether the pool has this element.
    pub fn contains(&self, pe: PeId) -> bool {
        self.elements.contains_key(&pe)
    }

    /// Returns the element's owner.
    pub fn home(&self, pe: PeId) -> Option<RegistrarId> {
        self.elements.get(&pe).map(|member| member.element.home)
    }

    /// Returns the identifiers of the elements, in order.
    pub fn ids(&self) -> impl Iterator<Item = PeId> {
        self.elements.keys().copied()
    }

    /// Returns the elements by identifier.
    pub fn elements(&self) -> impl Iterator<Item = PoolElementParameter> {
        self.after(None, None)
    }

    /// Returns the elements behind `last` by identifier, all or those of one owner.
    pub(super) fn after(
        &self,
        last: Option<PeId>,
        home: Option<RegistrarId>,
    ) -> impl Iterator<Item = PoolElementParameter> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let elements = self.elements.range((from, Bound::Unbounded)).map(|(_, member)| &member.element);
        elements.filter(move |element| home.is_none_or(|home| element.home == home)).cloned()
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Returns whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Returns up to `count` elements that `wanted` accepts, in the order of the policy, and gives
    /// the first one's turn away: the head advances by one (RFC 5356 section 4.1.2). Policies that choose by
    /// chance draw from `random`.
    pub fn select(
        &mut self,
        count: usize,
        _random: &mut Random,
        wanted: impl FnMut(PeId) -> bool,
    ) -> Vec<PeId> {
        let chosen = self.first(count, wanted);
        if let Some(&head) = chosen.first() {
            self.end_turn(head);
        }
        chosen
    }

    /// Returns what [`Pool::select`] would, and leaves the head where it is.
    pub fn first(&self, count: usize, mut wanted: impl FnMut(PeId) -> bool) -> Vec<PeId> {
        self.order.iter().map(|&(_, _, pe)| pe).filter(|&pe| wanted(pe)).take(count).collect()
    }

    fn end_turn(&mut self, pe: PeId) {
        let Some(member) = self.elements.get_mut(&pe) else { return };
        self.order.remove(&(member.rank, member.turn, pe));
        member.turn = self.next_turn;
        self.next_turn += 1;
        self.order.insert((member.rank, member.turn, pe));
    }

    /// Adds or replaces an element; a replaced one keeps its turn.
    pub(crate) fn insert(&mut self, element: PoolElementParameter) -> Registered {
        let (pe, rank) = (element.pe, self.ranking.rank(&element.policy));
        if let Some(member) = self.elements.get_mut(&pe) {
            self.order.remove(&(member.rank, member.turn, pe));
            self.order.insert((rank, member.turn, pe));
            member.rank = rank;
            let before = std::mem::replace(&mut member.element, element);
            return if before == member.element { Registered::Unchanged } else { Registered::Changed };
        }
        let turn = self.next_turn;
        self.next_turn += 1;
        self.order.insert((rank, turn, pe));
        self.elements.insert(pe, Member { element, rank, turn });
        Registered::New
    }

    /// Changes the owner; returns the one before.
    pub(super) fn set_home(&mut self, pe: PeId, home: RegistrarId) -> Option<RegistrarId> {
        let member = self.elements.get_mut(&pe)?;
        Some(std::mem::replace(&mut member.element.home, home))
    }

    pub(crate) fn remove(&mut self, pe: PeId) -> Option<PoolElementParameter> {
        let member = self.elements.remove(&pe)?;
        self.order.remove(&(member.rank, member.turn, pe));
        Some(member.element)
    }

    /// Checks policy, transport type and transport use against the pool's (RFC 5352 section 3.1).
    pub(crate) fn check(&self, element: &PoolElementParameter) -> Result<(), ErrorCause> {
        let Some(Member { element: first, .. }) = self.elements.values().next() else { return Ok(()) };
        if element.policy.policy_type() != self.policy_type() {
            return Err(ErrorCause::inconsistent_policy(&first.policy));
        }
        if element.user_transport.kind() != first.user_transport.kind() {
            return Err(ErrorCause::inconsistent_transport(&first.user_transport));
        }
        if element.user_transport.transport_use() != first.user_transport.transport_use() {
            return Err(ErrorCause::plain(CauseCode::INCONSISTENT_DATA_CONTROL));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("policy", &self.policy_type()).field("order", &self.order).finish()
    }
}
