//! A bounded queue of IPFIX messages on disk that survives the end of its process at any moment.
//!
//! The folder holds segments, `0000000000000001.ipfix` and so on, oldest first. Each is an IPFIX file (RFC 5655), which
//! ordinary tools read: it begins with the templates of what is in it, and each message ends with an options record
//! that holds its CRC32C ([`message`]). What is appended waits in memory until [`Spool::sync`] has it on disk; it can be
//! read from then on. Whole segments leave, when all of their messages were released ([`Spool::release`]) or are given up
//! ([`Spool::drop_oldest`]).
//!
//! After a crash [`Spool::open`] finds every message that was synced. A damaged octet costs the message that it lies in;
//! the others of its segment are found by looking for the next one with a right checksum.
//!
//! Why not a crate there is: what counts as kept must be synced when the caller says so; a flipped octet must cost one message, not a
//! file; the oldest must make room, counted to the record; and operators should read the files with the tools they have.
//! `yaque` writes its state when the queue is dropped and comes with a file watcher; `segment-buffer` holds
//! serde values compressed by zstd, a C library, a checksum of which covers a whole batch at best.
//!
//! Blocking, and meant for a thread of its own. After an error nothing is lost that memory holds: the next sync writes
//! it to a new segment, since what a failed one has left on disk is not known.

mod error;
mod medium;
pub mod message;
mod read;
mod segment;

use std::collections::VecDeque;
use std::path::PathBuf;

pub use error::SpoolError;
pub use medium::{Disk, Medium, Writing};
pub use message::{MAX_SETS, New};
pub use read::{Cursor, Read};

use segment::{Active, Segment};

/// Octets of the written segment from which on it is left when it is not needed: what is found again after a crash although
/// it was released, and how often a file is made where messages are released as fast as they come.
const WORTH_A_FILE: u64 = 256 << 10;

/// Where a spool lies, and how much of the disk it takes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its folder; made if it is missing. Nothing else may be kept there.
    pub folder: PathBuf,
    /// Octets at most, what waits for a sync included. A segment's beginning comes on top.
    pub capacity: u64,
    /// Octets after which a segment is ended.
    pub segment: u64,
    /// Observation Domain ID of the messages (RFC 7011 section 3.1).
    pub domain: u32,
    /// Template and options template sets for what will be appended; each segment begins with them. At most
    /// [`MAX_SETS`] octets.
    pub templates: Vec<u8>,
}

/// Counts messages from the first that was found by [`Spool::open`] on, in the order in which they were appended.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position(pub u64);

/// What an earlier process has left.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// Messages in order.
    pub messages: u64,
    /// Flow records in them.
    pub flow_records: u64,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// A part of a segment without a readable message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// The segment's file.
    pub file: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// How many octets.
    pub octets: u64,
    /// It is the end of the file: a write that the end of the process has cut short, and that was not synced.
    pub torn: bool,
}

/// A segment that was given up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Dropped {
    /// The position behind its last message.
    pub end: Position,
    /// Flow records in it, whether released or not.
    pub flow_records: u64,
    /// Octets it took.
    pub octets: u64,
}

/// The queue.
#[derive(Debug)]
pub struct Spool<M: Medium = Disk> {
    config: Config,
    medium: M,
    /// Oldest first; the last one is the one written to, if there is an active one.
    segments: VecDeque<Segment>,
    active: Option<Active<M::File>>,
    next_number: u64,
    /// Messages that are not synced yet.
    pending: Vec<u8>,
    pending_messages: u64,
    pending_flow_records: u64,
    /// Sequence number of the next message.
    sequence: u32,
    /// When the newest pending message was made, in seconds since the Unix epoch.
    export_time: u32,
    /// Position behind the last synced message.
    synced: u64,
}

impl Spool {
    /// Opens the spool and reads what an earlier process has left; what comes later goes to new segments.
    ///
    /// Fails when the folder or a file in it cannot be read or made, or the templates are too long. Damage is no failure.
    pub fn open(config: Config) -> Result<(Self, Found), SpoolError> {
        Self::open_on(Disk, config)
    }
}

impl<M: Medium> Spool<M> {
    /// [`Spool::open`] on another medium, to make writing fail.
    pub fn open_on(medium: M, config: Config) -> Result<(Self, Found), SpoolError> {
        if config.templates.len() > MAX_SETS {
            return Err(SpoolError::TooLong { octets: config.templates.len() });
        }
        let recovered = segment::recover(&config.folder)?;
        let spool = Self {
            config,
            medium,
            next_number: recovered.next_number,
            synced: recovered.found.messages,
            segments: recovered.segments,
            active: None,
            pending: Vec::new(),
            pending_messages: 0,
            pending_flow_records: 0,
            sequence: 0,
            export_time: 0,
        };
        Ok((spool, recovered.found))
    }

    /// Takes a message; returns its position. It is not on disk before [`Spool::sync`] has returned.
    ///
    /// Fails when the spool is full, or the message would be longer than IPFIX allows.
    pub fn append(&mut self, new: New<'_>) -> Result<Position, SpoolError> {
        let octets = new.octets().ok_or(SpoolError::TooLong { octets: new.sets.len() })?;
        let held = self.octets();
        if held + octets as u64 > self.config.capacity {
            return Err(SpoolError::Full { held, capacity: self.config.capacity });
        }
        message::append(self.config.domain, self.sequence, &new, &mut self.pending);
        self.sequence = self.sequence.wrapping_add(new.data_records());
        self.export_time = new.export_time;
        let position = self.end();
        self.pending_messages += 1;
        self.pending_flow_records += u64::from(new.flow_records);
        Ok(position)
    }

    /// Says which templates messages from here on may have: those before, and more. They go to a new segment, which begins with
    /// all of them.
    ///
    /// Fails when they are too long; nothing has changed then.
    pub fn set_templates(&mut self, templates: Vec<u8>) -> Result<(), SpoolError> {
        if templates.len() > MAX_SETS {
            return Err(SpoolError::TooLong { octets: templates.len() });
        }
        if templates != self.config.templates {
            self.config.templates = templates;
            self.active = None;
        }
        Ok(())
    }

    /// Brings what was appended to the disk.
    ///
    /// After a failure it still waits, and the next call tries again, in a new segment.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let is_full = |active: &Active<M::File>| active.octets >= self.config.segment;
        if self.active.as_ref().is_none_or(is_full) {
            self.begin_segment()?;
        }
        let Some(active) = self.active.as_mut() else { return Ok(()) };
        if let Err(error) = active.write(&self.pending) {
            let path = active.path.clone();
            self.active = None;
            return Err(SpoolError::Io { path, error });
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.octets = active.octets;
            segment.messages += self.pending_messages;
            segment.flow_records += self.pending_flow_records;
        }
        self.synced += self.pending_messages;
        self.forget_pending();
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<(), SpoolError> {
        // The one before is closed: without messages it would stay for ever.
        self.active = None;
        self.remove_empty();
        let number = self.next_number;
        self.next_number += 1;
        let head = message::head(self.config.domain, self.export_time, &self.config.templates);
        let active = Active::begin(&self.medium, &self.config.folder, number, &head)?;
        self.segments.push_back(Segment::new(number, active.octets, self.synced));
        self.active = Some(active);
        let change = message::renumber(&mut self.pending, message::HEADS);
        self.sequence = self.sequence.wrapping_add(change);
        Ok(())
    }

    fn forget_pending(&mut self) {
        // The buffer of a burst is given back.
        self.pending = Vec::new();
        self.pending_messages = 0;
        self.pending_flow_records = 0;
    }

    /// Says that no message before `until` is needed any more. Segments of which none is needed leave the disk; the one
    /// that is written only if it has some length, so that a queue that is always nearly empty need not make a file for
    /// each message. What stays of it is found again after a crash, as repeats.
    pub fn release(&mut self, until: Position) {
        while self.segments.front().is_some_and(|segment| segment.end() <= until.0) {
            if self.segments.len() == 1
                && let Some(active) = &self.active
            {
                if active.octets < self.config.segment.min(WORTH_A_FILE) {
                    return;
                }
                self.active = None;
            }
            if let Some(segment) = self.segments.pop_front() {
                segment.remove(&self.config.folder);
            }
        }
    }

    /// Syncs, and ends the spool; nothing stays on disk if all of it was released `until` here.
    pub fn close(mut self, until: Position) -> Result<(), SpoolError> {
        self.sync()?;
        self.active = None;
        self.release(until);
        Ok(())
    }

    /// Gives up the oldest segment; none if there is nothing on disk.
    pub fn drop_oldest(&mut self) -> Option<Dropped> {
        let segment = self.segments.pop_front()?;
        if self.segments.is_empty() {
            self.active = None;
        }
        segment.remove(&self.config.folder);
        let end = Position(segment.end());
        Some(Dropped { end, flow_records: segment.flow_records, octets: segment.octets })
    }

    /// Returns the position behind the last message of the oldest segment, the one that [`Spool::drop_oldest`] would give
    /// up; none if there is nothing on disk.
    pub fn oldest_end(&self) -> Option<Position> {
        self.segments.front().map(|segment| Position(segment.end()))
    }

    fn remove_empty(&mut self) {
        if self.segments.back().is_some_and(|segment| segment.messages == 0)
            && let Some(segment) = self.segments.pop_back()
        {
            segment.remove(&self.config.folder);
        }
    }

    /// Returns the position behind the last message that was appended.
    pub const fn end(&self) -> Position {
        Position(self.synced + self.pending_messages)
    }

    /// Returns the position behind the last message that is on disk.
    pub const fn synced(&self) -> Position {
        Position(self.synced)
    }

    /// Returns the octets that wait for [`Spool::sync`].
    pub fn pending_octets(&self) -> usize {
        self.pending.len()
    }

    /// Returns the octets of segments and of what waits.
    pub fn octets(&self) -> u64 {
        self.segments.iter().map(|segment| segment.octets).sum::<u64>() + self.pending.len() as u64
    }

    /// Returns how many files there are.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }
}
