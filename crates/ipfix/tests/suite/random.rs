//! Random numbers of a seed, and messages changed by them.

/// xorshift64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    pub(crate) fn octet(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    /// Changes some octets, cuts or extends the end, and mostly makes the length field right again, so that
    /// what lies deeper is reached.
    pub(crate) fn mutate(&mut self, octets: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let (at, value) = (self.below(octets.len()), self.octet());
            match self.below(8) {
                0 => octets.truncate(at.max(1)),
                1 => octets.insert(at, value),
                2 => octets.extend([0, value, 255, 255]),
                3 => octets[at] = [0, 1, 2, 3, 254, 255][self.below(6)],
                // Next to what was there: lengths that are off by one.
                4 | 5 => octets[at] = octets[at].wrapping_add(1),
                _ => octets[at] = value,
            }
        }
        if octets.len() >= 4 && self.below(8) > 0 {
            let length = u16::try_from(octets.len()).unwrap();
            octets[..4].copy_from_slice(&[[0, 10], length.to_be_bytes()].concat());
        }
    }
}
