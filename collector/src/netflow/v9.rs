//! Version 9 (RFC 3954): sets stay sets, templates become IPFIX templates, records are copied, their times made absolute.
//!
//! Options templates count their scope and fields in octets, IPFIX in fields. A scope is what RFC 3954 section 6.1 lists;
//! it becomes the element that identifies such a thing:
//!
//! | scope | element |
//! |---|---|
//! | 1 System | exportingProcessId |
//! | 2 Interface | ingressInterface |
//! | 3 Line Card | lineCardId |
//! | 4 Cache | meteringProcessId |
//! | 5 Template | templateId |
//!
//! Exporters also use element numbers as scopes; those above 5 are read so.

use ipfix::{FIRST_TEMPLATE_ID, FieldSpecifier, OPTIONS_TEMPLATE_SET, TEMPLATE_SET, TemplateRecord};
use netflow_parser::variable_versions::v9::{FlowSetBody, OptionsTemplate, Template, V9};

use super::clock::Clock;
use super::messages::{MAX_SET, Messages};
use super::templates::{MAX_TIMES, Plan};
use super::{MAX_DOMAINS, Read, Source, VENDOR_PEN};

const HEADER: usize = 20;
const SET_HEADER: usize = 4;

/// LAST_SWITCHED and FIRST_SWITCHED, and what they become.
const TIMES: [(u16, u16); 2] = [(21, 153), (22, 152)];

/// A datagram on its way.
struct Translation<'a> {
    out: &'a mut Messages,
    source: &'a mut Source,
    domain: u32,
    clock: Clock,
    /// When it was received, and how long templates live.
    times: (u32, u32),
    read: Read,
}

/// Translates `packet`, which was parsed from `datagram`.
pub(super) fn translate(
    out: &mut Messages,
    source: &mut Source,
    datagram: &[u8],
    packet: &V9,
    times: (u32, u32),
) -> Read {
    let header = &packet.header;
    let domain = header.source_id;
    let mut read = Read { uncounted: Some(domain), ..Read::default() };
    if source.datagrams.len() < MAX_DOMAINS || source.datagrams.contains_key(&domain) {
        let datagrams = source.datagrams.entry(domain).or_default();
        let shown = datagrams.follow(header.sequence_number, header.count.into());
        (read.lost, read.late) = (shown.lost, shown.late);
    }
    // The session must conclude nothing from numbers that do not count records.
    out.begin(header.unix_secs, 0, domain);
    let clock = Clock::new(header.unix_secs, 0, header.sys_up_time);
    let mut translation = Translation { out, source, domain, clock, times, read };
    let mut at = HEADER;
    for set in &packet.flowsets {
        let end = at + usize::from(set.header.length);
        let octets = datagram.get(at + SET_HEADER..end).unwrap_or_default();
        match &set.body {
            FlowSetBody::Template(set) => {
                translation.out.set(TEMPLATE_SET);
                let kept = set.templates.iter().map(|template| 4 + 4 * template.fields.len()).sum();
                translation.refuse_unless(kept, set.padding.len(), octets.len());
                set.templates.iter().for_each(|template| translation.template(template));
            }
            FlowSetBody::OptionsTemplate(set) => {
                translation.out.set(OPTIONS_TEMPLATE_SET);
                let fields =
                    |template: &OptionsTemplate| template.scope_fields.len() + template.option_fields.len();
                let kept = set.templates.iter().map(|template| 6 + 4 * fields(template)).sum();
                translation.refuse_unless(kept, set.padding.len(), octets.len());
                set.templates.iter().for_each(|template| translation.options_template(template));
            }
            FlowSetBody::Data(_) | FlowSetBody::OptionsData(_) | FlowSetBody::NoTemplate(_) => {
                translation.data(set.header.flowset_id, octets);
            }
            // Reserved.
            FlowSetBody::Empty => {}
        }
        at = end;
    }
    translation.read
}

impl Translation<'_> {
    /// Counts templates that the parser has left out: what it kept and the padding do not add up to the set.
    fn refuse_unless(&mut self, kept: usize, padding: usize, octets: usize) {
        self.read.templates_refused += u32::from(kept + padding < octets);
    }

    fn template(&mut self, template: &Template) {
        let fields = template.fields.iter().map(|field| (field.field_type_number, field.field_length));
        self.define(template.template_id, &[], &fields.collect::<Vec<_>>());
    }

    fn options_template(&mut self, template: &OptionsTemplate) {
        let scopes = template.scope_fields.iter();
        let scopes = scopes.map(|field| (field.field_type_number, field.field_length));
        let fields = template.option_fields.iter().map(|field| (field.field_type_number, field.field_length));
        self.define(template.template_id, &scopes.collect::<Vec<_>>(), &fields.collect::<Vec<_>>());
    }

    fn define(&mut self, id: u16, scopes: &[(u16, u16)], fields: &[(u16, u16)]) {
        let has_absolute = fields.iter().any(|(kind, _)| TIMES.iter().any(|(_, absolute)| kind == absolute));
        let mut specifiers: Vec<_> = scopes.iter().map(|&(kind, length)| scope(kind, length)).collect();
        let mut offset: usize = scopes.iter().map(|&(_, length)| usize::from(length)).sum();
        let mut times = Vec::new();
        for &(kind, length) in fields {
            let absolute =
                TIMES.iter().find(|(relative, _)| *relative == kind).map(|(_, absolute)| *absolute);
            let specifier = match absolute {
                Some(absolute) if length == 4 && !has_absolute && times.len() < MAX_TIMES => {
                    times.push(offset);
                    FieldSpecifier::iana(absolute, 8)
                }
                _ => element(kind, length),
            };
            specifiers.push(specifier);
            offset += usize::from(length);
        }
        let longest = offset + 4 * times.len();
        let scope_fields = u16::try_from(scopes.len()).unwrap_or(u16::MAX);
        let record = TemplateRecord { id, scope_fields, fields: specifiers };
        let fits = id >= FIRST_TEMPLATE_ID && longest <= MAX_SET && record.wire_length() <= MAX_SET;
        let plan = Plan::new(offset, &times);
        if fits && self.source.templates.define((self.domain, id), plan, self.times) {
            record.encode(self.out.room(record.wire_length()));
        } else {
            self.read.templates_refused += 1;
        }
    }

    /// Copies a data set, with absolute times.
    fn data(&mut self, id: u16, octets: &[u8]) {
        self.out.set(id);
        let Some(plan) = self.source.templates.plan((self.domain, id)) else {
            self.out.room(octets.len()).extend_from_slice(octets);
            return;
        };
        for record in octets.chunks_exact(plan.length) {
            let out = self.out.room(plan.length + 4 * plan.times().len());
            let mut copied = 0;
            for &at in plan.times() {
                out.extend_from_slice(&record[copied..at]);
                let time = record[at..].first_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
                out.extend_from_slice(&self.clock.absolute(time).to_be_bytes());
                copied = at + 4;
            }
            out.extend_from_slice(&record[copied..]);
        }
    }
}

/// Returns the element of a field type.
fn element(kind: u16, length: u16) -> FieldSpecifier {
    if kind < 0x8000 {
        FieldSpecifier::iana(kind, length)
    } else {
        FieldSpecifier { pen: VENDOR_PEN, id: kind & 0x7fff, length }
    }
}

/// Returns the element of a scope.
fn scope(kind: u16, length: u16) -> FieldSpecifier {
    let kind = match kind {
        1 => 144,
        2 => 10,
        3 => 141,
        4 => 143,
        5 => 145,
        other => other,
    };
    element(kind, length)
}
