//! A cursor over a message that knows its absolute offset, so that errors can tell it.

use super::WireError;

/// Reads big-endian fields from a window of a message.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    /// What has not been read yet.
    rest: &'a [u8],
    /// Where that begins in the message.
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Reader<'a> {
        Reader { rest: octets, at: 0 }
    }

    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else { return Err(self.lacks(count)) };
        self.rest = rest;
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.at += self.rest.len();
        std::mem::take(&mut self.rest)
    }

    /// Returns a window of the next `count` octets and moves behind it.
    pub(crate) fn window(&mut self, count: usize) -> Result<Reader<'a>, WireError> {
        let at = self.at;
        Ok(Reader { rest: self.take(count)?, at })
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some((&array, rest)) = self.rest.split_first_chunk() else { return Err(self.lacks(N)) };
        self.rest = rest;
        self.at += N;
        Ok(array)
    }

    fn lacks(&self, needed: usize) -> WireError {
        WireError::Truncated { offset: self.at, needed, left: self.left() }
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
