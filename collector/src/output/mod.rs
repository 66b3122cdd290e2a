//! Where records go. Each output is one writer thread behind a queue bounded in octets.
//!
//! A session renders records in the forms that the outputs need ([`form`]) and pushes a [`Batch`] of them to every output.
//! Batches of a session are numbered by *tickets*; an output marked durable tells in the session's [`Progress`] up to which
//! ticket everything is synced. What is de-duplicated by identity is decided by the writer thread alone, against what its own
//! file holds ([`delivery::journal`]), so that no lock is shared between associations.
//!
//! An output that holds back makes the sessions wait while its queue is full; any other drops what it has no room for, so that
//! it never stops the others.

mod batch;
mod dead_letter;
mod file;
mod form;
mod forward;
mod health;
mod intake;
mod lines;
mod packer;
mod progress;
mod queue;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rserpool::Load;
use tokio::task::JoinSet;
use tracing::warn;

pub(crate) use self::batch::{Batch, Rendered, RunKind};
pub(crate) use self::dead_letter::{DeadLetter, Letter};
use self::file::{DIRECT_OCTETS, FileOutput, Format, Plan};
pub(crate) use self::file::{Limits, OpenError};
pub(crate) use self::form::Column;
pub(crate) use self::form::{Forms, Number, Renderers};
use self::forward::Forward;
pub(crate) use self::health::Finding;
pub(crate) use self::health::Health as OutputHealth;
use self::health::Health;
use self::lines::Lines;
use self::packer::Packer;
pub(crate) use self::progress::Progress;
pub(crate) use self::queue::Closed;
use self::queue::{Backlog, Next, Queue};
use crate::config::{self, Config, Role};
use crate::metrics::{DropReason, OutputMetrics};

/// How often an output that has stopped looks up.
const DRAIN_LOOK: Duration = Duration::from_secs(3600);

/// Every output of the collector, as one association task sees them.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    ways: Arc<[Way]>,
    forms: Forms,
    durable: usize,
    pub(crate) dead_letter: DeadLetter,
}

/// The way to one output.
#[derive(Debug)]
struct Way {
    queue: Queue,
    /// Place of its form in every batch.
    form: usize,
    holds_back: bool,
}

/// The threads behind [`Outputs`].
#[derive(Debug)]
pub(crate) struct Writers {
    running: JoinSet<Result<(), Stopped>>,
    dead_letter: JoinHandle<()>,
    health: Vec<Arc<Health>>,
    books: Vec<(String, OutputMetrics)>,
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
        let mut writers =
            Writers { running: JoinSet::new(), dead_letter: thread, health: Vec::new(), books: Vec::new() };
        let mut ways = Vec::new();
        let outputs = config.outputs();
        let (forms, places) = Forms::of(outputs.iter().map(|(_, output, _)| form_of(output)));
        for ((name, output, role), form) in outputs.into_iter().zip(places) {
            // Suppressed duplicates are counted once, not per output.
            let counts_duplicates = role.slot == Some(0) || durable.is_empty() && ways.is_empty();
            let metrics = OutputMetrics::new(name, output.queue().0, counts_duplicates);
            let health = Arc::new(Health::new(name, output.path().to_owned(), role.holds_back));
            let (queue, backlog) = queue::bounded(output.queue().0, &metrics);
            let writer = open(output, role, Arc::clone(&health), &metrics)?;
            writers.health.push(health);
            writers.books.push((name.to_owned(), metrics.clone()));
            let is_expendable = !role.holds_back;
            writers.spawn(name, is_expendable, backlog, metrics, writer);
            ways.push(Way { queue, form, holds_back: role.holds_back });
        }
        Ok((Self { ways: ways.into(), forms, durable: durable.len(), dead_letter }, writers))
    }

    /// Returns the forms in which the outputs need records.
    pub(crate) fn forms(&self) -> &Forms {
        &self.forms
    }

    /// Returns the progress of a new session.
    pub(crate) fn progress(&self) -> Arc<Progress> {
        Progress::new(self.durable)
    }

    /// Returns how many octets wait in the queue that is the fullest by its size, and how many may, among those that hold back.
    /// A queue that somebody waits for is full.
    pub(crate) fn fullest(&self) -> (u64, u64) {
        let fills = self.ways.iter().filter(|way| way.holds_back).map(|way| way.queue.fill());
        fills.max_by_key(|&(waiting, size)| Load::of(waiting, size)).unwrap_or((0, 1))
    }

    /// Queues the batch for every output, waiting while the queue of one is full that holds back. Not cancel safe.
    pub(crate) async fn push(&self, batch: &Batch) -> Result<(), Closed> {
        let mut waiting = Vec::new();
        for way in self.ways.iter() {
            match way.queue.try_push(batch.share(way.form))? {
                Some(share) if way.holds_back => waiting.push((way, share)),
                Some(share) => way.queue.drop_share(&share),
                None => {}
            }
        }
        for (way, share) in waiting {
            way.queue.push(share).await?;
        }
        Ok(())
    }

    /// Queues the batch for every output that has room at once, for input that cannot be held back. Returns whether any
    /// had; an output without room counts the records as dropped.
    pub(crate) fn try_push(&self, batch: &Batch) -> Result<bool, Closed> {
        let mut taken = false;
        for way in self.ways.iter() {
            match way.queue.try_push(batch.share(way.form))? {
                Some(share) => way.queue.drop_share(&share),
                None => taken = true,
            }
        }
        Ok(taken)
    }
}

/// Returns the form in which an output needs records.
fn form_of(output: &config::Output) -> form::Form {
    let kind = match output {
        config::Output::Jsonl(jsonl) => form::Kind::Json { metadata: jsonl.metadata },
        config::Output::Csv(csv) => form::Kind::Csv(csv.columns.as_slice().into()),
        config::Output::Ipfix(config::Ipfix { original_exporter, .. })
        | config::Output::Forward(config::Forward { original_exporter, .. }) => {
            form::Kind::Ipfix { original_exporter: *original_exporter }
        }
    };
    form::Form { kind, splits_biflows: output.biflows() == config::Biflows::Split }
}

/// What an output's thread runs.
type Run = Box<dyn FnOnce(&Backlog) -> io::Result<()> + Send>;

/// Opens an output.
fn open(
    output: &config::Output,
    role: Role,
    health: Arc<Health>,
    metrics: &OutputMetrics,
) -> Result<Run, OpenError> {
    let (options_records, format): (_, Box<dyn Format>) = match output {
        config::Output::Jsonl(jsonl) => (jsonl.options_records, Box::new(Lines::json())),
        config::Output::Csv(csv) => (false, Box::new(Lines::csv(&csv.columns))),
        config::Output::Ipfix(ipfix) => (ipfix.options_records, Box::new(Packer::default())),
        config::Output::Forward(config::Forward { to, reconnect, options_records, .. }) => {
            let forward = Forward::new(to, reconnect.0, *options_records, health, metrics.clone());
            return Ok(Box::new(move |backlog| {
                forward.run(backlog);
                Ok(())
            }));
        }
    };
    let plan = Plan {
        path: output.path(),
        slot: role.slot,
        options_records,
        format,
        limits: output.limits(),
        direct: output.is_direct().then_some(DIRECT_OCTETS),
    };
    let opened = FileOutput::open(plan, health, metrics.clone())?;
    Ok(Box::new(move |backlog| opened.run(backlog)))
}

/// Drops what comes until every association task has ended.
fn drain(backlog: &Backlog, metrics: &OutputMetrics, reason: DropReason) {
    loop {
        match backlog.next(DRAIN_LOOK) {
            Next::Share(share) => {
                metrics.discard(reason, share.books.flows);
                backlog.release(&share);
            }
            Next::TimedOut => {}
            Next::Closed => return,
        }
    }
}

impl Writers {
    /// Runs a writer on a thread of its own. An expendable output that stops drops what comes, and the others go on.
    fn spawn(
        &mut self,
        output: &str,
        is_expendable: bool,
        backlog: Backlog,
        metrics: OutputMetrics,
        run: Run,
    ) {
        let output = output.to_owned();
        self.running.spawn_blocking(move || match run(&backlog) {
            Err(error) if is_expendable => {
                warn!(%output, %error, "an output has stopped, its records are dropped");
                drain(&backlog, &metrics, DropReason::Failed);
                Ok(())
            }
            Err(error) => Err(Stopped { output, error }),
            Ok(()) => Ok(()),
        });
    }

    /// Returns what every output counts and how it is, by its name.
    pub(crate) fn books(&self) -> impl Iterator<Item = (&str, &OutputMetrics, &Arc<Health>)> {
        let books = self.books.iter().zip(&self.health);
        books.map(|((name, metrics), health)| (name.as_str(), metrics, health))
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
