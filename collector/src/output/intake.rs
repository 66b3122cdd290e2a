//! Records on their way into one output: what it has already is left out.

use std::ops::{AddAssign, Range};
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

/// How many records were taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Taken {
    pub(super) flows: u64,
    /// Of `flows`, those that were biflows and are two uniflows here.
    pub(super) split: u64,
    pub(super) options: u64,
}

impl AddAssign for Taken {
    fn add_assign(&mut self, Self { flows, split, options }: Self) {
        self.flows += flows;
        self.split += split;
        self.options += options;
    }
}

impl Taken {
    /// Counts them as written.
    pub(super) fn count(self, metrics: &OutputMetrics) {
        metrics.written.increment(self.flows);
        metrics.split.increment(self.split);
        metrics.options.increment(self.options);
    }
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
                        Fresh::All => whole(form, records, run.records, format, out),
                        Fresh::Only(fresh) => some(numbers, form, records, &fresh, format, out),
                    };
                    taken += fresh;
                    let repeated = run.records - fresh.flows;
                    if repeated > 0 {
                        self.metrics.duplicates.increment(repeated);
                        self.metrics.duplicates_suppressed.increment(repeated);
                    }
                }
                RunKind::Options if !self.options_records => {}
                RunKind::Options => {
                    format.append(out, form, records);
                    taken.options += run.records;
                }
                RunKind::Plain => taken += whole(form, records, run.records, format, out),
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

/// Appends a run of so many flow records.
fn whole(
    form: &Form,
    records: Range<usize>,
    flows: u64,
    format: &mut dyn Format,
    out: &mut Vec<u8>,
) -> Taken {
    let split = form.halved(&records);
    format.append(out, form, records);
    Taken { flows, split, options: 0 }
}

/// Appends the records with these numbers.
fn some(
    numbers: Range<u64>,
    form: &Form,
    records: Range<usize>,
    fresh: &[Range<u64>],
    format: &mut dyn Format,
    out: &mut Vec<u8>,
) -> Taken {
    let mut fresh = fresh.iter().cloned().flatten().peekable();
    let (mut taken, mut at) = (Taken::default(), records.start);
    for number in numbers {
        let after = |at: usize| (at + format.record_length(&form.octets[at..records.end])).min(records.end);
        let half = after(at);
        let is_split = half < records.end && form.is_half(half);
        let end = if is_split { after(half) } else { half };
        if fresh.next_if_eq(&number).is_some() {
            taken += Taken { flows: 1, split: u64::from(is_split), options: 0 };
            format.append(out, form, at..end);
        }
        at = end;
    }
    taken
}

#[cfg(test)]
mod tests {
    use delivery::{Epoch, Ledger, Series};

    use super::super::batch::{Batch, Rendered};
    use super::super::lines::Lines;
    use super::*;

    const SERIES: Series = Series { ledger: Ledger([0xa1; 16]), epoch: Epoch(3), domain: 7 };

    /// A share of records with these numbers; the odd ones have two lines.
    fn share(numbers: Range<u64>) -> Share {
        let mut rendered = Rendered::default();
        rendered.forms.push(Form::default());
        for number in numbers {
            rendered.begin(RunKind::Identified { series: SERIES, first: number });
            let form = &mut rendered.forms[0];
            form.octets.extend_from_slice(format!("{number}\n").as_bytes());
            if number % 2 == 1 {
                form.begin_second_half();
                form.octets.extend_from_slice(format!("{number} back\n").as_bytes());
            }
        }
        Batch::new(rendered, super::super::Progress::new(0), 1).share(0)
    }

    #[test]
    fn a_record_of_two_halves_is_taken_once_and_whole() {
        let metrics = OutputMetrics::new("split", 1, false);
        let mut intake = Intake::new("split", true, metrics.clone());
        let (mut lines, mut out) = (Lines::json(), Vec::new());
        let taken = intake.take(&share(3..6), &mut lines, &mut out);
        assert_eq!(taken, Taken { flows: 3, split: 2, options: 0 });
        assert_eq!(out, b"3\n3 back\n4\n5\n5 back\n");
        out.clear();
        let taken = intake.take(&share(1..9), &mut lines, &mut out);
        assert_eq!(taken, Taken { flows: 5, split: 2, options: 0 });
        assert_eq!(out, b"1\n1 back\n2\n6\n7\n7 back\n8\n");
        assert_eq!(metrics.duplicates.total(), 3);
    }
}
