//! The elements a pool chooses from: those with a rank in order, those with a share to be drawn.

use super::order::{Order, Position};
use super::pool::Member;
use super::shares::Shares;
use crate::PeId;
use crate::policy::Place;
use crate::random::Random;

/// Elements by their slots in the pool.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The first is the head.
    order: Order,
    shares: Shares,
}

impl Queue {
    pub(super) fn add(&mut self, slot: u32, member: &Member) {
        match member.place {
            Place::Out => {}
            Place::Rank { rank, .. } => {
                self.order.insert(Position { rank, turn: member.turn, slot, pe: member.pe });
            }
            Place::Share { share, .. } => self.shares.add(slot, share),
        }
    }

    /// Adds an element again that was chosen.
    pub(super) fn append(&mut self, slot: u32, member: &Member) {
        match member.place {
            Place::Rank { rank, .. } => {
                self.order.append(Position { rank, turn: member.turn, slot, pe: member.pe }, None);
            }
            Place::Out | Place::Share { .. } => self.add(slot, member),
        }
    }

    pub(super) fn remove(&mut self, slot: u32, member: &Member) {
        match member.place {
            Place::Out => {}
            Place::Rank { rank, .. } => {
                self.order.remove(&Position { rank, turn: member.turn, slot, pe: member.pe });
            }
            Place::Share { share, .. } => self.shares.remove(slot, share),
        }
    }

    /// The lowest rank.
    pub(super) fn head(&self) -> Option<u64> {
        self.order.first().map(|head| head.rank)
    }

    /// Whether the head's rank is its own, so that there is nobody to take turns with.
    pub(super) fn head_is_alone(&self) -> bool {
        self.order.head_is_alone()
    }

    /// Appends up to `count` elements that are wanted: drawn ones, or else the first in order. Returns whether these
    /// were found by walking and are the very first. Where those drawn are tells nothing.
    pub(super) fn pick(
        &mut self,
        count: usize,
        members: &[Member],
        random: &mut Random,
        wanted: &mut impl FnMut(PeId) -> bool,
        picked: &mut Vec<Position>,
    ) -> bool {
        if !self.shares.is_empty() {
            self.draw(count, members, random, wanted, picked);
        }
        if !picked.is_empty() {
            return false;
        }
        if let (1, Some(head)) = (count, self.order.first())
            && wanted(head.pe)
        {
            picked.push(*head);
            return false;
        }
        if count == 0 {
            return false;
        }
        self.order.pick(count, wanted, picked)
    }

    /// Moves the elements that were just picked and are the very first ones, all of them at once.
    pub(super) fn move_picked(&mut self, to: &[Position]) {
        self.order.move_picked(to);
    }

    /// Draws without replacement: who was drawn has no share until all are.
    fn draw(
        &mut self,
        count: usize,
        members: &[Member],
        random: &mut Random,
        wanted: &mut impl FnMut(PeId) -> bool,
        picked: &mut Vec<Position>,
    ) {
        let mut set_back = Vec::new();
        while let Some(slot) = self.shares.draw(random) {
            let member = &members[slot as usize];
            if wanted(member.pe) {
                picked.push(Position { rank: 0, turn: member.turn, slot, pe: member.pe });
            }
            if picked.len() >= count {
                break;
            }
            self.remove(slot, member);
            set_back.push(slot);
        }
        for slot in set_back {
            self.add(slot, &members[slot as usize]);
        }
    }
}
