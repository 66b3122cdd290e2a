//! Replays a capture file over and over, with times that go on instead of starting again.

use super::pcap_file::{Found, PcapFile};
use super::{CaptureError, Interface, Packet, PacketSource};
use std::path::PathBuf;
use std::time::Duration;

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

/// Reads a capture file several times, each round shifted behind the former.
///
/// A damaged file ends with its error in the first round. A file without packets ends at once.
pub struct Looped {
    path: PathBuf,
    options: LoopOptions,
    file: PcapFile,
    /// The rounds that were begun.
    rounds: u64,
    /// Time of the file's first packet, known once it was read.
    first: Option<u64>,
    /// Where this round's first packet stands in the replay's time.
    base: u64,
    /// The latest time given out.
    latest: u64,
    failed: bool,
}

impl Looped {
    /// Opens a capture for replay.
    pub fn open(path: impl Into<PathBuf>, options: LoopOptions) -> Result<Self, CaptureError> {
        let path = path.into();
        let file = PcapFile::open(&path)?;
        Ok(Self { path, options, file, rounds: 1, first: None, base: 0, latest: 0, failed: false })
    }

    /// Returns how many rounds were begun, the first included.
    pub const fn rounds(&self) -> u64 {
        self.rounds
    }

    fn found(&mut self) -> Result<Option<Found>, CaptureError> {
        if self.failed {
            return Ok(None);
        }
        let found = match self.file.advance() {
            Ok(None) => match self.next_round() {
                Ok(true) => self.file.advance(),
                Ok(false) => Ok(None),
                Err(error) => Err(error),
            },
            found => found,
        };
        self.failed = found.is_err();
        found
    }

    fn next_round(&mut self) -> Result<bool, CaptureError> {
        if self.first.is_none() || self.options.loops.is_some_and(|loops| self.rounds >= loops) {
            return Ok(false);
        }
        self.file = PcapFile::open(&self.path)?;
        self.rounds += 1;
        let gap = u64::try_from(self.options.gap.as_nanos()).unwrap_or(u64::MAX);
        self.base = self.latest.saturating_add(gap);
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
