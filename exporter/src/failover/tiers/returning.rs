//! Messages from the spool back into retention.
//!
//! They come with the templates of the process that appended them, which may have been of another version: templates that
//! are not ours get identifiers of their own, and are sent along with their records.

use std::borrow::Cow;
use std::sync::Arc;

use delivery::retention::PushError;
use delivery::{ExporterState, Retention, Series, SessionRecord};
use ipfix::{CollectingConfig, CollectingSession, Header, Record, Template, TemplateRecord, Visitor};

use crate::export::templates::{UNTOLD, foreign_ids};
use crate::export::{Classes, Templates};
use crate::spooling::Returned;

#[derive(Debug)]
pub(super) struct Returning {
    owner: ExporterState,
    domain: u32,
    /// This version's.
    ours: Templates,
    /// The templates that `session` knows.
    known: Arc<[u8]>,
    session: CollectingSession,
    /// By which identifier records of a template are sent, by the template's serial number.
    identifiers: Vec<(u64, Option<u16>)>,
    /// Templates of other versions, by their new identifiers.
    foreign: Vec<TemplateRecord>,
}

impl Returning {
    /// `owner` and `domain`: whose records come back. `ours`: the templates that need no identifiers of their own.
    pub(super) fn new(owner: ExporterState, domain: u32, ours: Templates) -> Self {
        let session = CollectingSession::new(CollectingConfig::default());
        let known = Arc::default();
        Self { owner, domain, ours, known, session, identifiers: Vec::new(), foreign: Vec::new() }
    }

    /// Takes over templates that were learned since.
    pub(super) fn follow_templates(&mut self, templates: &Templates) {
        self.ours.follow(templates);
    }

    /// Returns the series of this start's records of a domain.
    pub(super) const fn series(&self, domain: u32) -> Series {
        let ExporterState { ledger, epoch } = self.owner;
        Series { ledger, epoch, domain }
    }

    /// Returns the templates of other versions, in the order in which they came up.
    pub(super) fn foreign(&self) -> &[TemplateRecord] {
        &self.foreign
    }

    /// Puts the records of a message into retention, which has room for them; returns how many could be read.
    pub(super) fn restore(&mut self, message: &Returned, retention: &mut Retention) -> u64 {
        let Self { owner, domain, ours, known, session, identifiers, foreign } = self;
        let is_known = *known == message.templates;
        if !is_known {
            *session = CollectingSession::new(CollectingConfig::default());
            *known = Arc::clone(&message.templates);
            identifiers.clear();
        }
        let mut records =
            Records { owner: *owner, ours, series: None, retention, identifiers, foreign, restored: 0 };
        // What cannot be read is missing from the records restored, and counted by the caller.
        if !is_known {
            session.decode(0, &framed(*domain, &message.templates), &mut records).ok();
        }
        session.decode(0, &framed(*domain, &message.sets), &mut records).ok();
        records.restored
    }
}

/// Returns the sets as a message.
fn framed(domain: u32, sets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(Header::LENGTH + sets.len()).unwrap_or(u16::MAX);
    let header = Header { length, export_time: 0, sequence: 0, domain };
    let mut octets = header.to_octets().to_vec();
    octets.extend_from_slice(sets);
    octets
}

/// The records of one message.
struct Records<'a> {
    owner: ExporterState,
    ours: &'a Templates,
    /// Of the next flow record: its series and number.
    series: Option<(Series, u64)>,
    retention: &'a mut Retention,
    identifiers: &'a mut Vec<(u64, Option<u16>)>,
    foreign: &'a mut Vec<TemplateRecord>,
    restored: u64,
}

impl Visitor for Records<'_> {
    fn record(&mut self, record: &Record<'_>) {
        if record.template.is_options() {
            let fields = record.fields().map(|field| (field.pen(), field.id(), field.octets()));
            if let Ok(session) = SessionRecord::from_fields(record.domain, fields) {
                self.series = Some((session.series, session.first_number));
            }
            return;
        }
        let Some((series, number)) = self.series else { return };
        self.series = Some((series, number + 1));
        if series.ledger == self.owner.ledger
            && let Some(template) = self.identifier(record.template)
        {
            let octets = self.renamed(record);
            self.restored += u64::from(self.put_back(series, number, template, &octets).is_ok());
        }
    }
}

impl Records<'_> {
    fn put_back(
        &mut self,
        series: Series,
        number: u64,
        template: u16,
        octets: &[u8],
    ) -> Result<(), PushError> {
        if series.epoch == self.owner.epoch {
            self.retention.return_spooled(series.domain, number, template, octets)
        } else {
            self.retention.restore(series.epoch, series.domain, number, template, octets)
        }
    }

    /// Returns the record's octets, its lists with the identifiers that the templates they name have here.
    fn renamed<'a>(&mut self, record: &Record<'a>) -> Cow<'a, [u8]> {
        if !record.template.has_lists() {
            return Cow::Borrowed(record.octets);
        }
        let mut octets = record.octets.to_vec();
        record.references(|at, template| {
            let id = template.and_then(|template| self.identifier(template)).unwrap_or(UNTOLD);
            octets[at..at + 2].copy_from_slice(&id.to_be_bytes());
        });
        Cow::Owned(octets)
    }

    fn identifier(&mut self, template: &Template) -> Option<u16> {
        let serial = template.serial();
        if let Some((_, id)) = self.identifiers.iter().find(|(known, _)| *known == serial) {
            return *id;
        }
        let id = self.give_identifier(template);
        self.identifiers.push((serial, id));
        id
    }

    /// Returns by which identifier records of this template are sent; none when there are too many.
    fn give_identifier(&mut self, template: &Template) -> Option<u16> {
        if let Some(ours) = self.ours.records(Classes::RELIABLE_STREAM).find(|ours| is(template, ours)) {
            return Some(ours.id);
        }
        if let Some(known) = self.foreign.iter().find(|known| is(template, known)) {
            return Some(known.id);
        }
        let id = foreign_ids(Classes::RELIABLE_STREAM).nth(self.foreign.len())?;
        self.foreign.push(TemplateRecord { id, ..template.to_record() });
        Some(id)
    }
}

/// Tells whether a template has the fields of this one.
fn is(template: &Template, record: &TemplateRecord) -> bool {
    let fields = template.fields().iter().map(ipfix::PlanField::specifier);
    template.scope_fields() == record.scope_fields && fields.eq(record.fields.iter().copied())
}
