//! A file of JSON lines and its writer thread.
//!
//! A durable file is synced at *sync points*, at most 200 ms after the first octet that is not synced, or when 8 MiB are
//! not: `fdatasync`, then the sidecar, and only then the sessions are told. On start the file is cut to what the sidecar says.
//! A write that fails (disk full) is tried again every second; meanwhile the queue fills and reading stops.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use delivery::journal::Fresh;
use delivery::{Holdings, Journal, Series};
use tracing::{info, warn};

use super::queue::{Backlog, Next};
use super::sidecar::{self, SidecarError};
use super::{Batch, RunKind, Session};
use crate::metrics::OutputMetrics;

/// The longest time news stay unsynced.
const SYNC_INTERVAL: Duration = Duration::from_millis(200);
/// Octets written without a sync.
const SYNC_OCTETS: u64 = 8 << 20;
/// Octets gathered before they are written while more is waiting.
const WRITE_OCTETS: usize = 256 << 10;
/// How long a write or sync that failed is left alone.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// An idle writer looks up so often.
const IDLE: Duration = Duration::from_secs(3600);

/// Why an output cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The file.
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: io::Error },
    /// Its sidecar.
    #[error("{}: {error}", .path.display())]
    Sidecar { path: PathBuf, error: SidecarError },
    /// Only a regular file can be synced and cut.
    #[error("{}: only a regular file can be durable", .path.display())]
    NotRegular { path: PathBuf },
}

/// A file of JSON lines, open or about to be.
#[derive(Debug)]
pub(crate) struct Jsonl {
    path: PathBuf,
    target: Target,
    /// Slot in every [`Progress`](super::Progress), if durable.
    slot: Option<usize>,
    options_records: bool,
    /// Where the next octet of `buffer` goes.
    offset: u64,
    buffer: Vec<u8>,
    /// Every record in the file and in `buffer`.
    journal: Journal<Session>,
    unsynced: Unsynced,
    /// Cleared while writing fails.
    writable: Arc<AtomicBool>,
    metrics: OutputMetrics,
}

#[derive(Debug)]
enum Target {
    Regular(File),
    /// Something that cannot be cut, such as a pipe; opened by the writer thread, because opening may block.
    Special(Option<File>),
    Standard,
}

/// What makes the next sync point due.
#[derive(Debug, Default)]
struct Unsynced {
    since: Option<Instant>,
    octets: u64,
}

impl Jsonl {
    /// Opens the file and, when it is durable, cuts it to its sidecar; otherwise a torn last line is cut off.
    /// `slot` is the output's place in every [`Progress`](super::Progress), if it is durable.
    pub(crate) fn open(
        path: &Path,
        slot: Option<usize>,
        options_records: bool,
        metrics: OutputMetrics,
    ) -> Result<Self, OpenError> {
        let mut output = Self {
            path: path.to_owned(),
            target: Target::Standard,
            slot,
            options_records,
            offset: 0,
            buffer: Vec::with_capacity(WRITE_OCTETS),
            journal: Journal::new(Holdings::new()),
            unsynced: Unsynced::default(),
            writable: Arc::new(AtomicBool::new(true)),
            metrics,
        };
        let special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
        if slot.is_some() && (special || path.as_os_str() == "-") {
            return Err(OpenError::NotRegular { path: path.to_owned() });
        }
        if special {
            output.target = Target::Special(None);
        } else if path.as_os_str() != "-" {
            output.open_regular()?;
        }
        Ok(output)
    }

    fn open_regular(&mut self) -> Result<(), OpenError> {
        let failed = |error| OpenError::File { path: self.path.clone(), error };
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.path);
        let mut length = file.as_mut().map_or(Ok(0), |file| file.seek(SeekFrom::End(0))).map_err(failed)?;
        let mut file = file.map_err(failed)?;
        let mut sidecar = None;
        if self.slot.is_some() {
            let failed = |error| OpenError::Sidecar { path: sidecar::path_of(&self.path), error };
            sidecar = sidecar::read(&self.path).map_err(failed)?;
        }
        match sidecar {
            Some(sidecar) => {
                if length < sidecar.offset {
                    // Somebody rotated or emptied it. What it held is acknowledged and stays known.
                    warn!(path = %self.path.display(), synced = sidecar.offset, found = length, "file is shorter than it was");
                }
                info!(
                    path = %self.path.display(), cut = length.saturating_sub(sidecar.offset), records = sidecar.holdings.count(),
                    "file cut to what was synced"
                );
                length = length.min(sidecar.offset);
                self.journal = Journal::new(sidecar.holdings);
            }
            None => length = end_of_last_line(&mut file, length).map_err(failed)?,
        }
        file.set_len(length).map_err(failed)?;
        file.seek(SeekFrom::Start(length)).map_err(failed)?;
        self.offset = length;
        if self.slot.is_some() {
            // From here on the sidecar tells what to cut, even before the first sync point.
            let start = || -> io::Result<()> {
                file.sync_all()?;
                sidecar::sync_directory(&self.path)?;
                sidecar::write(&self.path, length, self.journal.holdings())
            };
            start().map_err(failed)?;
        }
        self.target = Target::Regular(file);
        Ok(())
    }

    /// Returns a flag that is false while writing fails.
    pub(crate) fn writable(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.writable)
    }

    /// Writes batches until every association task has ended. Fails when the output cannot go on.
    pub(super) fn run(mut self, backlog: &Backlog) -> io::Result<()> {
        loop {
            let wait = if self.buffer.is_empty() { self.until_sync() } else { Duration::ZERO };
            match backlog.next(wait) {
                Next::Batch(batch) => {
                    self.take(&batch);
                    backlog.release(&batch);
                    if self.buffer.len() >= WRITE_OCTETS {
                        self.write()?;
                    }
                }
                Next::TimedOut => self.write()?,
                Next::Closed => {
                    self.write()?;
                    return self.sync();
                }
            }
            if self.until_sync().is_zero() || self.unsynced.octets >= SYNC_OCTETS {
                self.write()?;
                self.sync()?;
            }
        }
    }

    fn until_sync(&self) -> Duration {
        let due = self.unsynced.since.map(|since| SYNC_INTERVAL.saturating_sub(since.elapsed()));
        due.unwrap_or(IDLE)
    }

    /// Appends to the buffer what the file does not hold yet.
    fn take(&mut self, batch: &Batch) {
        for (run, text) in batch.runs() {
            match run.kind {
                RunKind::Identified { series, first } => {
                    self.take_identified(series, first, run.records, text);
                }
                RunKind::Options if !self.options_records => {}
                RunKind::Options => {
                    self.buffer.extend_from_slice(text);
                    self.metrics.options.increment(run.records);
                }
                RunKind::Plain => {
                    self.buffer.extend_from_slice(text);
                    self.metrics.written.increment(run.records);
                }
            }
        }
        if self.slot.is_some() {
            self.unsynced.since.get_or_insert_with(Instant::now);
            self.journal.note(Session(Arc::clone(&batch.progress)), batch.ticket);
        }
        if self.journal.limit() {
            warn!(path = %self.path.display(), "too many ranges of numbers: repeats of earlier records will not be noticed");
        }
    }

    fn take_identified(&mut self, series: Series, first: u64, records: u64, text: &[u8]) {
        let numbers = first..first.saturating_add(records);
        let fresh = match self.journal.take(series, numbers.clone()) {
            Fresh::All => {
                self.buffer.extend_from_slice(text);
                records
            }
            Fresh::Only(fresh) => self.take_lines(numbers, text, &fresh),
        };
        self.metrics.written.increment(fresh);
        if fresh < records {
            self.metrics.duplicates.increment(records - fresh);
            self.metrics.duplicates_suppressed.increment(records - fresh);
        }
    }

    /// Appends the lines with these numbers to the buffer; returns how many there are.
    fn take_lines(&mut self, numbers: Range<u64>, text: &[u8], fresh: &[Range<u64>]) -> u64 {
        let mut fresh = fresh.iter().cloned().flatten().peekable();
        let mut taken = 0;
        for (number, line) in numbers.zip(text.split_inclusive(|&octet| octet == b'\n')) {
            if fresh.next_if_eq(&number).is_some() {
                self.buffer.extend_from_slice(line);
                taken += 1;
            }
        }
        taken
    }

    /// Writes the buffer, again and again until it succeeds; fails where that would not help.
    fn write(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        if matches!(self.target, Target::Regular(_)) {
            self.insist(Self::try_write);
        } else {
            self.try_write()?;
        }
        self.metrics.write_duration.record(start.elapsed().as_secs_f64());
        let octets = self.buffer.len() as u64;
        self.offset += octets;
        if self.slot.is_some() {
            self.unsynced.octets += octets;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Tries again every second until it succeeds, as it will when the disk has room again.
    fn insist(&mut self, attempt: impl Fn(&mut Self) -> io::Result<()>) {
        while let Err(error) = attempt(self) {
            if self.writable.swap(false, Ordering::Relaxed) {
                warn!(path = %self.path.display(), %error, "writing failed, trying again every second");
            }
            self.metrics.failures.increment(1);
            std::thread::park_timeout(RETRY_INTERVAL);
        }
        if !self.writable.swap(true, Ordering::Relaxed) {
            info!(path = %self.path.display(), "writing succeeds again");
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Regular(file) => {
                // After a failure part of the buffer may stand behind `offset`.
                if !self.writable.load(Ordering::Relaxed) {
                    file.set_len(self.offset)?;
                    file.seek(SeekFrom::Start(self.offset))?;
                }
                file.write_all(&self.buffer)
            }
            Target::Special(file) => {
                let file = match file {
                    Some(file) => file,
                    None => file.insert(OpenOptions::new().write(true).open(&self.path)?),
                };
                file.write_all(&self.buffer)
            }
            Target::Standard => {
                let mut out = io::stdout().lock();
                out.write_all(&self.buffer)?;
                out.flush()
            }
        }
    }

    /// Makes everything written durable and tells the sessions.
    ///
    /// A failed sync of the data is not tried again: the kernel may have dropped the octets, and a second sync would
    /// then succeed without them. What was not told will come again.
    fn sync(&mut self) -> io::Result<()> {
        let (Some(slot), Target::Regular(file)) = (self.slot, &self.target) else { return Ok(()) };
        let unsynced = std::mem::take(&mut self.unsynced);
        let sync_point = self.journal.sync_point();
        if unsynced.octets > 0 {
            file.sync_data()?;
        }
        if unsynced.since.is_some() {
            self.insist(|output| sidecar::write(&output.path, output.offset, output.journal.holdings()));
        }
        for (Session(progress), ticket) in sync_point.tickets() {
            progress.tell(slot, ticket);
        }
        Ok(())
    }
}

/// Returns where the last whole line of `file` ends.
fn end_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        io::Read::by_ref(file).take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|&octet| octet == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
