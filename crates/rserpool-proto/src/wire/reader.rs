//! A cursor over a message that knows its absolute offset, so that errors can tell it.

use super::WireError;

/// Reads big-endian fields from a window of a message.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Reader<'a> {
        Reader { octets, at: 0, end: octets.len() }
    }

    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.end - self.at
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        if count > self.left() {
            return Err(WireError::Truncated { offset: self.at, needed: count, left: self.left() });
        }
        let taken = &self.octets[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.octets[self.at..self.end];
        self.at = self.end;
        rest
    }

    /// Returns a window of the next `count` octets and moves behind it.
    pub(crate) fn window(&mut self, count: usize) -> Result<Reader<'a>, WireError> {
        let at = self.at;
        self.take(count)?;
        Ok(Reader { octets: self.octets, at, end: self.at })
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }
}
