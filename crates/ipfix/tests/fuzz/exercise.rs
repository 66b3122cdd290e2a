//! What the fuzz targets `ipfix_message`, `ipfix_session` and `ipfix_round_trip` do with octets, and `tests/fuzz` with octets of
//! plain seeds.

use std::collections::BTreeMap;

use ipfix::{
    BiflowSplitter, CollectingConfig, CollectingSession, ExportingConfig, ExportingSession, Field, List,
    Record, SubTemplates, TemplateRecord, Transport, Visitor, view,
};

/// Templates a session may keep here, and octets of memory for them.
const MAX_TEMPLATES: usize = 24;
const MAX_OCTETS: usize = 16 << 10;

/// Reads every field in every way.
#[derive(Debug, Default)]
struct ReadAll {
    records: usize,
    other: usize,
}

impl ReadAll {
    fn field(&mut self, field: &Field<'_>, sub_templates: SubTemplates<'_>) {
        assert!(field.value().to_string().len() < 1 << 20);
        match sub_templates.list(field) {
            None => {}
            Some(List::Basic(list)) => list.values().for_each(|value| self.field(&value, sub_templates)),
            Some(List::SubTemplate(part)) => {
                part.records().flatten().for_each(|field| self.field(&field, sub_templates));
            }
            Some(List::SubTemplateMulti(list)) => {
                let records = list.parts().flat_map(|part| part.records());
                records.flatten().for_each(|field| self.field(&field, sub_templates));
            }
        }
    }
}

impl Visitor for ReadAll {
    fn record(&mut self, record: &Record<'_>) {
        self.records += 1;
        record.fields().for_each(|field| self.field(&field, record.sub_templates));
        assert_eq!(record.fields().count(), record.template.fields().len(), "a visited record is whole");
        record.references(|at, template| {
            let named = u16::from_be_bytes([record.octets[at], record.octets[at + 1]]);
            assert!(template.is_none_or(|template| template.id() == named));
        });
        if self.records < 100 {
            BiflowSplitter::new(1 << 16).split(record, |uniflow, _| {
                assert!(uniflow.octets.len() <= record.octets.len());
                assert_eq!(uniflow.fields().count(), uniflow.template.fields().len(), "a uniflow is whole");
                uniflow.fields().for_each(|field| self.field(&field, uniflow.sub_templates));
            });
        }
    }

    fn no_template(&mut self, _domain: u32, _set_id: u16, _octets: &[u8]) {
        self.other += 1;
    }
}

fn state(session: &CollectingSession) -> Vec<(u32, u64, TemplateRecord)> {
    session.templates().map(|(domain, template)| (domain, template.serial(), template.to_record())).collect()
}

fn limited(transport: Transport) -> CollectingSession {
    CollectingSession::new(CollectingConfig {
        transport,
        max_templates: MAX_TEMPLATES,
        max_template_octets: MAX_OCTETS,
        max_sequences: 4,
    })
}

/// Decodes a message: one that is refused leaves no trace, and tells an octet that is there. Returns whether it was accepted.
fn decode(session: &mut CollectingSession, stream: u16, octets: &[u8]) -> bool {
    let before = state(session);
    let mut read = ReadAll::default();
    let accepted = match session.decode(stream, octets, &mut read) {
        Ok(summary) => {
            assert_eq!(summary.data_records() as usize, read.records);
            assert_eq!(summary.no_template_sets as usize, read.other);
            true
        }
        Err(error) => {
            assert!(error.offset() <= octets.len(), "{error}");
            assert_eq!((read.records, read.other), (0, 0), "visited although refused");
            assert_eq!(state(session), before, "changed although refused");
            false
        }
    };
    assert!(session.templates().count() <= MAX_TEMPLATES);
    assert!(session.template_octets() <= MAX_OCTETS);
    accepted
}

/// One message to a session that knows nothing, twice: the second time its templates are known. Returns whether it was accepted.
pub(crate) fn message(octets: &[u8]) -> bool {
    let mut accepted = false;
    for transport in [Transport::Reliable, Transport::Udp] {
        let mut session = limited(transport);
        accepted = decode(&mut session, 0, octets);
        // Once its templates are known its data may turn out malformed.
        decode(&mut session, 1, octets);
        let _ = view::message(&mut session, 0, octets);
    }
    accepted
}

/// A story of one session in both kinds of transport: each message is preceded by an octet that says what else happens and on which
/// stream it comes, and by its length. Returns how many messages were accepted.
pub(crate) fn session(mut story: &[u8]) -> usize {
    let mut sessions = [Transport::Reliable, Transport::Udp].map(limited);
    let mut accepted = 0;
    let mut seconds = 0;
    while let [what, high, low, rest @ ..] = story {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (message, behind) = rest.split_at(length);
        story = behind;
        let stream = u16::from(what & 3);
        for session in &mut sessions {
            match what >> 2 {
                1 => session.restart(),
                2 => drop(session.expire_templates(seconds)),
                3 => session.tell_unordered(stream),
                4 => session.ignore_sequence(stream, 1),
                5 => drop(session.settle()),
                6 => session.set_received(seconds),
                _ => {}
            }
            accepted += usize::from(decode(session, stream, message));
        }
        seconds += u32::from(*what);
    }
    accepted
}

/// The templates and records of a message, by template in the order of their definitions.
#[derive(Debug, Default)]
struct Collected(BTreeMap<u64, (TemplateRecord, Vec<Vec<u8>>)>);

impl Visitor for Collected {
    fn record(&mut self, record: &Record<'_>) {
        // Lists name templates by ids, which change on the way.
        if !record.template.has_lists() {
            let of = self.0.entry(record.template.serial());
            of.or_insert_with(|| (record.template.to_record(), Vec::new())).1.push(record.octets.to_vec());
        }
    }
}

/// What is decoded of a message is exported and decoded again: the same records come out. Returns how many.
pub(crate) fn round_trip(octets: &[u8]) -> usize {
    let mut first = Collected::default();
    if limited(Transport::Reliable).decode(0, octets, &mut first).is_err() {
        return 0;
    }
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 1400 });
    for (id, (template, records)) in (256..).zip(first.0.values_mut()) {
        template.id = id;
        exporting.define(0, template.clone()).expect("what a collector takes may be exported");
        for record in records {
            exporting.record(0, id, record, 0).expect("a record of its template");
        }
    }
    exporting.flush_all(0);
    let (mut again, mut session) = (Collected::default(), limited(Transport::Reliable));
    while let Some(message) = exporting.poll_message() {
        let summary =
            session.decode(0, &message.octets, &mut again).expect("what is exported is well formed");
        assert_eq!((summary.data_records(), summary.no_template_sets), (message.records, 0));
    }
    let (first, again): (Vec<_>, Vec<_>) = (first.0.into_values().collect(), again.0.into_values().collect());
    assert_eq!(first, again);
    first.iter().map(|(_, records)| records.len()).sum()
}
