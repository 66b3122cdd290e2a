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
}

/// The end-around carry of RFC 1071.
fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum >> 16) + (sum & 0xffff),
        }
    }
}
