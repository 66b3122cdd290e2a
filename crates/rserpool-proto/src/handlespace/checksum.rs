//! The PE checksum, kept as elements come and go (RFC 5353 section 3.6.2).
//!
//! Each element is a block: the pool handle, padded with zero octets to 32 bits, and the PE identifier. The
//! checksum is the Internet checksum (RFC 1071) over the blocks of all elements a registrar owns. The sums
//! here are exact; carries are folded in when the checksum is asked for, so adding and removing in any order
//! ends at what a recomputation gives.

use crate::{PeId, PoolHandle};

/// The words of one element's block, added up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Block {
    words16: u64,
    words32: u64,
}

impl Block {
    pub(super) fn of(handle: &PoolHandle, pe: PeId) -> Block {
        Block::of_handle(handle).with(pe)
    }

    /// The part of the block that all elements of a pool share.
    pub(super) fn of_handle(handle: &PoolHandle) -> Block {
        let (mut words16, mut words32) = (0, 0);
        for chunk in handle.as_octets().chunks(4) {
            let mut padded = [0; 4];
            padded[..chunk.len()].copy_from_slice(chunk);
            let word = u64::from(u32::from_be_bytes(padded));
            words16 += (word >> 16) + (word & 0xffff);
            words32 += word;
        }
        Block { words16, words32 }
    }

    pub(super) fn with(self, pe: PeId) -> Block {
        let word = u64::from(pe.0);
        Block { words16: self.words16 + (word >> 16) + (word & 0xffff), words32: self.words32 + word }
    }
}

/// The blocks of what one registrar owns, added up: exact for 2^32 words, more than any table has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Sum {
    words16: u64,
    words32: u64,
    elements: usize,
}

impl Sum {
    pub(super) fn add(&mut self, block: Block) {
        self.words16 += block.words16;
        self.words32 += block.words32;
        self.elements += 1;
    }

    pub(super) fn remove(&mut self, block: Block) {
        self.words16 -= block.words16;
        self.words32 -= block.words32;
        self.elements -= 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.elements == 0
    }

    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// The checksum of the RFC.
    pub(super) fn checksum16(&self) -> u16 {
        !fold(self.words16)
    }

    /// The same over 32-bit words, which far fewer different tables have in common.
    pub(super) fn checksum32(&self) -> u32 {
        !fold32(self.words32)
    }
}

/// The end-around carry of RFC 1071, of 16-bit words.
fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum >> 16) + (sum & 0xffff),
        }
    }
}

/// The same of 32-bit words.
fn fold32(mut sum: u64) -> u32 {
    loop {
        match u32::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum >> 32) + (sum & 0xffff_ffff),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 word by word, with the carry added at once, as the RFC describes it.
    fn recomputed(elements: &[(PoolHandle, PeId)]) -> (u16, u32) {
        let (mut sum16, mut sum32) = (0_u16, 0_u32);
        for (handle, pe) in elements {
            let mut block = handle.as_octets().to_vec();
            block.resize(block.len().next_multiple_of(4), 0);
            block.extend(pe.0.to_be_bytes());
            for word in block.chunks(2) {
                let (sum, carry) = sum16.overflowing_add(u16::from_be_bytes([word[0], word[1]]));
                sum16 = sum + u16::from(carry);
            }
            for word in block.chunks(4) {
                let (sum, carry) = sum32.overflowing_add(u32::from_be_bytes(word.try_into().unwrap()));
                sum32 = sum + u32::from(carry);
            }
        }
        (!sum16, !sum32)
    }

    fn element() -> impl Strategy<Value = (PoolHandle, PeId)> {
        let handle = proptest::collection::vec(any::<u8>(), 1..40);
        let ids = prop_oneof![any::<u32>(), Just(u32::MAX), Just(0)];
        (handle, ids).prop_map(|(octets, pe)| (PoolHandle::new(octets).unwrap(), PeId(pe)))
    }

    proptest! {
        #[test]
        fn sums_kept_in_any_order_equal_a_recomputation(
            kept in proptest::collection::vec(element(), 0..100),
            gone in proptest::collection::vec(element(), 0..100),
        ) {
            let mut sum = Sum::default();
            for (handle, pe) in gone.iter().chain(&kept) {
                sum.add(Block::of(handle, *pe));
            }
            for (handle, pe) in gone.iter().rev() {
                sum.remove(Block::of(handle, *pe));
            }
            prop_assert_eq!((sum.checksum16(), sum.checksum32()), recomputed(&kept));
        }
    }

    #[test]
    fn sums_beyond_32_bits_keep_their_carries() {
        // At 16,764 elements with a handle of 16 octets the reference implementation begins to differ.
        let handle = PoolHandle::new([0xff; 16]).unwrap();
        let elements: Vec<_> = (1..=20_000).map(|pe| (handle.clone(), PeId(u32::MAX - pe))).collect();
        let mut sum = Sum::default();
        elements.iter().for_each(|(handle, pe)| sum.add(Block::of(handle, *pe)));
        assert_eq!((sum.checksum16(), sum.checksum32()), recomputed(&elements));
        assert_eq!(sum.elements(), 20_000);
    }
}
