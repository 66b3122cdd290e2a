//! Elements drawn by chance, each with its share: a Fenwick tree over the slots of a pool, so that drawing and
//! changing a share take logarithmic time.

use crate::random::Random;

/// The shares by slot; slots without share are never drawn.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Node `i` (from 1) has the sum of the shares of the `i & -i` slots that end with slot `i - 1`.
    tree: Vec<u64>,
    total: u64,
}

impl Shares {
    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Gives a slot without share this one.
    pub(super) fn add(&mut self, slot: u32, share: u32) {
        while self.tree.len() <= slot as usize {
            self.grow();
        }
        self.total += u64::from(share);
        self.walk(slot, |node| *node += u64::from(share));
    }

    /// Takes a slot's whole share away.
    pub(super) fn remove(&mut self, slot: u32, share: u32) {
        self.total -= u64::from(share);
        self.walk(slot, |node| *node -= u64::from(share));
    }

    fn walk(&mut self, slot: u32, mut change: impl FnMut(&mut u64)) {
        let mut node = slot as usize + 1;
        while let Some(sum) = self.tree.get_mut(node - 1) {
            change(sum);
            node += node & node.wrapping_neg();
        }
    }

    /// Appends a node for a slot without share.
    fn grow(&mut self) {
        let node = self.tree.len() + 1;
        let mut below = 1;
        let mut sum = 0;
        while below < node & node.wrapping_neg() {
            sum += self.tree[node - below - 1];
            below <<= 1;
        }
        self.tree.push(sum);
    }

    /// Returns a slot, each with the probability of its share; `None` when there are no shares.
    pub(super) fn draw(&self, random: &mut Random) -> Option<u32> {
        if self.total == 0 {
            return None;
        }
        // 64 random bits scaled to the total: no slot is preferred by more than the total in 2^64.
        let scaled = (u128::from(random.next_u64()) * u128::from(self.total)) >> 64;
        let mut left = u64::try_from(scaled).unwrap_or(u64::MAX);
        let mut slots = 0;
        let mut step = (self.tree.len() + 1).next_power_of_two() >> 1;
        while step > 0 {
            if let Some(&sum) = self.tree.get(slots + step - 1)
                && sum <= left
            {
                left -= sum;
                slots += step;
            }
            step >>= 1;
        }
        u32::try_from(slots).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slots_with_a_share_are_drawn_and_in_proportion() {
        let mut shares = Shares::default();
        for (slot, share) in [(2, 1), (5, 3), (0, 9), (9, 4)] {
            shares.add(slot, share);
        }
        shares.remove(0, 9);
        let mut random = Random::new(1);
        let mut drawn = [0; 10];
        for _ in 0..8_000 {
            drawn[shares.draw(&mut random).unwrap() as usize] += 1;
        }
        assert_eq!(drawn.iter().filter(|&&count| count > 0).count(), 3);
        for (slot, expected) in [(2, 1_000), (5, 3_000), (9, 4_000)] {
            assert!((expected - 200..expected + 200).contains(&drawn[slot]), "{drawn:?}");
        }
    }

    #[test]
    fn without_shares_nothing_is_drawn() {
        let mut shares = Shares::default();
        assert_eq!(shares.draw(&mut Random::new(1)), None);
        shares.add(3, u32::MAX);
        assert_eq!(shares.draw(&mut Random::new(1)), Some(3));
        shares.remove(3, u32::MAX);
        assert_eq!(shares.draw(&mut Random::new(1)), None);
        assert!(shares.is_empty());
    }
}
