//! Hashing of what is looked up with every message: handles, identifiers, names of timers.
//!
//! Peers choose these values, so that all hashes depend on a secret of this process: nobody can choose many that
//! collide. Nothing that a machine does depends on the order in a hash table; runs repeat although the secret differs.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

/// A hash table by short keys.
pub type Table<K, V> = HashMap<K, V, Keyed>;

/// The same without values.
pub type Set<K> = HashSet<K, Keyed>;

/// Two secret numbers, one of them odd.
static SECRET: LazyLock<[u64; 2]> = LazyLock::new(|| {
    let random = RandomState::new();
    [random.hash_one(0), random.hash_one(1) | 1]
});

/// Returns the hash of a handle's octets.
pub(crate) fn of_octets(octets: &[u8]) -> u64 {
    let mut hasher = Keyed::default().build_hasher();
    // Zeroes at the end count, too.
    hasher.write_usize(octets.len());
    hasher.write(octets);
    hasher.finish()
}

/// Makes hashers that take one multiplication for a number, or eight octets.
#[derive(Clone, Copy, Debug)]
pub struct Keyed([u64; 2]);

impl Default for Keyed {
    fn default() -> Keyed {
        Keyed(*SECRET)
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folding;

    #[inline]
    fn build_hasher(&self) -> Folding {
        Folding { state: self.0[0], multiplier: self.0[1] }
    }
}

/// Multiplies by a secret and folds the 128 bits of the product.
#[derive(Clone, Debug)]
pub struct Folding {
    state: u64,
    multiplier: u64,
}

impl Hasher for Folding {
    fn write(&mut self, octets: &[u8]) {
        let (numbers, rest) = octets.as_chunks();
        for &number in numbers {
            self.write_u64(u64::from_le_bytes(number));
        }
        if !rest.is_empty() {
            let mut number = [0; 8];
            number[..rest.len()].copy_from_slice(rest);
            self.write_u64(u64::from_le_bytes(number));
        }
    }

    /// What ends a text.
    #[inline]
    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the product")]
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.state ^ number) * u128::from(self.multiplier);
        self.state = (product as u64) ^ ((product >> 64) as u64);
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    /// Of an enumeration: which of its variants it is.
    #[inline]
    #[expect(clippy::cast_sign_loss, reason = "only its bits matter")]
    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{PeId, PoolHandle};

    #[test]
    fn elements_of_many_pools_spread_over_a_table() {
        let state = Keyed::default();
        let pools: Vec<PoolHandle> =
            (0..64).map(|pool| PoolHandle::new(format!("pool-{pool}")).unwrap()).collect();
        let mut low = vec![0; 1_024];
        let mut all = BTreeSet::new();
        for pool in &pools {
            // As close together as identifiers can be, and as far apart.
            for pe in (0..512).flat_map(|pe| [PeId(pe), PeId(pe << 20 | 0xfffff)]) {
                let hash = state.hash_one((pool, pe));
                low[usize::try_from(hash & 1_023).unwrap()] += 1;
                all.insert(hash);
            }
        }
        assert_eq!(all.len(), 64 * 1_024);
        // 64 each on average, with a deviation of 8.
        assert!(low.iter().all(|&count| (16..=128).contains(&count)), "{low:?}");
    }

    #[test]
    fn equal_handles_have_equal_hashes_however_they_came() {
        let one = PoolHandle::new("collectors").unwrap();
        let other = PoolHandle::new(b"collectors").unwrap();
        assert_eq!(one, other);
        let state = Keyed::default();
        assert_eq!(state.hash_one(&one), state.hash_one(&other));
        assert_ne!(one, PoolHandle::new("collector").unwrap());
        let hashes: BTreeSet<u64> = (1..64).map(|length| of_octets(&[0; 64][..length])).collect();
        assert_eq!(hashes.len(), 63, "handles of zeroes of different lengths");
    }
}
