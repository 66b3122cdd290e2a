//! The fuzzer's octets as decisions.

/// Read to the end and not beyond; behind it everything is 0.
pub(crate) struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `limit`, at most 256.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.octet()) % limit.max(1)
    }

    pub(crate) fn chance(&mut self) -> bool {
        self.octet() & 1 == 1
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.octet(), self.octet()])
    }

    pub(crate) fn some(&mut self, octets: usize) -> &'a [u8] {
        let (some, rest) = self.0.split_at(octets.min(self.0.len()));
        self.0 = rest;
        some
    }
}
