//! Where records go. Each output is one writer thread behind a queue bounded in octets.
//!
//! An association task turns messages into a [`Batch`] and pushes it to every output. Batches of a session are numbered
//! by *tickets*; an output marked durable tells in the session's [`Progress`] up to which ticket everything is synced.
//! What is de-duplicated by identity is decided by the writer thread alone, against what its own file holds
//! ([`delivery::journal`]), so that no lock is shared between associations.

mod dead_letter;
mod health;
mod jsonl;
mod opening;
mod queue;
mod sidecar;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use delivery::Series;
use rserpool::Load;
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub(crate) use self::dead_letter::{DeadLetter, Letter};
pub(crate) use self::health::Finding;
use self::health::Health;
use self::jsonl::Jsonl;
pub(crate) use self::opening::OpenError;
pub(crate) use self::queue::Closed;
use self::queue::Queue;
use crate::config::{self, Config};
use crate::metrics::OutputMetrics;

/// Lines of one session, in the order received.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Whole lines.
    pub(crate) text: Vec<u8>,
    /// What the lines are; they cover `text` without a gap.
    pub(crate) runs: Vec<Run>,
    /// Number of lines.
    pub(crate) records: usize,
    /// Who is told when the batch is durable.
    pub(crate) progress: Arc<Progress>,
    /// Number of this batch in its session, from 1.
    pub(crate) ticket: u64,
}

/// Consecutive lines of one kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) kind: RunKind,
    /// Number of lines.
    pub(crate) records: u64,
    /// Where they end in the batch's text.
    pub(crate) end: usize,
}

/// What the lines of a run are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RunKind {
    /// Flow records with consecutive numbers from `first`.
    Identified { series: Series, first: u64 },
    /// Flow records without identity.
    Plain,
    /// Options records.
    Options,
}

impl Run {
    /// Returns whether a line of this kind belongs to the run.
    pub(crate) fn continues_with(&self, kind: RunKind) -> bool {
        match (self.kind, kind) {
            (
                RunKind::Identified { series, first },
                RunKind::Identified { series: next_series, first: next },
            ) => series == next_series && first + self.records == next,
            (RunKind::Plain, RunKind::Plain) | (RunKind::Options, RunKind::Options) => true,
            _ => false,
        }
    }
}

impl Batch {
    /// Octets the batch takes in memory, about.
    fn octets(&self) -> usize {
        size_of::<Self>() + self.text.len() + self.runs.len() * size_of::<Run>()
    }

    /// Returns every run with its text.
    fn runs(&self) -> impl Iterator<Item = (Run, &[u8])> {
        let mut start = 0;
        self.runs.iter().map(move |&run| {
            let text = self.text.get(start..run.end).unwrap_or_default();
            start = run.end;
            (run, text)
        })
    }
}

/// How far the durable outputs are with the batches of one session.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The last ticket synced, by durable output.
    synced: Box<[AtomicU64]>,
    /// The last letter that is in the dead-letter file, or given up.
    letter: AtomicU64,
    news: Notify,
}

impl Progress {
    /// Nothing is durable yet.
    pub(crate) fn new(durable_outputs: usize) -> Arc<Self> {
        let synced = (0..durable_outputs).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { synced, letter: AtomicU64::new(0), news: Notify::new() })
    }

    /// Returns the last ticket that is synced in every durable output; `None` when there is no durable output.
    pub(crate) fn synced(&self) -> Option<u64> {
        self.synced.iter().map(|ticket| ticket.load(Ordering::Acquire)).min()
    }

    /// Returns the number of the last letter that is in the dead-letter file, or given up.
    pub(crate) fn letter(&self) -> u64 {
        self.letter.load(Ordering::Acquire)
    }

    /// Waits until an output has told something new. Cancel safe.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// The output with this slot has synced everything up to `ticket`.
    fn tell(&self, slot: usize, ticket: u64) {
        if let Some(synced) = self.synced.get(slot) {
            synced.store(ticket, Ordering::Release);
            self.news.notify_one();
        }
    }

    fn tell_letter(&self, number: u64) {
        self.letter.store(number, Ordering::Release);
        self.news.notify_one();
    }
}

/// Names a session by its [`Progress`], which is told what is synced.
#[derive(Clone, Debug)]
struct Session(Arc<Progress>);

impl Session {
    fn address(&self) -> *const Progress {
        Arc::as_ptr(&self.0)
    }
}

impl Ord for Session {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.address().cmp(&other.address())
    }
}

impl PartialOrd for Session {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Session {}

/// Every output of the collector, as one association task sees them.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    queues: Arc<[Queue]>,
    durable: usize,
    pub(crate) dead_letter: DeadLetter,
}

/// The threads behind [`Outputs`].
#[derive(Debug)]
pub(crate) struct Writers {
    running: JoinSet<Result<(), Stopped>>,
    dead_letter: JoinHandle<()>,
    health: Vec<Arc<Health>>,
}

/// An output has ended although it was still needed.
#[derive(Debug, thiserror::Error)]
#[error("output {output} stopped: {error}")]
pub(crate) struct Stopped {
    output: String,
    error: io::Error,
}

impl Outputs {
    /// Opens every output, cuts durable files to what was synced, and starts the writer threads.
    pub(crate) fn start(config: &Config) -> Result<(Self, Writers), OpenError> {
        let durable = config.durable_outputs();
        let letters = config.dead_letter_path();
        let started = DeadLetter::start(letters.clone(), config.dead_letter.limit.0);
        let (dead_letter, thread) = started.map_err(|error| OpenError::File { path: letters, error })?;
        let mut writers = Writers { running: JoinSet::new(), dead_letter: thread, health: Vec::new() };
        let mut queues = Vec::new();
        for (name, output) in &config.output {
            let config::Output::Jsonl(jsonl) = output;
            let slot = durable.iter().position(|durable| durable == name);
            // Suppressed duplicates are counted once, not per output.
            let counts_duplicates = slot == Some(0) || durable.is_empty() && queues.is_empty();
            let metrics = OutputMetrics::new(name, jsonl.queue.0, counts_duplicates);
            let (depth, dropped) = (metrics.queue_depth.clone(), metrics.dropped.clone());
            let health = Arc::new(Health::new(name, jsonl.path.clone()));
            let opened = Jsonl::open(&jsonl.path, slot, jsonl.options_records, Arc::clone(&health), metrics)?;
            let (queue, backlog) = queue::bounded(jsonl.queue.0, depth, dropped);
            writers.health.push(health);
            writers.spawn(name.clone(), move || opened.run(&backlog));
            queues.push(queue);
        }
        Ok((Self { queues: queues.into(), durable: durable.len(), dead_letter }, writers))
    }

    /// Returns the progress of a new session.
    pub(crate) fn progress(&self) -> Arc<Progress> {
        Progress::new(self.durable)
    }

    /// Returns of each queue how many octets wait, and how many may.
    fn fills(&self) -> impl Iterator<Item = (u64, u64)> {
        self.queues.iter().map(Queue::fill)
    }

    /// Returns how many octets wait in the queue that is the fullest by its size, and how many may. A queue that somebody waits for
    /// is full.
    pub(crate) fn fullest(&self) -> (u64, u64) {
        self.fills().max_by_key(|&(waiting, size)| Load::of(waiting, size)).unwrap_or_default()
    }

    /// Queues the batch for every output, waiting while a queue is full. Not cancel safe.
    pub(crate) async fn push(&self, batch: Arc<Batch>) -> Result<(), Closed> {
        for queue in self.queues.iter() {
            queue.push(Arc::clone(&batch)).await?;
        }
        Ok(())
    }

    /// Queues the batch for every output that has room at once, for input that cannot be held back. Returns whether any
    /// had; an output without room counts the records as dropped.
    pub(crate) fn try_push(&self, batch: &Arc<Batch>) -> Result<bool, Closed> {
        let mut taken = false;
        for queue in self.queues.iter() {
            taken |= queue.try_push(Arc::clone(batch))?;
        }
        Ok(taken)
    }
}

impl Writers {
    /// Runs a writer on a thread of its own.
    fn spawn(&mut self, output: String, run: impl FnOnce() -> io::Result<()> + Send + 'static) {
        self.running.spawn_blocking(move || run().map_err(|error| Stopped { output, error }));
    }

    /// Returns how the outputs are, all in all.
    pub(crate) fn look(&self) -> Finding {
        self.health.iter().map(|health| health.look()).fold(Finding::default(), Finding::and)
    }

    /// Waits until an output stops before its time; forever if none does. Cancel safe.
    pub(crate) async fn failure(&mut self) -> Stopped {
        loop {
            match self.running.join_next().await {
                Some(Ok(Err(stopped))) => return stopped,
                Some(Ok(Ok(()))) => {}
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until everything is written, after every clone of [`Outputs`] was dropped. Fails where an output cannot write.
    pub(crate) async fn finish(mut self) -> Result<(), Stopped> {
        self.health.iter().for_each(|health| health.give_up());
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        }
        // Ends as soon as it has written what it has.
        let _ = tokio::task::spawn_blocking(|| self.dead_letter.join()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_durable_once_every_durable_output_has_synced_it() {
        let progress = Progress::new(2);
        progress.tell(0, 3);
        assert_eq!(progress.synced(), Some(0));
        progress.tell(1, 2);
        assert_eq!(progress.synced(), Some(2));
        assert_eq!(Progress::new(0).synced(), None, "nothing is ever durable without a durable output");
    }
}
