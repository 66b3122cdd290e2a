//! A sliding window over a reader: large reads, records looked at in place.

use super::CaptureError;
use std::io::{self, Read};

/// Octets of the window. A record that must be seen whole fits into it.
pub(super) const WINDOW: usize = 1 << 20;

/// Buffers a reader and knows the file offset of what it shows.
pub(super) struct Window<R> {
    reader: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// File offset of `buffer[start]`.
    offset: u64,
}

impl<R: Read> Window<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; WINDOW].into_boxed_slice(), start: 0, end: 0, offset: 0 }
    }

    /// Returns the file offset of the next octet.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the next `wanted` octets (at most [`WINDOW`]), `None` if the file ends exactly here.
    #[inline]
    pub(super) fn peek(&mut self, wanted: usize, what: &'static str) -> Result<Option<&[u8]>, CaptureError> {
        if self.end - self.start < wanted {
            self.fill(wanted)?;
            let found = self.end - self.start;
            if found == 0 {
                return Ok(None);
            }
            if found < wanted {
                return Err(CaptureError::Truncated { offset: self.offset, what, wanted, found });
            }
        }
        Ok(Some(&self.buffer[self.start..self.start + wanted]))
    }

    /// Passes over `count` octets that were peeked at and returns where they stay until the next peek.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) -> usize {
        let at = self.start;
        debug_assert!(count <= self.end - at);
        self.start += count;
        self.offset += count as u64;
        at
    }

    /// Returns octets passed over by the last [`consume`](Self::consume).
    #[inline]
    pub(super) fn octets(&self, at: usize, length: usize) -> &[u8] {
        &self.buffer[at..at + length]
    }

    /// Passes over octets of any number without keeping them; `false` if the file ends before.
    pub(super) fn skip(&mut self, mut count: usize) -> Result<bool, CaptureError> {
        loop {
            let now = count.min(self.end - self.start);
            self.consume(now);
            count -= now;
            if count == 0 {
                return Ok(true);
            }
            self.fill(1)?;
            if self.start == self.end {
                return Ok(false);
            }
        }
    }

    #[cold]
    fn fill(&mut self, wanted: usize) -> Result<(), CaptureError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < wanted {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(CaptureError::Io { offset: self.offset + self.end as u64, source });
                }
            }
        }
        Ok(())
    }
}
