//! The exporting process's side of one transport session (RFC 7011 sections 3.1, 8 and 10.2).
//!
//! Templates go in messages of their own, on the stream of the records they describe and before them, so that
//! all other messages hold nothing but data sets and may be partially reliable (section 10.2.6).

use std::collections::{BTreeMap, VecDeque};

use crate::template::MAX_RECORD;
use crate::{Header, InvalidTemplate, OPTIONS_TEMPLATE_SET, TEMPLATE_SET, Template, TemplateRecord};

/// Settings of an [`ExportingSession`].
#[derive(Clone, Copy, Debug)]
pub struct ExportingConfig {
    /// Observation Domain ID.
    pub domain: u32,
    /// Octets of a message at most, from 512 to 65535. A single record or template that needs more gets more.
    pub max_message: usize,
}

/// What a message holds, which decides how reliable it must be.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Content {
    /// Templates or withdrawals: must arrive, in order (RFC 7011 section 8).
    Templates,
    /// Nothing but data sets: may be partially reliable (RFC 7011 section 10.2.6).
    DataOnly,
}

/// A message to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutMessage {
    /// Stream to send it on.
    pub stream: u16,
    /// What it holds.
    pub content: Content,
    /// The message.
    pub octets: Vec<u8>,
    /// Sequence number of its first record.
    pub first_sequence: u32,
    /// Number of its Data Records.
    pub records: u32,
}

/// Why a template is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DefineError {
    /// It breaks a rule of RFC 7011 section 3.4.
    #[error(transparent)]
    Invalid(#[from] InvalidTemplate),
    /// It does not fit in a message.
    #[error("template {id} takes {octets} octets, too many for a message")]
    TooLong {
        /// Template ID.
        id: u16,
        /// Octets of the template record.
        octets: usize,
    },
    /// The id has another definition; withdraw that first (RFC 7011 section 8.1).
    #[error("template {id} is in use with another definition")]
    InUse {
        /// Template ID.
        id: u16,
    },
}

/// Why a record is not taken, or a template not withdrawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No such template was defined on this stream.
    #[error("template {id} is not defined on stream {stream}")]
    NotDefined {
        /// Stream number.
        stream: u16,
        /// Template ID.
        id: u16,
    },
    /// The record's octets are not those of one record of its template.
    #[error("{octets} octets are not one record of template {id}")]
    Length {
        /// Template ID.
        id: u16,
        /// Octets of the record given.
        octets: usize,
    },
}

/// Packs templates and records of one observation domain into messages.
#[derive(Debug)]
pub struct ExportingSession {
    domain: u32,
    max_message: usize,
    streams: BTreeMap<u16, Stream>,
    messages: VecDeque<OutMessage>,
}

#[derive(Debug, Default)]
struct Stream {
    templates: BTreeMap<u16, Defined>,
    /// Whether any of the templates is due.
    due: bool,
    /// Data Records in messages finished so far, modulo 2^32.
    sequence: u32,
    /// The message being packed: header (filled in at the end) and data sets. Empty if there is none.
    octets: Vec<u8>,
    records: u32,
    /// The last set of `octets`: its id and where it starts.
    set: Option<(u16, usize)>,
}

#[derive(Debug)]
struct Defined {
    record: TemplateRecord,
    template: Template,
    due: bool,
    /// Whether this transport session has had it.
    sent: bool,
}

impl ExportingSession {
    /// Returns a session without templates, its sequence numbers at zero.
    #[must_use]
    pub fn new(config: ExportingConfig) -> Self {
        Self {
            domain: config.domain,
            max_message: config.max_message.clamp(512, 65535),
            streams: BTreeMap::new(),
            messages: VecDeque::new(),
        }
    }

    /// Defines a template on a stream; it is due there before the next record. Defining it again changes nothing.
    ///
    /// # Errors
    /// Fails if the template is not valid, or its id is in use on any stream with another definition.
    pub fn define(&mut self, stream: u16, record: TemplateRecord) -> Result<(), DefineError> {
        record.validate()?;
        let id = record.id;
        let octets = record.wire_length();
        if octets > MAX_RECORD {
            return Err(DefineError::TooLong { id, octets });
        }
        let same_id = self.streams.values().filter_map(|stream| stream.templates.get(&id));
        if same_id.into_iter().any(|defined| defined.record != record) {
            return Err(DefineError::InUse { id });
        }
        let stream = self.streams.entry(stream).or_default();
        stream.templates.entry(id).or_insert_with(|| {
            stream.due = true;
            Defined { template: Template::compile(&record, 0), record, due: true, sent: false }
        });
        Ok(())
    }

    /// Appends one encoded record to the stream's message, after the templates due there. `export_time` is in
    /// seconds since the Unix epoch; a message carries that of its last record or of the `flush`.
    ///
    /// # Errors
    /// Fails if the template is not defined on the stream, or `record` is not exactly one record of it.
    pub fn record(
        &mut self,
        stream: u16,
        template: u16,
        record: &[u8],
        export_time: u32,
    ) -> Result<(), RecordError> {
        let not_defined = RecordError::NotDefined { stream, id: template };
        let state = self.streams.get_mut(&stream).ok_or(not_defined)?;
        let defined = state.templates.get(&template).ok_or(not_defined)?;
        let fits = record.len() <= MAX_RECORD && defined.template.record_length(record) == Ok(record.len());
        if !fits {
            return Err(RecordError::Length { id: template, octets: record.len() });
        }
        if state.due {
            self.flush(stream, export_time);
        }
        let Some(state) = self.streams.get_mut(&stream) else { return Err(not_defined) };
        let new_set = if state.set.is_some_and(|(id, _)| id == template) { 0 } else { 4 };
        if !state.octets.is_empty() && state.octets.len() + new_set + record.len() > self.max_message {
            self.messages.extend(state.finish_data(stream, self.domain, export_time));
        }
        state.append(template, record);
        Ok(())
    }

    /// Finishes what the stream has: templates that are due, and records waiting for their message to fill.
    pub fn flush(&mut self, stream: u16, export_time: u32) {
        let Some(state) = self.streams.get_mut(&stream) else { return };
        self.messages.extend(state.finish_data(stream, self.domain, export_time));
        if !state.due {
            return;
        }
        state.due = false;
        let mut packer =
            TemplatePacker::new(stream, self.domain, export_time, state.sequence, self.max_message);
        for options in [false, true] {
            let due = state.templates.values_mut().filter(|defined| defined.due);
            for defined in due.filter(|defined| defined.record.is_options() == options) {
                defined.due = false;
                defined.sent = true;
                packer.append(options, &mut self.messages, defined.record.wire_length(), |out| {
                    defined.record.encode(out);
                });
            }
        }
        packer.finish(&mut self.messages);
    }

    /// Finishes what every stream has, in order of stream numbers.
    pub fn flush_all(&mut self, export_time: u32) {
        let streams: Vec<u16> = self.streams.keys().copied().collect();
        for stream in streams {
            self.flush(stream, export_time);
        }
    }

    /// Withdraws a template from its stream, after the records already given. If its definition
    /// has not been sent yet, nothing needs to be.
    ///
    /// # Errors
    /// Fails if the template is not defined on the stream.
    pub fn withdraw(&mut self, stream: u16, template: u16, export_time: u32) -> Result<(), RecordError> {
        let not_defined = RecordError::NotDefined { stream, id: template };
        let state = self.streams.get_mut(&stream).ok_or(not_defined)?;
        let defined = state.templates.remove(&template).ok_or(not_defined)?;
        if !defined.sent {
            return Ok(());
        }
        self.messages.extend(state.finish_data(stream, self.domain, export_time));
        let mut packer =
            TemplatePacker::new(stream, self.domain, export_time, state.sequence, self.max_message);
        packer.append(defined.record.is_options(), &mut self.messages, 4, |out| {
            out.extend(template.to_be_bytes());
            out.extend([0, 0]);
        });
        packer.finish(&mut self.messages);
        Ok(())
    }

    /// Returns the next finished message. Those of one stream come in the order to be sent.
    pub fn poll_message(&mut self) -> Option<OutMessage> {
        self.messages.pop_front()
    }

    /// Returns the sequence number the next record on this stream will have.
    #[must_use]
    pub fn next_sequence(&self, stream: u16) -> u32 {
        self.streams.get(&stream).map_or(0, |stream| stream.sequence.wrapping_add(stream.records))
    }

    /// Makes all templates due again, as UDP needs from time to time (RFC 7011 section 8.4).
    pub fn refresh(&mut self) {
        for stream in self.streams.values_mut() {
            stream.due = !stream.templates.is_empty();
            stream.templates.values_mut().for_each(|defined| defined.due = true);
        }
    }

    /// Starts a new transport session: all templates are due, sequence numbers are zero, and messages
    /// not yet polled and records not yet in a message are gone.
    pub fn restart(&mut self) {
        self.messages.clear();
        for stream in self.streams.values_mut() {
            stream.sequence = 0;
            stream.records = 0;
            stream.octets.clear();
            stream.set = None;
            stream.templates.values_mut().for_each(|defined| defined.sent = false);
        }
        self.refresh();
    }
}

impl Stream {
    fn append(&mut self, template: u16, record: &[u8]) {
        if self.octets.is_empty() {
            self.octets.resize(Header::LENGTH, 0);
        }
        if self.set.is_none_or(|(id, _)| id != template) {
            self.close_set();
            self.set = Some((template, self.octets.len()));
            self.octets.extend_from_slice(&template.to_be_bytes());
            self.octets.extend_from_slice(&[0, 0]);
        }
        self.octets.extend_from_slice(record);
        self.records += 1;
    }

    fn close_set(&mut self) {
        if let Some((_, start)) = self.set.take() {
            fill_set_length(&mut self.octets, start);
        }
    }

    fn finish_data(&mut self, stream: u16, domain: u32, export_time: u32) -> Option<OutMessage> {
        if self.octets.is_empty() {
            return None;
        }
        self.close_set();
        let capacity = self.octets.len();
        let mut octets = std::mem::replace(&mut self.octets, Vec::with_capacity(capacity));
        let (first_sequence, records) = (self.sequence, std::mem::take(&mut self.records));
        fill_header(&mut octets, domain, export_time, first_sequence);
        self.sequence = first_sequence.wrapping_add(records);
        Some(OutMessage { stream, content: Content::DataOnly, octets, first_sequence, records })
    }
}

/// Packs template records into messages of template sets and options template sets.
struct TemplatePacker {
    stream: u16,
    domain: u32,
    export_time: u32,
    sequence: u32,
    max_message: usize,
    octets: Vec<u8>,
    set: Option<(bool, usize)>,
}

impl TemplatePacker {
    fn new(stream: u16, domain: u32, export_time: u32, sequence: u32, max_message: usize) -> Self {
        Self { stream, domain, export_time, sequence, max_message, octets: Vec::new(), set: None }
    }

    fn append(
        &mut self,
        options: bool,
        messages: &mut VecDeque<OutMessage>,
        length: usize,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        if !self.octets.is_empty() && self.octets.len() + 4 + length > self.max_message {
            self.finish(messages);
        }
        if self.octets.is_empty() {
            self.octets.resize(Header::LENGTH, 0);
        }
        if self.set.is_none_or(|(kind, _)| kind != options) {
            self.close_set();
            self.set = Some((options, self.octets.len()));
            let id = if options { OPTIONS_TEMPLATE_SET } else { TEMPLATE_SET };
            self.octets.extend(id.to_be_bytes());
            self.octets.extend([0, 0]);
        }
        encode(&mut self.octets);
    }

    fn close_set(&mut self) {
        if let Some((_, start)) = self.set.take() {
            fill_set_length(&mut self.octets, start);
        }
    }

    fn finish(&mut self, messages: &mut VecDeque<OutMessage>) {
        if self.octets.is_empty() {
            return;
        }
        self.close_set();
        let mut octets = std::mem::take(&mut self.octets);
        fill_header(&mut octets, self.domain, self.export_time, self.sequence);
        messages.push_back(OutMessage {
            stream: self.stream,
            content: Content::Templates,
            octets,
            first_sequence: self.sequence,
            records: 0,
        });
    }
}

#[expect(clippy::cast_possible_truncation, reason = "messages are packed to at most 65535 octets")]
fn fill_set_length(octets: &mut [u8], start: usize) {
    let length = (octets.len() - start) as u16;
    octets[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[expect(clippy::cast_possible_truncation, reason = "messages are packed to at most 65535 octets")]
fn fill_header(octets: &mut [u8], domain: u32, export_time: u32, sequence: u32) {
    let header = Header { length: octets.len() as u16, export_time, sequence, domain };
    octets[..Header::LENGTH].copy_from_slice(&header.to_octets());
}
