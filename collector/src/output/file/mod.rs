//! A file and its writer thread, whatever [`Format`] the file has.
//!
//! A durable file is synced at *sync points*, at most 200 ms after the first octet that is not synced, or when 8 MiB are
//! not: `fdatasync`, then the sidecar, and only then the sessions are told. On start the file is cut to what the sidecar says.
//! A write or sync that fails (disk full) is tried again every second; meanwhile the queue fills and reading stops. What is
//! not synced stays in memory: a failed sync may have lost it, so it is written again from where the last sync ended.
//!
//! With `direct`, nothing is written before a sync point or, where the file is not durable, before as much time or as many octets:
//! then as much as can be goes past the page cache ([`target`]).
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

mod buffer;
mod compression;
mod format;
mod opening;
mod parts;
mod rotation;
mod sidecar;
mod target;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use delivery::Journal;

use self::buffer::Buffer;
pub(crate) use self::format::Format;
pub(crate) use self::opening::OpenError;
pub(crate) use self::rotation::Limits;
use self::rotation::Rotation;
pub(super) use self::sidecar::sync_directory;
use self::target::{Regular, Target};
use super::batch::Share;
use super::health::{Health, Work};
use super::intake::{Intake, Taken};
use super::progress::Session;
use super::queue::{Backlog, Next};
use crate::metrics::{DropReason, OutputMetrics};

/// The longest time news stay unsynced.
const SYNC_INTERVAL: Duration = Duration::from_millis(200);
/// Octets written without a sync.
const SYNC_OCTETS: usize = 8 << 20;
/// Octets gathered before they are written while more is waiting.
const WRITE_OCTETS: usize = 256 << 10;
/// Octets of whole blocks that are worth waiting for the disk.
pub(super) const DIRECT_OCTETS: usize = 256 << 10;
/// How long a write or sync that failed is left alone.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// An idle writer looks up so often.
const IDLE: Duration = Duration::from_secs(3600);

/// What a file is to be.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// As configured; `-` is standard output.
    pub(super) path: &'a Path,
    /// Slot in every [`Progress`](super::Progress), if durable.
    pub(super) slot: Option<usize>,
    pub(super) options_records: bool,
    pub(super) format: Box<dyn Format>,
    /// When another file is begun; `None`: never, and `path` is the file's name.
    pub(super) limits: Option<Limits>,
    /// From how many octets of whole blocks on they are written past the page cache, if at all.
    pub(super) direct: Option<usize>,
}

/// A file, open or about to be.
#[derive(Debug)]
pub(super) struct FileOutput {
    /// The path of the output; the name of its sidecar is made of it.
    path: PathBuf,
    /// The path of the file that is open.
    current: PathBuf,
    target: Target,
    slot: Option<usize>,
    format: Box<dyn Format>,
    rotation: Option<Rotation>,
    direct: Option<usize>,
    /// What is done for good ends here: synced, where the output is durable.
    offset: u64,
    /// What follows `offset`.
    buffer: Buffer,
    /// So much of `buffer` was handed to the file.
    written: usize,
    /// Records that were not handed to it yet.
    uncounted: Taken,
    /// Something failed: what the file has behind `offset` may be torn or gone.
    suspect: bool,
    /// Has every record in the file, in those before it and in `buffer`.
    intake: Intake,
    /// Since when something waits for the next sync point, or to be written where that is all.
    unsynced: Option<Instant>,
    health: Arc<Health>,
    metrics: OutputMetrics,
}

impl FileOutput {
    /// Opens the file and cuts what is not known to be whole. On a disk that is full or fails the output waits, and its writer
    /// opens it later.
    pub(super) fn open(
        plan: Plan<'_>,
        health: Arc<Health>,
        metrics: OutputMetrics,
    ) -> Result<Self, OpenError> {
        let Plan { path, slot, options_records, format, limits, direct } = plan;
        let special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
        let is_regular = !special && path.as_os_str() != "-";
        if !is_regular && (slot.is_some() || limits.is_some()) {
            return Err(OpenError::NotRegular { path: path.to_owned() });
        }
        let rotation = limits.map(|limits| Rotation::start(path, limits, &metrics)).transpose();
        let mut output = Self {
            path: path.to_owned(),
            current: path.to_owned(),
            target: Target::Standard,
            slot,
            format,
            rotation: rotation.map_err(|error| OpenError::File { path: path.to_owned(), error })?,
            direct: direct.filter(|_| is_regular),
            offset: 0,
            buffer: Buffer::with_capacity(WRITE_OCTETS),
            written: 0,
            uncounted: Taken::default(),
            suspect: false,
            intake: Intake::new(&path.to_string_lossy(), options_records, metrics.clone()),
            unsynced: None,
            health,
            metrics,
        };
        if is_regular {
            output.target = Target::Waiting;
            if let Err(error) = output.open_regular() {
                let Some(passing) = error.passing() else { return Err(error) };
                output.health.failed(Work::Open, passing);
            }
        } else if special {
            output.target = Target::Special(None);
        }
        Ok(output)
    }

    fn open_regular(&mut self) -> Result<(), OpenError> {
        let durable = self.slot.is_some();
        let opened = match &mut self.rotation {
            None => opening::open(&self.path, durable, &*self.format)?,
            Some(rotation) => {
                let opened = opening::open_part(&self.path, durable, &*self.format)?;
                rotation.begun();
                opened
            }
        };
        self.intake.journal = Journal::new(opened.holdings);
        self.begin(opened.path, opened.file, opened.length);
        Ok(())
    }

    /// Goes on in a file of so many octets.
    fn begin(&mut self, path: PathBuf, file: File, length: u64) {
        self.target = Target::Regular(Regular::new(&path, file, self.direct));
        self.current = path;
        (self.offset, self.written, self.suspect) = (length, 0, false);
        self.buffer.start_at(length);
    }

    /// Octets of the file, written or not.
    fn length(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Writes batches until every association task has ended. Fails when the output cannot go on.
    pub(super) fn run(mut self, backlog: &Backlog) -> io::Result<()> {
        let done = self.work(backlog);
        if done.is_err() {
            let Taken { flows, .. } = std::mem::take(&mut self.uncounted);
            self.metrics.discard(DropReason::Failed, flows);
            self.metrics.release(flows);
        }
        done
    }

    fn work(&mut self, backlog: &Backlog) -> io::Result<()> {
        self.open_late()?;
        loop {
            let may_wait = self.direct.is_some() || self.unwritten() == 0;
            let wait = if may_wait { self.until_work() } else { Duration::ZERO };
            match backlog.next(wait) {
                Next::Share(share) => {
                    if self.length() > 0 && !self.format.has_room(&share.form) {
                        self.rotate()?;
                    }
                    self.take(&share);
                    backlog.release(&share);
                    if self.direct.is_none() && self.unwritten() >= WRITE_OCTETS {
                        self.write()?;
                    }
                }
                Next::TimedOut => self.write()?,
                Next::Closed => {
                    self.write()?;
                    self.sync()?;
                    return self.close();
                }
            }
            if self.until_sync().is_zero() || self.buffer.len() >= SYNC_OCTETS {
                self.write()?;
                self.sync()?;
            }
            if self.is_over() {
                self.rotate()?;
            }
        }
    }

    /// Opens the file of an output that waits for its disk.
    fn open_late(&mut self) -> io::Result<()> {
        while matches!(self.target, Target::Waiting) {
            std::thread::park_timeout(RETRY_INTERVAL);
            match self.open_regular() {
                Ok(()) => self.health.succeeded(),
                Err(error) => match error.passing() {
                    Some(passing) if !self.health.is_ending() => self.health.failed(Work::Open, passing),
                    _ => return Err(io::Error::other(error)),
                },
            }
        }
        Ok(())
    }

    /// Returns how many octets were not handed to the file.
    fn unwritten(&self) -> usize {
        self.buffer.len() - self.written
    }

    fn until_sync(&self) -> Duration {
        let due = self.unsynced.map(|since| SYNC_INTERVAL.saturating_sub(since.elapsed()));
        due.unwrap_or(IDLE)
    }

    /// Returns the time until a sync, or the end of the file, if there is something in it.
    fn until_work(&self) -> Duration {
        let end = self.rotation.as_ref().filter(|_| self.length() > 0).and_then(Rotation::until_end);
        end.map_or(self.until_sync(), |end| self.until_sync().min(end))
    }

    /// Returns whether another file is due.
    fn is_over(&self) -> bool {
        let length = self.length();
        length > 0 && self.rotation.as_ref().is_some_and(|rotation| rotation.is_over(length))
    }

    /// Appends to the buffer what the file does not hold yet.
    fn take(&mut self, share: &Share) {
        if self.length() == 0 {
            self.format.begin(self.buffer.end());
        }
        let taken = self.intake.take(share, &mut *self.format, self.buffer.end());
        self.uncounted += taken;
        self.metrics.hold(taken.flows);
        if self.slot.is_some() {
            self.intake.note(share);
        }
        if self.slot.is_some() || self.direct.is_some() {
            self.unsynced.get_or_insert_with(Instant::now);
        }
    }

    /// Writes the buffer, again and again until it succeeds; fails where that would not help.
    fn write(&mut self) -> io::Result<()> {
        if self.unwritten() == 0 {
            return Ok(());
        }
        let start = Instant::now();
        if matches!(self.target, Target::Regular(_)) {
            self.insist(Work::Write, Self::try_write)?;
        } else {
            self.health.begin();
            self.try_write()?;
            self.health.end();
        }
        self.metrics.write_duration.record(start.elapsed().as_secs_f64());
        let written = std::mem::take(&mut self.uncounted);
        written.count(&self.metrics);
        self.metrics.release(written.flows);
        if self.slot.is_none() {
            self.settle();
            self.unsynced = None;
        }
        Ok(())
    }

    /// Everything in the buffer is done for good.
    fn settle(&mut self) {
        self.offset = self.length();
        self.buffer.start_at(self.offset);
        self.written = 0;
    }

    /// Tries again every second until it succeeds, as it will when the disk has room again. Fails at the collector's end.
    fn insist(&mut self, work: Work, mut attempt: impl FnMut(&mut Self) -> io::Result<()>) -> io::Result<()> {
        loop {
            self.health.begin();
            let done = attempt(self);
            self.health.end();
            let Err(error) = done else {
                self.health.succeeded();
                return Ok(());
            };
            self.suspect = true;
            self.health.failed(work, &error);
            if self.health.is_ending() {
                return Err(error);
            }
            std::thread::park_timeout(RETRY_INTERVAL);
        }
    }

    /// Hands to the file what it was not handed, or, after a failure, everything behind `offset` once more.
    fn try_write(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Regular(file) => {
                if self.suspect {
                    file.cut(self.offset)?;
                    (self.written, self.suspect) = (0, false);
                }
                while self.written < self.buffer.len() {
                    let position = self.offset + self.written as u64;
                    match file.write(&self.buffer.octets()[self.written..], position) {
                        Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                        Ok(octets) => self.written += octets,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            // The writer has opened it before.
            Target::Waiting => {}
            Target::Special(file) => target::write_special(file, &self.path, self.buffer.octets())?,
            Target::Standard => {
                let mut out = io::stdout().lock();
                out.write_all(self.buffer.octets())?;
                out.flush()?;
            }
        }
        self.written = self.buffer.len();
        Ok(())
    }

    /// Makes everything written durable and tells the sessions.
    ///
    /// After a failed sync of the data the kernel may have dropped the octets, and a second sync would succeed without them: they
    /// are written again before it.
    fn sync(&mut self) -> io::Result<()> {
        let Some(slot) = self.slot else { return Ok(()) };
        let sync_point = self.intake.journal.sync_point();
        if self.buffer.len() > 0 {
            self.insist(Work::Sync, Self::try_sync)?;
            self.settle();
        }
        if self.unsynced.take().is_some() {
            self.insist(Work::Sidecar, |output| {
                sidecar::write(&output.path, &output.current, output.offset, output.intake.journal.holdings())
            })?;
        }
        for (Session(progress), ticket) in sync_point.tickets() {
            progress.tell(slot, ticket);
        }
        Ok(())
    }

    fn try_sync(&mut self) -> io::Result<()> {
        self.try_write()?;
        match &self.target {
            Target::Regular(file) => file.sync_data(),
            Target::Waiting | Target::Special(_) | Target::Standard => Ok(()),
        }
    }

    /// Finishes the file and begins the next one; see [`parts`] for the order. Does nothing where files do not take turns.
    fn rotate(&mut self) -> io::Result<()> {
        let Some(names) = self.rotation.as_ref().map(|rotation| rotation.names.clone()) else {
            return Ok(());
        };
        self.write()?;
        self.sync()?;
        if self.slot.is_none() {
            self.insist(Work::Sync, Self::try_sync_all)?;
        }
        let mut next = None;
        self.insist(Work::Open, |_| {
            next = Some(parts::create(&names)?);
            Ok(())
        })?;
        let Some((path, file)) = next else { return Ok(()) };
        if self.slot.is_some() {
            let path = path.clone();
            self.insist(Work::Sidecar, |output| {
                sidecar::write(&output.path, &path, 0, output.intake.journal.holdings())
            })?;
        }
        self.insist(Work::Finish, |output| parts::finish(&output.current))?;
        self.begin(path, file, 0);
        if let Some(rotation) = &mut self.rotation {
            rotation.begun();
        }
        Ok(())
    }

    fn try_sync_all(&mut self) -> io::Result<()> {
        match &self.target {
            Target::Regular(file) => file.sync_all(),
            Target::Waiting | Target::Special(_) | Target::Standard => Ok(()),
        }
    }

    /// Finishes the last file, where files take turns. Everything is written.
    fn close(&mut self) -> io::Result<()> {
        if self.rotation.is_none() {
            return Ok(());
        }
        self.try_sync_all()?;
        if self.length() > 0 { parts::finish(&self.current) } else { std::fs::remove_file(&self.current) }
    }
}

#[cfg(test)]
mod tests;
