//! Options records of other exporters, which a relay passes on (RFC 7119 section 5.5): the last that each told of a subject, told to every
//! collector before the flow records that follow, and again to the next one.
//!
//! They are bounded in octets: beyond that no new subject is taken, and what is known of others may still change.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::buffer::Buffer;
use super::session::{Moment, Session};
use super::{Carrier, Failover};
use crate::export::options::OptionsRecord;
use crate::export::{TemplateIndex, Templates};

/// Octets of all of them, with what is kept beside each.
const MAX_OCTETS: usize = 1 << 20;
/// What each costs beside its octets, about: it stands in two tables, its subject in both.
const OVERHEAD: usize = 160;
/// How many are packed at once.
const AT_ONCE: usize = 64;

/// The records, in the order in which they were told.
#[derive(Debug, Default)]
pub(super) struct Passed {
    templates: Templates,
    records: BTreeMap<u64, Told>,
    /// When each subject was told of last.
    subjects: BTreeMap<Arc<[u8]>, u64>,
    next: u64,
    octets: usize,
    refused: u64,
}

#[derive(Debug)]
struct Told {
    template: TemplateIndex,
    subject: Arc<[u8]>,
    octets: Box<[u8]>,
}

impl Told {
    fn cost(&self) -> usize {
        OVERHEAD + self.subject.len() + self.octets.len()
    }
}

impl Passed {
    fn take(&mut self, template: TemplateIndex, scope: usize, octets: &[u8]) {
        let place = template.id(0).to_be_bytes();
        let subject: Arc<[u8]> = [&place, octets.get(..scope).unwrap_or(octets)].concat().into();
        let known = self.subjects.get(&subject).copied();
        let before = known.and_then(|at| self.records.get(&at));
        if before.is_some_and(|before| *before.octets == *octets) {
            return;
        }
        let told = Told { template, subject, octets: octets.into() };
        let sum = self.octets - before.map_or(0, Told::cost) + told.cost();
        if sum > MAX_OCTETS {
            self.refused += 1;
            return;
        }
        self.octets = sum;
        if let Some(at) = known {
            self.records.remove(&at);
        }
        self.subjects.insert(Arc::clone(&told.subject), self.next);
        self.records.insert(self.next, told);
        self.next += 1;
    }

    /// Returns records that were told at `from` or later, the first of them, and where to go on.
    fn from(&self, from: u64) -> (Vec<OptionsRecord>, u64) {
        let some = self.records.range(from..).take(AT_ONCE);
        let next = some.clone().last().map_or(self.next, |(at, _)| at + 1);
        let record =
            |told: &Told| OptionsRecord::passed(self.templates.record(told.template, 0), &told.octets);
        (some.map(|(_, told)| record(told)).collect(), next)
    }

    const fn has_news(&self, known: u64) -> bool {
        known < self.next
    }
}

impl Failover {
    /// Takes over templates of options records that are passed on: `templates` is the table so far and more.
    pub fn follow_options_templates(&mut self, templates: &Templates) {
        self.passed.templates.follow(templates);
    }

    /// Takes an options record of another exporter, to be told to this collector and those to come. Its first `scope` octets are
    /// what it is about: a record about the same takes the place of the one before.
    pub fn pass_on(&mut self, template: TemplateIndex, scope: usize, record: &[u8]) {
        self.passed.take(template, scope, record);
    }

    /// Returns how many options records of other exporters are kept, and how many were refused because there were too many.
    pub fn passed(&self) -> (usize, u64) {
        (self.passed.records.len(), self.passed.refused)
    }
}

impl Session {
    /// Sends some of what other exporters told since.
    pub(super) fn pass_on(&mut self, moment: Moment, buffer: &mut Buffer, passed: &Passed) {
        if passed.has_news(self.passed) {
            let (records, next) = passed.from(self.passed);
            self.passed = next;
            self.tell_records(moment, buffer, &records);
        }
    }

    /// Returns the messages of all that other exporters told, for a collector that stands by; over one stream it gets them when it is needed.
    pub(super) fn pass_on_in_advance(&mut self, moment: Moment, passed: &Passed) {
        while self.carrier == Carrier::Streams && passed.has_news(self.passed) {
            let (records, next) = passed.from(self.passed);
            self.passed = next;
            let messages = self.control_stream.options(&records, moment.export_time);
            self.control.extend(messages);
        }
    }
}
