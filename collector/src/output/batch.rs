//! What goes from the sessions to the outputs: records of one session, rendered once in every form an output needs.
//!
//! A session appends each record to every [`Form`]; the outputs share the forms. Runs tell what the records are, so that
//! an output that holds some of them already finds the others.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use delivery::Series;

use super::form::FlowTemplate;
use super::progress::Progress;

/// Consecutive records of one kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) kind: RunKind,
    /// Number of records.
    pub(crate) records: u64,
}

/// What the records of a run are.
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
    /// Returns whether a record of this kind belongs to the run.
    fn continues_with(&self, kind: RunKind) -> bool {
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

/// Records in one form: whole, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Form {
    pub(crate) octets: Vec<u8>,
    /// Where every run but the last ends.
    ends: Vec<usize>,
    /// Where the second half of a record begins: of a biflow that stands here as two uniflows.
    halves: Vec<usize>,
    /// What IPFIX records refer to by its place here.
    templates: Vec<Arc<FlowTemplate>>,
    places: HashMap<Arc<FlowTemplate>, usize>,
    template_octets: usize,
}

impl Form {
    /// Returns where the records of a run are.
    pub(super) fn run(&self, at: usize) -> Range<usize> {
        let end = |at: usize| self.ends.get(at).copied().unwrap_or(self.octets.len());
        at.checked_sub(1).map_or(0, end)..end(at)
    }

    /// Returns what IPFIX records refer to by its place.
    pub(crate) fn templates(&self) -> &[Arc<FlowTemplate>] {
        &self.templates
    }

    /// Returns the place of a template. One that is there already, told by its content, is not there again: a session whose
    /// templates are too many to be remembered makes them anew for each record.
    pub(crate) fn place(&mut self, template: &Arc<FlowTemplate>) -> usize {
        if let Some(&place) = self.places.get(template) {
            return place;
        }
        let place = self.templates.len();
        self.template_octets += template.memory() + 2 * size_of::<usize>();
        self.templates.push(Arc::clone(template));
        self.places.insert(Arc::clone(template), place);
        place
    }

    /// The octets to come are the second half of the last record.
    pub(crate) fn begin_second_half(&mut self) {
        self.halves.push(self.octets.len());
    }

    /// Returns how many records in this range have two halves.
    pub(crate) fn halved(&self, range: &Range<usize>) -> u64 {
        let before = |end: usize| self.halves.partition_point(|&half| half < end);
        // A half begins behind the start of its record.
        (before(range.end) - before(range.start)) as u64
    }

    /// Whether the second half of a record begins here.
    pub(crate) fn is_half(&self, at: usize) -> bool {
        self.halves.binary_search(&at).is_ok()
    }

    /// Octets it takes in memory, about.
    fn octets(&self) -> usize {
        let places = self.ends.len() + self.halves.len();
        self.octets.len() + places * size_of::<usize>() + self.template_octets
    }
}

/// Records that were rendered and are not yet in a [`Batch`].
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    /// In the order of [`Forms`](super::form::Forms).
    pub(crate) forms: Vec<Form>,
    runs: Vec<Run>,
    flows: u64,
}

impl Rendered {
    /// Nothing, with room for as much as this has.
    fn alike(&self) -> Self {
        let form = |form: &Form| Form { octets: Vec::with_capacity(form.octets.len()), ..Form::default() };
        Self { forms: self.forms.iter().map(form).collect(), ..Self::default() }
    }

    /// Takes what is there, leaving as much room as was needed.
    pub(crate) fn take(&mut self) -> Self {
        let empty = self.alike();
        std::mem::replace(self, empty)
    }

    /// The next record, not yet appended to any form, is of this kind.
    #[inline]
    pub(crate) fn begin(&mut self, kind: RunKind) {
        self.flows += u64::from(kind != RunKind::Options);
        match self.runs.last_mut() {
            Some(run) if run.continues_with(kind) => return run.records += 1,
            Some(_) => self.forms.iter_mut().for_each(|form| form.ends.push(form.octets.len())),
            None => {}
        }
        self.runs.push(Run { kind, records: 1 });
    }

    /// Octets in all forms.
    pub(crate) fn octets(&self) -> usize {
        self.forms.iter().map(|form| form.octets.len() + form.template_octets).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Number of flow records.
    pub(crate) fn flows(&self) -> u64 {
        self.flows
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }
}

/// Records of one session, in the order received, for all outputs.
#[derive(Debug)]
pub(crate) struct Batch {
    books: Arc<Books>,
    forms: Vec<Arc<Form>>,
}

/// What the records of a batch are.
#[derive(Debug)]
pub(super) struct Books {
    /// They cover each form without a gap.
    pub(super) runs: Vec<Run>,
    /// Number of flow records.
    pub(super) flows: u64,
    /// Who is told when the batch is durable.
    pub(super) progress: Arc<Progress>,
    /// Number of this batch in its session, from 1.
    pub(super) ticket: u64,
}

/// The part of a batch that one output gets.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) books: Arc<Books>,
    pub(super) form: Arc<Form>,
}

impl Batch {
    pub(crate) fn new(rendered: Rendered, progress: Arc<Progress>, ticket: u64) -> Self {
        let Rendered { forms, runs, flows } = rendered;
        let forms = forms.into_iter().map(Arc::new).collect();
        Self { books: Arc::new(Books { runs, flows, progress, ticket }), forms }
    }

    /// Returns what an output gets that needs the form at this place.
    pub(super) fn share(&self, form: usize) -> Share {
        let form = self.forms.get(form).map(Arc::clone).unwrap_or_default();
        Share { books: Arc::clone(&self.books), form }
    }
}

impl Share {
    /// Octets the share takes in memory, about.
    pub(super) fn octets(&self) -> usize {
        size_of::<Books>() + self.form.octets() + self.books.runs.len() * size_of::<Run>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_has_its_part_of_every_form() {
        let mut rendered = Rendered { forms: vec![Form::default(), Form::default()], ..Rendered::default() };
        for (kind, text) in [(RunKind::Plain, "a"), (RunKind::Plain, "b"), (RunKind::Options, "c")] {
            rendered.begin(kind);
            rendered.forms[0].octets.extend_from_slice(text.as_bytes());
            if kind == RunKind::Plain {
                rendered.forms[1].octets.extend_from_slice(b"xyz");
            }
        }
        assert_eq!((rendered.flows, rendered.runs.len()), (2, 2));
        assert_eq!((rendered.forms[0].run(0), rendered.forms[0].run(1)), (0..2, 2..3));
        assert_eq!((rendered.forms[1].run(0), rendered.forms[1].run(1)), (0..6, 6..6));
    }
}
