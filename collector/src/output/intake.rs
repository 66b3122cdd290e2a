//! Records on their way into one output: what it has already is left out.

use std::ops::Range;
use std::sync::Arc;

use delivery::journal::Fresh;
use delivery::{Holdings, Journal};
use tracing::warn;

use super::batch::{Form, RunKind, Share};
use super::file::Format;
use super::progress::Session;
use crate::metrics::OutputMetrics;

/// What one output has, and wants.
#[derive(Debug)]
pub(super) struct Intake {
    /// Every record taken.
    pub(super) journal: Journal<Session>,
    options_records: bool,
    output: String,
    metrics: OutputMetrics,
}

/// How many records of a share were taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Taken {
    pub(super) flows: u64,
    pub(super) options: u64,
}

impl Intake {
    /// Nothing is taken. `output` names it in the log.
    pub(super) fn new(output: &str, options_records: bool, metrics: OutputMetrics) -> Self {
        Self { journal: Journal::new(Holdings::new()), options_records, output: output.to_owned(), metrics }
    }

    /// Appends to `out` what was not taken before; counts the rest as repeats.
    pub(super) fn take(
        &mut self,
        Share { books, form }: &Share,
        format: &mut dyn Format,
        out: &mut Vec<u8>,
    ) -> Taken {
        let mut taken = Taken::default();
        for (at, run) in books.runs.iter().enumerate() {
            let records = form.run(at);
            match run.kind {
                RunKind::Identified { series, first } => {
                    let numbers = first..first.saturating_add(run.records);
                    let fresh = match self.journal.take(series, numbers.clone()) {
                        Fresh::All => {
                            format.append(out, form, records);
                            run.records
                        }
                        Fresh::Only(fresh) => take_some(numbers, form, records, &fresh, format, out),
                    };
                    taken.flows += fresh;
                    if fresh < run.records {
                        self.metrics.duplicates.increment(run.records - fresh);
                        self.metrics.duplicates_suppressed.increment(run.records - fresh);
                    }
                }
                RunKind::Options if !self.options_records => {}
                RunKind::Options => {
                    format.append(out, form, records);
                    taken.options += run.records;
                }
                RunKind::Plain => {
                    format.append(out, form, records);
                    taken.flows += run.records;
                }
            }
        }
        format.settle(out);
        if self.journal.limit() {
            warn!(output = %self.output, "too many ranges of numbers: repeats of earlier records will not be noticed");
        }
        taken
    }

    /// Notes that the share is told when it is durable.
    pub(super) fn note(&mut self, Share { books, .. }: &Share) {
        self.journal.note(Session(Arc::clone(&books.progress)), books.ticket);
    }
}

/// Appends the records with these numbers; returns how many there are.
fn take_some(
    numbers: Range<u64>,
    form: &Form,
    records: Range<usize>,
    fresh: &[Range<u64>],
    format: &mut dyn Format,
    out: &mut Vec<u8>,
) -> u64 {
    let mut fresh = fresh.iter().cloned().flatten().peekable();
    let (mut taken, mut at) = (0, records.start);
    for number in numbers {
        let end = (at + format.record_length(&form.octets[at..records.end])).min(records.end);
        if fresh.next_if_eq(&number).is_some() {
            format.append(out, form, at..end);
            taken += 1;
        }
        at = end;
    }
    taken
}
