//! A file of JSON lines and its writer thread.
//!
//! A durable file is synced at *sync points*, at most 200 ms after the first octet that is not synced, or when 8 MiB are
//! not: `fdatasync`, then the sidecar, and only then the sessions are told. On start the file is cut to what the sidecar says.
//! A write or sync that fails (disk full) is tried again every second; meanwhile the queue fills and reading stops. What is
//! not synced stays in memory: a failed sync may have lost it, so it is written again from where the last sync ended.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use delivery::journal::Fresh;
use delivery::{Holdings, Journal, Series};
use tracing::warn;

use super::health::{Health, Work};
use super::opening::{self, OpenError, Opened};
use super::queue::{Backlog, Next};
use super::sidecar;
use super::{Batch, RunKind, Session};
use crate::metrics::OutputMetrics;

/// The longest time news stay unsynced.
const SYNC_INTERVAL: Duration = Duration::from_millis(200);
/// Octets written without a sync.
const SYNC_OCTETS: usize = 8 << 20;
/// Octets gathered before they are written while more is waiting.
const WRITE_OCTETS: usize = 256 << 10;
/// How long a write or sync that failed is left alone.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// An idle writer looks up so often.
const IDLE: Duration = Duration::from_secs(3600);

/// A file of JSON lines, open or about to be.
#[derive(Debug)]
pub(crate) struct Jsonl {
    path: PathBuf,
    target: Target,
    /// Slot in every [`Progress`](super::Progress), if durable.
    slot: Option<usize>,
    options_records: bool,
    /// What is done for good ends here: synced, where the output is durable.
    offset: u64,
    /// What follows `offset`.
    buffer: Vec<u8>,
    /// So much of `buffer` was handed to the file.
    written: usize,
    /// Something failed: what the file has behind `offset` may be torn or gone.
    suspect: bool,
    /// Every record in the file and in `buffer`.
    journal: Journal<Session>,
    /// Since when something waits for the next sync point.
    unsynced: Option<Instant>,
    health: Arc<Health>,
    metrics: OutputMetrics,
}

#[derive(Debug)]
enum Target {
    Regular(File),
    /// A regular file that could not be opened because its disk is full or fails.
    Waiting,
    /// Something that cannot be cut, such as a pipe; opened by the writer thread, because opening may block.
    Special(Option<File>),
    Standard,
}

impl Jsonl {
    /// Opens the file and cuts what is not known to be whole. On a disk that is full or fails the output waits, and its writer
    /// opens it later. `slot` is the output's place in every [`Progress`](super::Progress), if it is durable.
    pub(crate) fn open(
        path: &Path,
        slot: Option<usize>,
        options_records: bool,
        health: Arc<Health>,
        metrics: OutputMetrics,
    ) -> Result<Self, OpenError> {
        let mut output = Self {
            path: path.to_owned(),
            target: Target::Standard,
            slot,
            options_records,
            offset: 0,
            buffer: Vec::with_capacity(WRITE_OCTETS),
            written: 0,
            suspect: false,
            journal: Journal::new(Holdings::new()),
            unsynced: None,
            health,
            metrics,
        };
        let special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
        if slot.is_some() && (special || path.as_os_str() == "-") {
            return Err(OpenError::NotRegular { path: path.to_owned() });
        }
        if special {
            output.target = Target::Special(None);
        } else if path.as_os_str() != "-" {
            output.target = Target::Waiting;
            if let Err(error) = output.open_regular() {
                let Some(passing) = error.passing() else { return Err(error) };
                output.health.failed(Work::Open, passing);
            }
        }
        Ok(output)
    }

    fn open_regular(&mut self) -> Result<(), OpenError> {
        let Opened { file, length, holdings } = opening::open(&self.path, self.slot.is_some())?;
        self.target = Target::Regular(file);
        self.offset = length;
        self.journal = Journal::new(holdings);
        Ok(())
    }

    /// Writes batches until every association task has ended. Fails when the output cannot go on.
    pub(super) fn run(mut self, backlog: &Backlog) -> io::Result<()> {
        self.open_late()?;
        loop {
            let wait = if self.unwritten() == 0 { self.until_sync() } else { Duration::ZERO };
            match backlog.next(wait) {
                Next::Batch(batch) => {
                    self.take(&batch);
                    backlog.release(&batch);
                    if self.unwritten() >= WRITE_OCTETS {
                        self.write()?;
                    }
                }
                Next::TimedOut => self.write()?,
                Next::Closed => {
                    self.write()?;
                    return self.sync();
                }
            }
            if self.until_sync().is_zero() || self.slot.is_some() && self.buffer.len() >= SYNC_OCTETS {
                self.write()?;
                self.sync()?;
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
            self.unsynced.get_or_insert_with(Instant::now);
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
        if self.slot.is_none() {
            self.settle();
        }
        Ok(())
    }

    /// Everything in the buffer is done for good.
    fn settle(&mut self) {
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        self.written = 0;
    }

    /// Tries again every second until it succeeds, as it will when the disk has room again. Fails at the collector's end.
    fn insist(&mut self, work: Work, attempt: impl Fn(&mut Self) -> io::Result<()>) -> io::Result<()> {
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
                    file.set_len(self.offset)?;
                    file.seek(SeekFrom::Start(self.offset))?;
                    (self.written, self.suspect) = (0, false);
                }
                file.write_all(&self.buffer[self.written..])?;
            }
            // The writer has opened it before.
            Target::Waiting => {}
            Target::Special(file) => {
                let file = match file {
                    Some(file) => file,
                    None => file.insert(OpenOptions::new().write(true).open(&self.path)?),
                };
                file.write_all(&self.buffer)?;
            }
            Target::Standard => {
                let mut out = io::stdout().lock();
                out.write_all(&self.buffer)?;
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
        let sync_point = self.journal.sync_point();
        if !self.buffer.is_empty() {
            self.insist(Work::Sync, Self::try_sync)?;
            self.settle();
        }
        if self.unsynced.take().is_some() {
            self.insist(Work::Sidecar, |output| {
                sidecar::write(&output.path, output.offset, output.journal.holdings())
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
}

#[cfg(test)]
mod tests {
    use std::fs;

    use delivery::{Epoch, Ledger};

    use super::super::{Progress, Run};
    use super::*;

    const SERIES: Series = Series { ledger: Ledger([1; 16]), epoch: Epoch(1), domain: 1 };

    fn batch(progress: &Arc<Progress>, ticket: u64, line: &str) -> Batch {
        let kind = RunKind::Identified { series: SERIES, first: ticket - 1 };
        let (text, runs) = (line.as_bytes().to_vec(), vec![Run { kind, records: 1, end: line.len() }]);
        Batch { text, runs, records: 1, progress: Arc::clone(progress), ticket }
    }

    #[test]
    fn what_a_failed_sync_may_have_lost_is_written_again_before_the_next_one() {
        let directory = std::env::temp_dir().join(format!("jsonl-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("flows.jsonl");
        let health = Arc::new(Health::new("flows", path.clone()));
        let metrics = OutputMetrics::new("flows", 1, false);
        let mut output = Jsonl::open(&path, Some(0), true, health, metrics).unwrap();
        let progress = Progress::new(1);
        output.take(&batch(&progress, 1, "first\n"));
        output.write().unwrap();
        output.sync().unwrap();
        assert_eq!(progress.synced(), Some(1));

        output.take(&batch(&progress, 2, "second\n"));
        output.write().unwrap();
        // What a kernel does that could not write its pages, and what a write left that had no room for more.
        fs::write(&path, "first\nse\0\0\0\0\0thi").unwrap();
        output.suspect = true;
        output.take(&batch(&progress, 3, "third\n"));
        output.sync().unwrap();
        assert_eq!(progress.synced(), Some(3));
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nsecond\nthird\n");
        assert_eq!(sidecar::read(&path).unwrap().unwrap().offset, 19);
        fs::remove_dir_all(&directory).unwrap();
    }
}
