//! Sets and messages being filled: one stream's data, and its templates.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::{Content, OutMessage};
use crate::{Header, OPTIONS_TEMPLATE_SET, TEMPLATE_SET, Template, TemplateRecord};

/// Where finished messages go, and what all of them share.
#[derive(Debug)]
pub(super) struct Output {
    domain: u32,
    max_message: usize,
    pub(super) messages: VecDeque<OutMessage>,
}

/// A template defined on a stream.
#[derive(Debug)]
pub(super) struct Defined {
    pub(super) record: TemplateRecord,
    pub(super) template: Template,
    due: bool,
    /// Whether this transport session has had it.
    pub(super) sent: bool,
}

/// One stream's templates, and the data message being filled.
#[derive(Debug)]
pub(super) struct Stream {
    number: u16,
    templates: BTreeMap<u16, Defined>,
    /// Whether any of the templates is due.
    due: bool,
    /// Data Records in messages finished so far, modulo 2^32.
    sequence: u32,
    sets: Sets,
    /// Data Records in `sets`.
    records: u32,
    /// Export Time of the last message of templates: none has an earlier one (RFC 7011 section 8.2).
    templates_at: u32,
}

/// A message being filled. Its header is written when it is finished.
#[derive(Debug, Default)]
struct Sets {
    /// Empty if there is no message.
    octets: Vec<u8>,
    /// The last set: its id and where it starts.
    open: Option<(u16, usize)>,
}

impl Output {
    pub(super) const fn new(domain: u32, max_message: usize) -> Self {
        Self { domain, max_message, messages: VecDeque::new() }
    }

    pub(super) const fn set_max_message(&mut self, octets: usize) {
        self.max_message = octets;
    }

    #[expect(clippy::cast_possible_truncation, reason = "messages are filled to at most 65535 octets")]
    fn finish(&mut self, sets: &mut Sets, content: Content, export_time: u32, stream: &Stream, records: u32) {
        if sets.octets.is_empty() {
            return;
        }
        sets.close();
        let capacity = sets.octets.len();
        let mut octets = mem::replace(&mut sets.octets, Vec::with_capacity(capacity));
        let first_sequence = stream.sequence;
        let length = octets.len() as u16;
        let export_time = export_time.max(stream.templates_at);
        let header = Header { length, export_time, sequence: first_sequence, domain: self.domain };
        octets[..Header::LENGTH].copy_from_slice(&header.to_octets());
        self.messages.push_back(OutMessage {
            stream: stream.number,
            content,
            octets,
            first_sequence,
            records,
        });
    }
}

impl Stream {
    pub(super) fn new(number: u16) -> Self {
        Self {
            number,
            templates: BTreeMap::new(),
            due: false,
            sequence: 0,
            sets: Sets::default(),
            records: 0,
            templates_at: 0,
        }
    }

    pub(super) fn defined(&self, id: u16) -> Option<&Defined> {
        self.templates.get(&id)
    }

    pub(super) fn define(&mut self, record: TemplateRecord) {
        self.templates.entry(record.id).or_insert_with(|| {
            self.due = true;
            Defined { template: Template::compile(&record, 0), record, due: true, sent: false }
        });
    }

    pub(super) fn undefine(&mut self, id: u16) -> Option<Defined> {
        self.templates.remove(&id)
    }

    pub(super) fn append(&mut self, template: u16, record: &[u8], export_time: u32, output: &mut Output) {
        if self.due {
            self.flush(export_time, output);
        }
        if !self.sets.has_room(template, record.len(), output.max_message) {
            self.finish_data(export_time, output);
        }
        self.sets.open(template).extend_from_slice(record);
        self.records += 1;
    }

    /// Finishes the data given, which the templates sent before describe, then the templates that are due.
    pub(super) fn flush(&mut self, export_time: u32, output: &mut Output) {
        self.finish_data(export_time, output);
        self.send_templates(export_time, output);
    }

    /// Sends the templates that are due. The data message being filled goes on: its records have had theirs.
    pub(super) fn send_templates(&mut self, export_time: u32, output: &mut Output) {
        if !mem::take(&mut self.due) {
            return;
        }
        self.templates_at = self.templates_at.max(export_time);
        let mut sets = Sets::default();
        let mut templates = mem::take(&mut self.templates);
        for options in [false, true] {
            let due = templates.values_mut().filter(|defined| defined.due);
            for defined in due.filter(|defined| defined.record.is_options() == options) {
                defined.due = false;
                defined.sent = true;
                let set_id = template_set_id(options);
                if !sets.has_room(set_id, defined.record.wire_length(), output.max_message) {
                    output.finish(&mut sets, Content::Templates, export_time, self, 0);
                }
                defined.record.encode(sets.open(set_id));
            }
        }
        self.templates = templates;
        output.finish(&mut sets, Content::Templates, export_time, self, 0);
    }

    /// Sends a withdrawal of this template, after the data given.
    pub(super) fn withdraw(&mut self, record: &TemplateRecord, export_time: u32, output: &mut Output) {
        self.finish_data(export_time, output);
        self.templates_at = self.templates_at.max(export_time);
        let mut sets = Sets::default();
        let withdrawal = TemplateRecord { id: record.id, scope_fields: 0, fields: Vec::new() };
        withdrawal.encode(sets.open(template_set_id(record.is_options())));
        output.finish(&mut sets, Content::Templates, export_time, self, 0);
    }

    fn finish_data(&mut self, export_time: u32, output: &mut Output) {
        let (mut sets, records) = (mem::take(&mut self.sets), mem::take(&mut self.records));
        output.finish(&mut sets, Content::DataOnly, export_time, self, records);
        self.sets = sets;
        self.sequence = self.sequence.wrapping_add(records);
    }

    pub(super) fn next_sequence(&self) -> u32 {
        self.sequence.wrapping_add(self.records)
    }

    pub(super) fn refresh(&mut self) {
        self.due = !self.templates.is_empty();
        self.templates.values_mut().for_each(|defined| defined.due = true);
    }

    pub(super) fn restart(&mut self) {
        self.sequence = 0;
        self.records = 0;
        self.templates_at = 0;
        self.sets = Sets::default();
        self.templates.values_mut().for_each(|defined| defined.sent = false);
        self.refresh();
    }
}

impl Sets {
    /// Whether a record fits: always in a new message, which is not made shorter than its first record.
    fn has_room(&self, set_id: u16, length: usize, max_message: usize) -> bool {
        let new_set = if self.open.is_some_and(|(id, _)| id == set_id) { 0 } else { 4 };
        self.octets.is_empty() || self.octets.len() + new_set + length <= max_message
    }

    /// Returns where to append a record to a set with this id: the last one, or else a new one.
    fn open(&mut self, set_id: u16) -> &mut Vec<u8> {
        if self.octets.is_empty() {
            self.octets.resize(Header::LENGTH, 0);
        }
        if self.open.is_none_or(|(id, _)| id != set_id) {
            self.close();
            self.open = Some((set_id, self.octets.len()));
            self.octets.extend_from_slice(&set_id.to_be_bytes());
            self.octets.extend_from_slice(&[0, 0]);
        }
        &mut self.octets
    }

    #[expect(clippy::cast_possible_truncation, reason = "messages are filled to at most 65535 octets")]
    fn close(&mut self) {
        if let Some((_, start)) = self.open.take() {
            let length = (self.octets.len() - start) as u16;
            self.octets[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
}

const fn template_set_id(options: bool) -> u16 {
    if options { OPTIONS_TEMPLATE_SET } else { TEMPLATE_SET }
}
