//! Octets on their way into a file, at addresses that whole blocks can be written from past the page cache.

/// What addresses, positions and lengths of such writes must be multiples of: as much as common file systems ask for at most.
pub(super) const BLOCK: usize = 4096;

/// What follows a position of a file. An octet's address and its position in the file are the same modulo [`BLOCK`].
#[derive(Debug)]
pub(super) struct Buffer {
    room: Vec<u8>,
    /// Octets at the start of `room` that only shift the others.
    lead: usize,
}

impl Buffer {
    pub(super) fn with_capacity(octets: usize) -> Self {
        Self { room: Vec::with_capacity(octets + BLOCK), lead: 0 }
    }

    /// Forgets everything: what comes is for this position of the file.
    #[expect(clippy::cast_possible_truncation, reason = "of two numbers only the lowest bits count")]
    pub(super) fn start_at(&mut self, position: u64) {
        let address = self.room.as_ptr().addr();
        self.lead = (position as usize).wrapping_sub(address) % BLOCK;
        self.room.clear();
        self.room.resize(self.lead, 0);
    }

    /// Where to append. Appending far beyond the capacity may move everything to other addresses, until the next start.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.room
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.room[self.lead..]
    }

    pub(super) fn len(&self) -> usize {
        self.room.len() - self.lead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_the_file_are_blocks_of_memory() {
        let mut buffer = Buffer::with_capacity(3 * BLOCK);
        for position in [0, 1, 4095, 4096, 1_000_000_007] {
            buffer.start_at(position);
            assert!(buffer.octets().is_empty());
            buffer.end().extend([7; 2 * BLOCK]);
            assert_eq!(buffer.octets(), [7; 2 * BLOCK]);
            let to_block = usize::try_from(position.next_multiple_of(BLOCK as u64) - position).unwrap();
            assert_eq!(buffer.octets()[to_block..].as_ptr().addr() % BLOCK, 0, "at {position}");
        }
    }
}
