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
        let mut ranks = self.order.iter().map(|position| position.rank);
        let head = ranks.next();
        head.is_some() && ranks.next() != head
    }

    /// Appends up to `count` elements that are wanted: drawn ones, or else the first in order.
    pub(super) fn pick(
        &mut self,
        count: usize,
        members: &[Member],
        random: &mut Random,
        wanted: &mut impl FnMut(PeId) -> bool,
        picked: &mut Vec<u32>,
    ) {
        if !self.shares.is_empty() {
            self.draw(count, members, random, wanted, picked);
        }
        if !picked.is_empty() {
            return;
        }
        if let (1, Some(head)) = (count, self.order.first())
            && wanted(head.pe)
        {
            picked.push(head.slot);
        } else {
            let wanted = self.order.iter().filter(|position| wanted(position.pe));
            picked.extend(wanted.take(count).map(|position| position.slot));
        }
    }

    /// Draws without replacement: who was drawn has no share until all are.
    fn draw(
        &mut self,
        count: usize,
        members: &[Member],
        random: &mut Random,
        wanted: &mut impl FnMut(PeId) -> bool,
        picked: &mut Vec<u32>,
    ) {
        let mut set_back = Vec::new();
        while let Some(slot) = self.shares.draw(random) {
            let member = &members[slot as usize];
            if wanted(member.pe) {
                picked.push(slot);
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
