//! IPFIX messages of the records of all sessions: a transport session of our own (RFC 7011), as files hold it (RFC 5655) and
//! other collectors get it.
//!
//! Every record keeps its observation domain, its octets and the Export Time of the message it came in; RFC 7119
//! section 3 lets a mediator that converts do so. Template ids are given anew for each domain, so that sessions whose exporters
//! use one id for different templates do not meet; a template that several sessions have is there once. Lists within records
//! (RFC 6313) name templates by these ids, too, and those come before the record. Sequence numbers count
//! from 0 in each domain. Messages are ended with each batch.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use ipfix::{FIRST_TEMPLATE_ID, Header, OPTIONS_TEMPLATE_SET, TEMPLATE_SET, TemplateRecord, VERSION};

use super::batch::Form;
use super::file::Format;
use super::form::{FlowTemplate, Raw};

/// Octets of a message at most.
const MAX_MESSAGE: usize = 65_535;
const SET_HEADER: usize = 4;
/// Templates of one file or connection, and the octets they take in memory. With more, another one is begun.
const MAX_TEMPLATES: usize = 16_384;
const MAX_TEMPLATE_OCTETS: usize = 16 << 20;
/// Templates in use that are written at the beginning of the next file, at most; others are written when they are needed.
const MAX_CARRIED: usize = 4_096;
/// What a list names whose template its exporter never told. No template gets this id.
const UNTOLD: u16 = u16::MAX;

/// Packs records into messages.
#[derive(Debug, Default)]
pub(super) struct Packer {
    templates: HashMap<Arc<FlowTemplate>, u16>,
    template_octets: usize,
    domains: HashMap<u32, Domain>,
    /// Of the form at hand, the id of each template that was met.
    ids: Vec<Option<u16>>,
    open: Option<Open>,
    /// Of the message begun last.
    export_time: u32,
}

#[derive(Clone, Copy, Debug)]
struct Domain {
    /// What the next template gets; from 65,535 on there is none.
    next_id: u32,
    /// Of the next data record.
    sequence: u32,
}

/// A message that is being filled, at the end of the octets.
#[derive(Clone, Copy, Debug)]
struct Open {
    start: usize,
    domain: u32,
    export_time: u32,
    /// Where its last set starts, and that set's id.
    set: (usize, u16),
    records: u32,
}

impl Packer {
    /// Appends what makes `template` known, and returns its id.
    fn define(&mut self, out: &mut Vec<u8>, template: &Arc<FlowTemplate>, export_time: u32) -> Option<u16> {
        if let Some(&id) = self.templates.get(template) {
            return Some(id);
        }
        let domain = self.domains.entry(template.domain);
        let domain = domain.or_insert(Domain { next_id: FIRST_TEMPLATE_ID.into(), sequence: 0 });
        let id = u16::try_from(domain.next_id).ok().filter(|&id| id != UNTOLD)?;
        domain.next_id += 1;
        self.template_octets += template.memory();
        self.templates.insert(Arc::clone(template), id);

        let FlowTemplate { scope_fields, ref fields, .. } = **template;
        let record = TemplateRecord { id, scope_fields, fields: fields.to_vec() };
        let set = if record.is_options() { OPTIONS_TEMPLATE_SET } else { TEMPLATE_SET };
        self.room(out, template.domain, export_time, set, record.wire_length());
        record.encode(out);
        Some(id)
    }

    /// Makes room at the end of `out` for a record of a set, in a message of the domain and time.
    fn room(&mut self, out: &mut Vec<u8>, domain: u32, export_time: u32, set: u16, octets: usize) {
        if let Some(open) = &mut self.open
            && (open.domain, open.export_time) == (domain, export_time)
        {
            let is_same = open.set.1 == set;
            let header = if is_same { 0 } else { SET_HEADER };
            if out.len() - open.start + header + octets <= MAX_MESSAGE {
                if !is_same {
                    end_set(out, open.set.0);
                    open.set = (begin_set(out, set), set);
                }
                return;
            }
        }
        self.end_message(out);
        let start = out.len();
        let sequence = self.domains.get(&domain).map_or(0, |domain| domain.sequence);
        out.extend_from_slice(&VERSION.to_be_bytes());
        // The length.
        out.extend_from_slice(&[0; 2]);
        for field in [export_time, sequence, domain] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        self.export_time = export_time;
        self.open = Some(Open { start, domain, export_time, set: (begin_set(out, set), set), records: 0 });
    }

    fn end_message(&mut self, out: &mut [u8]) {
        let Some(open) = self.open.take() else { return };
        end_set(out, open.set.0);
        write_length(out, open.start, open.start + 2);
        if let Some(domain) = self.domains.get_mut(&open.domain) {
            domain.sequence = domain.sequence.wrapping_add(open.records);
        }
    }

    /// Returns the id of the template at this place of the form, which is made known before.
    fn id(&mut self, out: &mut Vec<u8>, form: &Form, place: usize, export_time: u32) -> Option<u16> {
        if self.ids.len() < form.templates().len() {
            self.ids.resize(form.templates().len(), None);
        }
        if let Some(id) = *self.ids.get(place)? {
            return Some(id);
        }
        // There are ids enough for every template of a batch that `has_room` lets in.
        let id = self.define(out, form.templates().get(place)?, export_time)?;
        self.ids[place] = Some(id);
        Some(id)
    }

    fn record(&mut self, out: &mut Vec<u8>, form: &Form, raw: Raw<'_>) {
        let Some(id) = self.id(out, form, raw.template, raw.export_time) else { return };
        for place in raw.names().filter_map(|(_, place)| place) {
            self.id(out, form, place, raw.export_time);
        }
        self.room(out, form.templates()[raw.template].domain, raw.export_time, id, raw.octets.len());
        let start = out.len();
        out.extend_from_slice(raw.octets);
        for (at, place) in raw.names() {
            let id = place.and_then(|place| self.ids.get(place).copied().flatten()).unwrap_or(UNTOLD);
            out[start + at..start + at + 2].copy_from_slice(&id.to_be_bytes());
        }
        if let Some(open) = &mut self.open {
            open.records += 1;
        }
    }
}

impl Format for Packer {
    /// Templates that the file before had come first.
    fn begin(&mut self, out: &mut Vec<u8>) {
        let before = std::mem::take(self);
        let mut carried: Vec<_> = before.templates.into_iter().collect();
        if carried.len() > MAX_CARRIED {
            return;
        }
        carried.sort_unstable_by_key(|(template, id)| (template.domain, *id));
        for (template, _) in carried {
            self.define(out, &template, before.export_time);
        }
        self.end_message(out);
    }

    fn has_room(&self, form: &Form) -> bool {
        self.templates.is_empty()
            || self.templates.len() + form.templates().len() <= MAX_TEMPLATES
                && self.template_octets <= MAX_TEMPLATE_OCTETS
    }

    fn append(&mut self, out: &mut Vec<u8>, form: &Form, records: Range<usize>) {
        let mut rest = &form.octets[records];
        while let Some((raw, after)) = Raw::split(rest) {
            self.record(out, form, raw);
            rest = after;
        }
    }

    fn settle(&mut self, out: &mut Vec<u8>) {
        self.end_message(out);
        self.ids.clear();
    }

    fn record_length(&self, octets: &[u8]) -> usize {
        Raw::split(octets).map_or(octets.len(), |(_, rest)| octets.len() - rest.len())
    }

    fn whole(&self, file: &mut File, length: u64) -> io::Result<u64> {
        file.seek(SeekFrom::Start(0))?;
        let mut file = BufReader::new(file);
        let (mut end, mut header) = (0, [0; Header::LENGTH]);
        while end + Header::LENGTH as u64 <= length {
            file.read_exact(&mut header)?;
            let octets = u16::from_be_bytes([header[2], header[3]]);
            let is_message = header.starts_with(&VERSION.to_be_bytes())
                && usize::from(octets) >= Header::LENGTH
                && end + u64::from(octets) <= length;
            if !is_message {
                break;
            }
            end += u64::from(octets);
            file.seek_relative(i64::from(octets) - Header::LENGTH as i64)?;
        }
        Ok(end)
    }
}

/// Begins a set; returns where.
fn begin_set(out: &mut Vec<u8>, id: u16) -> usize {
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    out.len() - SET_HEADER
}

fn end_set(out: &mut [u8], start: usize) {
    write_length(out, start, start + 2);
}

/// Writes the octets from `start` to the end as the length at `at`.
fn write_length(out: &mut [u8], start: usize, at: usize) {
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    out[at..at + 2].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests;
