//! Replays capture files one after the other and over and over, with times that go on instead of starting again.

use super::captures::{Captures, Counted};
use super::pcap_file::{Found, PcapFile};
use super::{CaptureError, Interface, Packet, PacketSource};
use std::path::PathBuf;
use std::time::Duration;

use tracing::warn;

/// How a capture is replayed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LoopOptions {
    /// How often the file is read; `None` is for ever.
    pub loops: Option<u64>,
    /// The time between the last packet of one round and the first of the next.
    pub gap: Duration,
    /// The time given to the very first packet, in nanoseconds since the Unix epoch; `None` keeps the capture's.
    pub start: Option<u64>,
}

impl Default for LoopOptions {
    /// Once, with the times of the capture; a gap of 1 ms if the number of loops is raised.
    fn default() -> Self {
        Self { loops: Some(1), gap: Duration::from_millis(1), start: None }
    }
}

/// Reads capture files one after the other, and all of them several times, each round shifted behind the former.
///
/// A file that ends within a packet (its writer was stopped) is read up to there; that is counted, and the next one follows. Any
/// other damage ends the source with its error. Files without packets end at once.
pub struct Looped {
    captures: Captures,
    options: LoopOptions,
    file: PcapFile<Counted>,
    /// The file to open next.
    next: usize,
    /// The rounds that were begun.
    rounds: u64,
    /// Time of the first file's first packet, known once it was read.
    first: Option<u64>,
    /// Where this round's first packet stands in the replay's time.
    base: u64,
    /// The latest time given out.
    latest: u64,
    failed: bool,
    truncated: u64,
}

impl Looped {
    /// Opens one capture for replay.
    pub fn open(path: impl Into<PathBuf>, options: LoopOptions) -> Result<Self, CaptureError> {
        Self::all(Captures::one(path), options)
    }

    /// Opens captures for replay.
    pub fn all(captures: Captures, options: LoopOptions) -> Result<Self, CaptureError> {
        let file = captures.open(0)?;
        let (first, base, latest) = (None, 0, 0);
        let (failed, truncated) = (false, 0);
        Ok(Self { captures, options, file, next: 1, rounds: 1, first, base, latest, failed, truncated })
    }

    /// Returns how many rounds were begun, the first included.
    pub const fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Returns how many times a file ended within a packet.
    pub const fn truncated(&self) -> u64 {
        self.truncated
    }

    #[inline]
    fn found(&mut self) -> Result<Option<Found>, CaptureError> {
        if self.failed {
            return Ok(None);
        }
        match self.file.advance() {
            Ok(Some(found)) => Ok(Some(found)),
            end => self.next_file(end),
        }
    }

    /// Goes on behind the end of a file.
    #[cold]
    fn next_file(
        &mut self,
        mut end: Result<Option<Found>, CaptureError>,
    ) -> Result<Option<Found>, CaptureError> {
        loop {
            match end {
                Err(error @ CaptureError::Truncated { .. }) => {
                    self.truncated += 1;
                    warn!(%error, capture = %self.captures.name(self.next - 1), "truncated, read up to there");
                }
                Ok(None) => {}
                other => {
                    self.failed = other.is_err();
                    return other;
                }
            }
            end = match self.open_next() {
                Ok(true) => self.file.advance(),
                Ok(false) => return Ok(None),
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            };
        }
    }

    fn open_next(&mut self) -> Result<bool, CaptureError> {
        if self.next == self.captures.len() {
            if self.first.is_none() || self.options.loops.is_some_and(|loops| self.rounds >= loops) {
                return Ok(false);
            }
            self.next = 0;
            self.rounds += 1;
            let gap = u64::try_from(self.options.gap.as_nanos()).unwrap_or(u64::MAX);
            self.base = self.latest.saturating_add(gap);
        }
        self.file = self.captures.open(self.next)?;
        self.next += 1;
        Ok(true)
    }

    fn shifted(&mut self, timestamp: u64) -> u64 {
        let first = *self.first.get_or_insert_with(|| {
            self.base = self.options.start.unwrap_or(timestamp);
            timestamp
        });
        // A packet may be older than the first one of its file.
        let since = timestamp.wrapping_sub(first).cast_signed();
        let shifted = self.base.saturating_add_signed(since);
        self.latest = self.latest.max(shifted);
        shifted
    }
}

impl PacketSource for Looped {
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        let Some(found) = self.found()? else { return Ok(None) };
        let timestamp = self.shifted(found.timestamp);
        Ok(Some(Packet { timestamp, ..self.file.packet(found) }))
    }

    #[inline]
    fn take_interfaces(&mut self) -> Vec<Interface> {
        self.file.described()
    }
}

#[cfg(test)]
mod tests;
