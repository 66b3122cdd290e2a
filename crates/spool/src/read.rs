//! Reading what is on disk, in order.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::message::{self, Checked};
use crate::segment::{Segment, path};
use crate::{Medium, Position, Spool, SpoolError};

/// Octets of the longest message.
const LONGEST: usize = 65_535;
/// Octets read at once.
const WINDOW: usize = 4 * LONGEST;

/// A place in a spool, and what it has read on the way there.
#[derive(Debug, Default)]
pub struct Cursor {
    open: Option<Open>,
    /// The position of the next message.
    next: u64,
    /// Those of the open segment.
    templates: Vec<u8>,
    /// Octets that could not be read.
    damaged: u64,
}

/// A segment that is read.
#[derive(Debug)]
struct Open {
    file: File,
    number: u64,
    /// What of the file was read and not used, from `at` on.
    buffer: Vec<u8>,
    at: usize,
    /// Where the buffer ends in the file.
    offset: u64,
}

/// A message in the buffer.
#[derive(Clone, Debug)]
struct Located {
    sets: Range<usize>,
    is_head: bool,
    flow_records: u32,
    export_time: u32,
}

/// A message that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Read<'a> {
    /// Where it is.
    pub position: Position,
    /// When it was made, in seconds since the Unix epoch.
    pub export_time: u32,
    /// Its sets, as appended.
    pub sets: &'a [u8],
    /// Flow records in them.
    pub flow_records: u32,
    /// The templates that its segment begins with: those of the process that appended it. Empty where none could be read.
    pub templates: &'a [u8],
}

impl Cursor {
    /// Returns a cursor at `position`; at the next message that there is, if that one has left.
    pub fn at(position: Position) -> Self {
        Self { next: position.0, ..Self::default() }
    }

    /// Returns the position of the next message.
    pub const fn position(&self) -> Position {
        Position(self.next)
    }

    /// Returns how many octets could not be read on the way.
    pub const fn damaged_octets(&self) -> u64 {
        self.damaged
    }
}

impl Open {
    /// Reads until `octets` are in the buffer, or the segment ends at `end`.
    fn fill(&mut self, octets: usize, end: u64) -> io::Result<()> {
        let left = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        if self.buffer.len() - self.at >= octets || left == 0 {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let kept = self.buffer.len();
        self.buffer.resize(kept + left.min(octets.max(WINDOW)), 0);
        if let Err(error) = self.file.read_exact_at(&mut self.buffer[kept..], self.offset) {
            self.buffer.truncate(kept);
            return Err(error);
        }
        self.offset += (self.buffer.len() - kept) as u64;
        Ok(())
    }

    /// Finds the next message; also returns how many octets before it could not be read.
    fn step(&mut self, end: u64) -> io::Result<(u64, Option<Located>)> {
        self.fill(LONGEST, end)?;
        if let Some(located) =
            message::check(&self.buffer[self.at..]).map(|message| locate(&message, self.at))
        {
            self.at = located.sets.end + message::CHECK;
            return Ok((0, Some(located)));
        }
        // Damaged: the next one may be anywhere in the rest.
        self.fill(usize::MAX / 2, end)?;
        let found = message::find(&self.buffer[self.at..]);
        let located = found.map(|(skipped, message)| (skipped, locate(&message, self.at + skipped)));
        let skipped = located.as_ref().map_or(self.buffer.len() - self.at, |(skipped, _)| *skipped);
        self.at =
            located.as_ref().map_or(self.buffer.len(), |(_, message)| message.sets.end + message::CHECK);
        Ok((skipped as u64, located.map(|(_, message)| message)))
    }
}

fn locate(message: &Checked<'_>, at: usize) -> Located {
    let sets = message.sets();
    Located {
        sets: at + sets.start..at + sets.end,
        is_head: message.is_head(),
        flow_records: message.flow_records,
        export_time: message.export_time(),
    }
}

impl<M: Medium> Spool<M> {
    /// Reads the next synced message and moves the cursor behind it; none at the end. Messages of segments that have
    /// left, and damaged ones, are passed over.
    ///
    /// Fails when a file cannot be read; the cursor stays.
    pub fn read<'a>(&self, cursor: &'a mut Cursor) -> Result<Option<Read<'a>>, SpoolError> {
        let found = loop {
            let Some(segment) = self.segment_of(cursor) else { return Ok(None) };
            let path = path(&self.config.folder, segment.number);
            match advance(cursor, segment, &path) {
                Ok(Some(message)) => break message,
                Ok(None) => {
                    cursor.next = segment.end();
                    cursor.open = None;
                }
                Err(error) => return Err(SpoolError::Io { path, error }),
            }
        };
        let position = Position(cursor.next);
        cursor.next += 1;
        let octets = cursor.open.as_ref().map_or(&[][..], |open| &open.buffer);
        Ok(Some(Read {
            position,
            export_time: found.export_time,
            sets: &octets[found.sets],
            flow_records: found.flow_records,
            templates: &cursor.templates,
        }))
    }

    /// The segment of the cursor's next message.
    fn segment_of(&self, cursor: &mut Cursor) -> Option<Segment> {
        let at = self.segments.partition_point(|segment| segment.end() <= cursor.next);
        let segment = *self.segments.get(at)?;
        cursor.next = cursor.next.max(segment.first);
        Some(segment)
    }
}

/// Finds the message of the cursor's position in its segment; none if it and those behind it are damaged.
fn advance(cursor: &mut Cursor, segment: Segment, path: &Path) -> io::Result<Option<Located>> {
    let mut passed_over = 0;
    if cursor.open.as_ref().is_none_or(|open| open.number != segment.number) {
        let file = File::open(path)?;
        cursor.open = Some(Open { file, number: segment.number, buffer: Vec::new(), at: 0, offset: 0 });
        cursor.templates.clear();
        passed_over = cursor.next - segment.first;
    }
    let Some(open) = cursor.open.as_mut() else { return Ok(None) };
    loop {
        let (skipped, found) = open.step(segment.octets)?;
        cursor.damaged += skipped;
        match found {
            Some(head) if head.is_head => {
                cursor.templates.clear();
                cursor.templates.extend(&open.buffer[head.sets]);
            }
            Some(_) if passed_over > 0 => passed_over -= 1,
            found => return Ok(found),
        }
    }
}
