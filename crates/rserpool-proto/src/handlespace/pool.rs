//! One pool: its elements by identifier, and the queues its policy chooses from.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use super::Registered;
use super::order::Position;
use super::queue::Queue;
use super::stored::Stored;
use crate::policy::{Counts, Place, Rule};
use crate::random::Random;
use crate::wire::param::draining;
use crate::wire::{CauseCode, EncodeError, ErrorCause, Policy, PolicyType, PoolElementParameter};
use crate::{PeId, RegistrarId};

/// Elements of one policy, transport type and transport use.
pub struct Pool {
    rule: &'static dyn Rule,
    /// Slots by identifier.
    ids: BTreeMap<PeId, u32>,
    /// What selection needs of each slot, and the rest.
    members: Vec<Member>,
    elements: Vec<Stored>,
    /// Slots without element.
    vacant: Vec<u32>,
    /// Elements to choose from.
    up: Queue,
    /// Elements to choose from when there is no other.
    aside: Queue,
    /// Elements in neither queue.
    draining: usize,
    /// How many elements are in `aside`.
    set_aside: usize,
    next_turn: u64,
    /// What the last selection picked; kept for its memory.
    picked: Vec<Position>,
}

/// What selection needs of an element.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) place: Place,
    pub(super) turn: u64,
    pub(super) pe: PeId,
    aside: bool,
    /// In neither queue: not to be chosen at all.
    draining: bool,
}

impl Pool {
    pub(crate) fn new(rule: &'static dyn Rule) -> Pool {
        Pool {
            rule,
            ids: BTreeMap::new(),
            members: Vec::new(),
            elements: Vec::new(),
            vacant: Vec::new(),
            up: Queue::default(),
            aside: Queue::default(),
            draining: 0,
            set_aside: 0,
            next_turn: 0,
            picked: Vec::new(),
        }
    }

    /// Returns the pool's policy type.
    pub fn policy_type(&self) -> PolicyType {
        self.rule.policy_type()
    }

    /// Returns the element. It is stored in another form, so this makes it anew.
    pub fn element(&self, pe: PeId) -> Option<PoolElementParameter> {
        self.stored(pe)?.element(pe)
    }

    /// Returns the element without its ASAP transport.
    pub(crate) fn element_for_users(&self, pe: PeId) -> Option<PoolElementParameter> {
        self.stored(pe)?.element_for_users(pe)
    }

    /// Appends the same as a parameter; nothing where there is no such element.
    pub(crate) fn encode_for_users(&self, pe: PeId, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.stored(pe).map_or(Ok(()), |stored| stored.encode_for_users(pe, out))
    }

    /// Returns the element's policy with its values.
    pub(crate) fn policy(&self, pe: PeId) -> Option<Policy> {
        self.stored(pe)?.policy()
    }

    /// Returns whether the pool has this element.
    pub fn contains(&self, pe: PeId) -> bool {
        self.ids.contains_key(&pe)
    }

    /// Returns whether pool users find this element where they find the one of its identifier that is in the pool.
    pub(crate) fn has_where(&self, element: &PoolElementParameter) -> bool {
        self.stored(element.pe).is_some_and(|stored| stored.is_where(element))
    }

    /// Returns whether the element is in the pool and not to be chosen, as it bears the mark ([`draining`]).
    pub fn is_draining(&self, pe: PeId) -> bool {
        self.draining > 0 && self.ids.get(&pe).is_some_and(|&slot| self.members[slot as usize].draining)
    }

    /// Returns how many elements bear that mark.
    pub fn draining(&self) -> usize {
        self.draining
    }

    /// Returns how many others are set aside ([`Pool::set_aside`]).
    pub fn aside(&self) -> usize {
        self.set_aside
    }

    /// Returns the element's owner.
    pub fn home(&self, pe: PeId) -> Option<RegistrarId> {
        self.stored(pe)?.home()
    }

    /// Returns the identifiers of the elements, in order.
    pub fn ids(&self) -> impl Iterator<Item = PeId> {
        self.ids.keys().copied()
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
        let stored =
            self.ids.range((from, Bound::Unbounded)).map(|(&pe, &slot)| (pe, &self.elements[slot as usize]));
        stored
            .filter(move |(_, stored)| home.is_none() || stored.home() == home)
            .filter_map(|(pe, stored)| stored.element(pe))
    }

    fn stored(&self, pe: PeId) -> Option<&Stored> {
        self.elements.get(*self.ids.get(&pe)? as usize)
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns up to `count` elements that `wanted` accepts, as the policy chooses them; none is returned twice.
    /// Elements that are set aside are returned only when there is no other. In ordered policies the first one's
    /// turn is over: the head advances by one (RFC 5356 section 4.1.2). Policies of chance draw from `random`.
    ///
    /// Returns none when there are none, or none that may be chosen: those of weight zero may not.
    pub fn select(
        &mut self,
        count: usize,
        random: &mut Random,
        wanted: impl FnMut(PeId) -> bool,
    ) -> Vec<PeId> {
        let mut chosen = Vec::new();
        self.select_into(count, random, wanted, &mut chosen);
        chosen
    }

    /// Like [`Pool::select`], into a vector that is cleared before.
    pub fn select_into(
        &mut self,
        count: usize,
        random: &mut Random,
        wanted: impl FnMut(PeId) -> bool,
        chosen: &mut Vec<PeId>,
    ) {
        let first_ones = self.pick(count, random, wanted, chosen);
        match self.rule.counts() {
            Counts::Nobody | Counts::Head => {
                if let Some(head) = self.picked.first() {
                    self.was_selected(head.slot, true);
                }
            }
            Counts::Everyone if first_ones => self.were_selected(),
            Counts::Everyone => {
                for nth in 0..self.picked.len() {
                    self.was_selected(self.picked[nth].slot, nth == 0);
                }
            }
        }
    }

    /// Returns what [`Pool::select`] could, and leaves everything as it is.
    pub fn peek(&mut self, count: usize, random: &mut Random, wanted: impl FnMut(PeId) -> bool) -> Vec<PeId> {
        let mut chosen = Vec::new();
        self.pick(count, random, wanted, &mut chosen);
        chosen
    }

    fn pick(
        &mut self,
        count: usize,
        random: &mut Random,
        mut wanted: impl FnMut(PeId) -> bool,
        chosen: &mut Vec<PeId>,
    ) -> bool {
        self.picked.clear();
        let mut first_ones = self.up.pick(count, &self.members, random, &mut wanted, &mut self.picked);
        if self.picked.is_empty() {
            first_ones = self.aside.pick(count, &self.members, random, &mut wanted, &mut self.picked);
        }
        chosen.clear();
        chosen.extend(self.picked.iter().map(|position| position.pe));
        first_ones
    }

    /// Counts a selection of each element picked, and ends the turn of the head. They are the first ones in order.
    fn were_selected(&mut self) {
        let Some(&head) = self.picked.first() else { return };
        let queue = if self.members[head.slot as usize].aside { &mut self.aside } else { &mut self.up };
        // Apart from the changes, so that the processor fetches all members at once.
        let mut moving = 0;
        for position in &mut self.picked {
            let place = self.members[position.slot as usize].place.degraded();
            if let Place::Rank { rank, .. } = place {
                moving += usize::from(rank != position.rank);
                position.rank = rank;
            }
        }
        let head_moves = self.picked[0].rank != head.rank;
        if moving == usize::from(head_moves) {
            // All the others are fully loaded.
            return self.was_selected(head.slot, true);
        }
        if self.rule.takes_turns() && (head_moves || !queue.head_is_alone()) {
            self.picked[0].turn = self.next_turn;
            self.next_turn += 1;
        }
        for position in &self.picked {
            let member = &mut self.members[position.slot as usize];
            if let Place::Rank { rank, .. } = &mut member.place {
                *rank = position.rank;
            }
            member.turn = position.turn;
        }
        queue.move_picked(&self.picked);
    }

    /// Counts a selection, and ends the turn of the head.
    fn was_selected(&mut self, slot: u32, first: bool) {
        let member = &mut self.members[slot as usize];
        let queue = if member.aside { &mut self.aside } else { &mut self.up };
        let elements = &self.elements;
        let values = || elements[slot as usize].policy();
        let place = self.rule.selected(member.place, &values);
        let ranked = matches!(place, Place::Rank { .. });
        let turn_over =
            ranked && first && self.rule.takes_turns() && !(place == member.place && queue.head_is_alone());
        if place == member.place && !turn_over {
            return;
        }
        queue.remove(slot, member);
        member.place = place;
        if turn_over {
            member.turn = self.next_turn;
            self.next_turn += 1;
        }
        queue.append(slot, member);
    }

    /// Sets an element aside, or back among those to choose from; it keeps its turn. Returns whether it is there.
    pub fn set_aside(&mut self, pe: PeId, aside: bool) -> bool {
        let Some(&slot) = self.ids.get(&pe) else { return false };
        let member = &mut self.members[slot as usize];
        if member.draining {
            member.aside = aside;
        } else if member.aside != aside {
            let (from, to) = match aside {
                true => (&mut self.up, &mut self.aside),
                false => (&mut self.aside, &mut self.up),
            };
            self.set_aside = if aside { self.set_aside + 1 } else { self.set_aside - 1 };
            from.remove(slot, member);
            member.aside = aside;
            if let Some(values) = self.elements[slot as usize].policy() {
                member.place = self.rule.rejoins(&values, member.place, to.head());
            }
            to.add(slot, member);
        }
        true
    }

    /// Adds or replaces an element; a replaced one keeps its turn, and stays aside if it is. Returns what it did,
    /// and the owner before; or `None` when the element is new and there is no room.
    pub(crate) fn insert(
        &mut self,
        element: PoolElementParameter,
        has_room: bool,
    ) -> Option<(Registered, Option<RegistrarId>)> {
        let pe = element.pe;
        match self.ids.entry(pe) {
            Entry::Occupied(entry) => {
                let slot = *entry.get();
                Some(self.replace(slot, element))
            }
            Entry::Vacant(_) if !has_room => None,
            Entry::Vacant(entry) => {
                let place = self.rule.enter(&element.policy, self.up.head());
                let draining = draining::is_marked(&element.unknown);
                let member = Member { place, turn: self.next_turn, pe, aside: false, draining };
                self.next_turn += 1;
                let stored = Stored::new(element);
                let slot = match self.vacant.pop() {
                    Some(slot) => {
                        self.members[slot as usize] = member;
                        self.elements[slot as usize] = stored;
                        slot
                    }
                    None => {
                        self.members.push(member);
                        self.elements.push(stored);
                        u32::try_from(self.members.len() - 1).unwrap_or(u32::MAX)
                    }
                };
                entry.insert(slot);
                if draining {
                    self.draining += 1;
                } else {
                    self.up.add(slot, &self.members[slot as usize]);
                }
                Some((Registered::New, None))
            }
        }
    }

    fn replace(&mut self, slot: u32, element: PoolElementParameter) -> (Registered, Option<RegistrarId>) {
        let stored = &mut self.elements[slot as usize];
        let member = &mut self.members[slot as usize];
        let queue = if member.aside { &mut self.aside } else { &mut self.up };
        let home = stored.home();
        let draining = draining::is_marked(&element.unknown);
        if draining && !member.draining {
            queue.remove(slot, member);
            self.draining += 1;
            self.set_aside -= usize::from(member.aside);
        }
        let returns = member.draining && !draining;
        self.draining -= usize::from(returns);
        self.set_aside += usize::from(returns && member.aside);
        member.draining = draining;
        let new = Stored::new(element);
        if returns {
            if let Some(values) = new.policy() {
                member.place = self.rule.enter(&values, queue.head());
            }
            queue.add(slot, member);
        } else if (self.rule.counts() == Counts::Everyone || !new.has_policy_of(stored))
            && let Some(values) = new.policy()
        {
            let place = self.rule.enter(&values, queue.head());
            if draining {
                member.place = place;
            } else if place != member.place {
                queue.remove(slot, member);
                member.place = place;
                queue.add(slot, member);
            }
        }
        let same = new == *stored;
        *stored = new;
        (if same { Registered::Unchanged } else { Registered::Changed }, home)
    }

    /// Changes the owner; returns the one before.
    pub(super) fn set_home(&mut self, pe: PeId, home: RegistrarId) -> Option<RegistrarId> {
        let stored = self.elements.get_mut(*self.ids.get(&pe)? as usize)?;
        let before = stored.home();
        stored.set_home(home);
        before
    }

    pub(crate) fn remove(&mut self, pe: PeId) -> Option<PoolElementParameter> {
        let slot = self.ids.remove(&pe)?;
        let member = &mut self.members[slot as usize];
        if member.draining {
            self.draining -= 1;
        } else {
            if member.aside { &mut self.aside } else { &mut self.up }.remove(slot, member);
            self.set_aside -= usize::from(member.aside);
        }
        self.vacant.push(slot);
        std::mem::take(&mut self.elements[slot as usize]).element(pe)
    }

    /// Checks policy, transport type and transport use against the pool's (RFC 5352 section 3.1).
    pub(crate) fn check(&self, element: &PoolElementParameter) -> Result<(), ErrorCause> {
        let Some((&pe, &slot)) = self.ids.first_key_value() else { return Ok(()) };
        let stored = &self.elements[slot as usize];
        let (kind, transport_use) = stored.transport();
        let transport = &element.user_transport;
        let agrees = element.policy.policy_type() == self.policy_type()
            && transport.kind() == kind
            && transport.transport_use() == transport_use;
        if agrees {
            return Ok(());
        }
        let Some(first) = stored.element(pe) else { return Ok(()) };
        if element.policy.policy_type() != self.policy_type() {
            return Err(ErrorCause::inconsistent_policy(&first.policy));
        }
        if transport.kind() != kind {
            return Err(ErrorCause::inconsistent_transport(&first.user_transport));
        }
        Err(ErrorCause::plain(CauseCode::INCONSISTENT_DATA_CONTROL))
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("policy", &self.policy_type())
            .field("up", &self.up)
            .field("aside", &self.aside)
            .finish()
    }
}
