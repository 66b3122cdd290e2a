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
//!
//! Deliberate leniency: zeros behind the last FlowSet are padding. Fields of variable length, which RFC 3954 does not have, are
//! read as in IPFIX (RFC 7011 section 7); times by uptime stay what they are in such records.

use std::ops::Range;

use ipfix::{
    FIRST_TEMPLATE_ID, FieldSpecifier, OPTIONS_TEMPLATE_SET, TEMPLATE_SET, TemplateRecord, VARIABLE,
};
use netflow_parser::variable_versions::v9::{FlowSetBody, OptionsTemplate, Template, V9};

use super::clock::Clock;
use super::messages::{MAX_SET, Messages};
use super::templates::{MAX_TIMES, Plan};
use super::{MAX_DOMAINS, NetflowError, Read, Source, VENDOR_PEN};

pub(super) const HEADER: usize = 20;
const SET_HEADER: usize = 4;

/// LAST_SWITCHED and FIRST_SWITCHED, and what they become.
const TIMES: [(u16, u16); 2] = [(21, 153), (22, 152)];

/// Checks that FlowSets fill a datagram, and returns it as the parser takes it: without the padding at its end, and with
/// one octet in place of a variable length, which it would refuse together with all the rest of the datagram.
pub(super) fn prepare<'a>(datagram: &'a [u8], prepared: &'a mut Vec<u8>) -> Result<&'a [u8], NetflowError> {
    let mut at = HEADER;
    let mut variable = Vec::new();
    while let Some(&[id0, id1, length0, length1]) = datagram.get(at..).and_then(<[u8]>::first_chunk) {
        let (id, length) = (u16::from_be_bytes([id0, id1]), u16::from_be_bytes([length0, length1]));
        let rest = &datagram[at..];
        if rest.iter().all(|octet| *octet == 0) {
            break;
        }
        if usize::from(length) < SET_HEADER || usize::from(length) > rest.len() {
            return Err(NetflowError::SetLength { offset: at + 2, length, octets: rest.len() });
        }
        let end = at + usize::from(length);
        if id == 0 || id == 1 {
            for record in Raw::new(&datagram[at + SET_HEADER..end], id == 1) {
                let start = at + SET_HEADER + record.offset;
                let fields = record.fields.chunks_exact(4).enumerate();
                let is_variable = |field: &[u8]| field[2..] == VARIABLE.to_be_bytes();
                variable
                    .extend(fields.filter(|(_, field)| is_variable(field)).map(|(n, _)| start + 4 * n + 2));
            }
        }
        at = end;
    }
    let rest = datagram.get(at..).unwrap_or_default();
    if at == HEADER {
        return Err(NetflowError::Header { octets: datagram.len() });
    }
    if rest.iter().any(|octet| *octet != 0) {
        return Err(NetflowError::Trailing { offset: at, octets: rest.len() });
    }
    if variable.is_empty() {
        return Ok(&datagram[..at]);
    }
    prepared.clear();
    prepared.extend_from_slice(&datagram[..at]);
    variable.iter().for_each(|&at| prepared[at..at + 2].copy_from_slice(&[0, 1]));
    Ok(prepared)
}

/// The records of a template set, as they are on the wire.
struct Raw<'a> {
    octets: &'a [u8],
    at: usize,
    options: bool,
}

struct RawRecord<'a> {
    id: u16,
    /// Where its fields begin in the set's content.
    offset: usize,
    /// Kind and length of each.
    fields: &'a [u8],
}

impl<'a> Raw<'a> {
    const fn new(octets: &'a [u8], options: bool) -> Self {
        Self { octets, at: 0, options }
    }
}

impl<'a> Iterator for Raw<'a> {
    type Item = RawRecord<'a>;

    fn next(&mut self) -> Option<RawRecord<'a>> {
        let word = |at: usize| {
            let octets = self.octets.get(self.at + at..)?.first_chunk()?;
            Some(usize::from(u16::from_be_bytes(*octets)))
        };
        let (header, length) = if self.options { (6, word(2)? + word(4)?) } else { (4, word(2)? * 4) };
        let id = u16::try_from(word(0)?).ok()?;
        let offset = self.at + header;
        let fields = self.octets.get(offset..offset + length)?;
        self.at = offset + length;
        Some(RawRecord { id, offset, fields })
    }
}

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

/// Translates `packet`, which was parsed from `datagram`. `again`: it was held back, its sequence number is of the past. Where
/// sets are whose template is not known goes to `unknown`.
pub(super) fn translate(
    out: &mut Messages,
    source: &mut Source,
    datagram: &[u8],
    packet: &V9,
    times: (u32, u32),
    again: bool,
    unknown: &mut Vec<Range<usize>>,
) -> Read {
    let header = &packet.header;
    let domain = header.source_id;
    let mut read = Read { uncounted: Some(domain), ..Read::default() };
    if !again && (source.datagrams.len() < MAX_DOMAINS || source.datagrams.contains_key(&domain)) {
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
                let mut raw = Raw::new(octets, false);
                set.templates.iter().for_each(|template| translation.template(template, &mut raw));
            }
            FlowSetBody::OptionsTemplate(set) => {
                translation.out.set(OPTIONS_TEMPLATE_SET);
                let fields =
                    |template: &OptionsTemplate| template.scope_fields.len() + template.option_fields.len();
                let kept = set.templates.iter().map(|template| 6 + 4 * fields(template)).sum();
                translation.refuse_unless(kept, set.padding.len(), octets.len());
                let mut raw = Raw::new(octets, true);
                set.templates.iter().for_each(|template| translation.options_template(template, &mut raw));
            }
            FlowSetBody::Data(_) | FlowSetBody::OptionsData(_) | FlowSetBody::NoTemplate(_) => {
                if !translation.data(set.header.flowset_id, octets) {
                    unknown.push(at..end);
                }
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

    fn template(&mut self, template: &Template, raw: &mut Raw<'_>) {
        self.define(template.template_id, 0, raw);
    }

    fn options_template(&mut self, template: &OptionsTemplate, raw: &mut Raw<'_>) {
        self.define(template.template_id, template.scope_fields.len(), raw);
    }

    /// Defines the template that the parser found valid, by what stands in the set.
    fn define(&mut self, id: u16, scopes: usize, raw: &mut Raw<'_>) {
        let Some(record) = raw.find(|record| record.id == id) else { return };
        let word = |field: &[u8], at: usize| u16::from_be_bytes([field[at], field[at + 1]]);
        let fields = record.fields.chunks_exact(4).map(|field| (word(field, 0), word(field, 2)));
        let fields: Vec<_> = fields.collect();
        let (scopes, fields) = fields.split_at(scopes.min(fields.len()));
        self.define_fields(id, scopes, fields);
    }

    fn define_fields(&mut self, id: u16, scopes: &[(u16, u16)], fields: &[(u16, u16)]) {
        let is_absolute = |kind: u16| TIMES.iter().any(|(_, absolute)| kind == *absolute);
        let keeps_times =
            scopes.iter().chain(fields).any(|&(kind, length)| is_absolute(kind) || length == VARIABLE);
        let mut specifiers: Vec<_> = scopes.iter().map(|&(kind, length)| scope(kind, length)).collect();
        let mut offset: usize = scopes.iter().map(|&(_, length)| usize::from(length)).sum();
        let mut times = Vec::new();
        for &(kind, length) in fields {
            let absolute =
                TIMES.iter().find(|(relative, _)| *relative == kind).map(|(_, absolute)| *absolute);
            let specifier = match absolute {
                Some(absolute) if length == 4 && !keeps_times && times.len() < MAX_TIMES => {
                    times.push(offset);
                    FieldSpecifier::iana(absolute, 8)
                }
                _ => element(kind, length),
            };
            specifiers.push(specifier);
            offset += usize::from(length);
        }
        let is_variable = scopes.iter().chain(fields).any(|(_, length)| *length == VARIABLE);
        let longest = if is_variable { 0 } else { offset + 4 * times.len() };
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

    /// Copies a data set, with absolute times. Returns whether its template is known.
    fn data(&mut self, id: u16, octets: &[u8]) -> bool {
        let Some(plan) = self.source.templates.get((self.domain, id), self.times) else { return false };
        self.out.set(id);
        let Some(plan) = plan else {
            self.out.room(octets.len()).extend_from_slice(octets);
            return true;
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
        true
    }
}

/// Returns a datagram with one template, as an exporter might have sent it. None: it was not of this version.
pub(super) fn template(source: &Source, domain: u32, record: &TemplateRecord) -> Option<Vec<u8>> {
    let plan = source.templates.plan((domain, record.id));
    let (mut fields, mut offset) = (Vec::new(), 0);
    for field in &record.fields {
        let absolute = plan.is_some_and(|plan| plan.times().contains(&offset));
        let (kind, length) = match TIMES.iter().find(|(_, to)| *to == field.id) {
            Some((from, _)) if absolute => (*from, 4),
            _ if field.pen == 0 => (field.id, field.length),
            _ if field.pen == VENDOR_PEN => (field.id | 0x8000, field.length),
            _ => return None,
        };
        fields.extend([kind, length]);
        offset += usize::from(length);
    }
    let octets = |fields: u16| fields.checked_mul(4);
    let count = u16::try_from(record.fields.len()).ok()?;
    let head = match record.scope_fields {
        0 => vec![record.id, count],
        scopes => vec![record.id, octets(scopes)?, octets(count.checked_sub(scopes)?)?],
    };
    let length = u16::try_from(SET_HEADER + 2 * (head.len() + fields.len())).ok()?;
    let mut datagram = [9_u16, 1].map(u16::to_be_bytes).concat();
    datagram.extend([0, 0, 0, domain].map(u32::to_be_bytes).as_flattened());
    for word in [u16::from(record.is_options()), length].into_iter().chain(head).chain(fields) {
        datagram.extend(word.to_be_bytes());
    }
    Some(datagram)
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
