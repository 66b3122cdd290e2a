//! The exporting process's side of one transport session (RFC 7011 sections 3.1, 8 and 10.2).
//!
//! Templates go in messages of their own, on the stream of the records they describe and before them, so that
//! all other messages hold nothing but data sets and may be partially reliable (section 10.2.6).

mod packing;

use std::collections::BTreeMap;

use crate::template::MAX_RECORD;
use crate::{InvalidTemplate, TemplateRecord};
use packing::{Defined, Output, Stream};

/// The least that a message may be limited to, in octets: it fits in a packet of 512 octets, which RFC 7011
/// section 10.3.3 asks for where the path MTU is unknown.
pub const MIN_MESSAGE: usize = 448;

/// Settings of an [`ExportingSession`].
#[derive(Clone, Copy, Debug)]
pub struct ExportingConfig {
    /// Observation Domain ID.
    pub domain: u32,
    /// Octets of a message at most, from [`MIN_MESSAGE`] to 65535. A single record or template that needs more gets more.
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

/// Its octets.
impl AsRef<[u8]> for OutMessage {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
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
    streams: BTreeMap<u16, Stream>,
    output: Output,
}

impl ExportingSession {
    /// Returns a session without templates, its sequence numbers at zero.
    #[must_use]
    pub fn new(config: ExportingConfig) -> Self {
        Self {
            streams: BTreeMap::new(),
            output: Output::new(config.domain, config.max_message.clamp(MIN_MESSAGE, 65535)),
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
        let mut same_id = self.streams.values().filter_map(|stream| stream.defined(id));
        if same_id.any(|defined| defined.record != record) {
            return Err(DefineError::InUse { id });
        }
        self.streams.entry(stream).or_insert_with(|| Stream::new(stream)).define(record);
        Ok(())
    }

    /// Appends one encoded record to the stream's message, after the templates due there. `export_time` is in
    /// seconds since the Unix epoch; a message carries that of the call that finishes it, or that of the templates
    /// before it on the stream if the clock went back (RFC 7011 section 8.2).
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
        let defined = state.defined(template).ok_or(not_defined)?;
        if record.len() > MAX_RECORD || !defined.template.is_one_record(record) {
            return Err(RecordError::Length { id: template, octets: record.len() });
        }
        state.append(template, record, export_time, &mut self.output);
        Ok(())
    }

    /// Finishes what the stream has: records waiting for their message to fill, and templates that are due.
    pub fn flush(&mut self, stream: u16, export_time: u32) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.flush(export_time, &mut self.output);
        }
    }

    /// Finishes what every stream has, in order of stream numbers.
    pub fn flush_all(&mut self, export_time: u32) {
        for state in self.streams.values_mut() {
            state.flush(export_time, &mut self.output);
        }
    }

    /// Withdraws a template from its stream, after the records already given. If its definition
    /// has not been sent yet, nothing needs to be. Not for UDP, which has no withdrawals (RFC 7011 section 8.4).
    ///
    /// # Errors
    /// Fails if the template is not defined on the stream.
    pub fn withdraw(&mut self, stream: u16, template: u16, export_time: u32) -> Result<(), RecordError> {
        let not_defined = RecordError::NotDefined { stream, id: template };
        let state = self.streams.get_mut(&stream).ok_or(not_defined)?;
        let Defined { record, sent, .. } = state.undefine(template).ok_or(not_defined)?;
        if sent {
            state.withdraw(&record, export_time, &mut self.output);
        }
        Ok(())
    }

    /// Returns the next finished message. Those of one stream come in the order to be sent.
    pub fn poll_message(&mut self) -> Option<OutMessage> {
        self.output.messages.pop_front()
    }

    /// Returns the sequence number the next record on this stream will have.
    #[must_use]
    pub fn next_sequence(&self, stream: u16) -> u32 {
        self.streams.get(&stream).map_or(0, Stream::next_sequence)
    }

    /// Limits the messages that are begun or go on from now on to so many octets, within the bounds of
    /// [`ExportingConfig::max_message`]: over UDP the path may come to take less (RFC 7011 section 10.3.3).
    pub fn set_max_message(&mut self, octets: usize) {
        self.output.set_max_message(octets.clamp(MIN_MESSAGE, 65535));
    }

    /// Sends all templates once more, at once; a message being filled is not cut short for them. For UDP, where they
    /// are repeated from time to time (RFC 7011 section 8.4).
    pub fn repeat_templates(&mut self, export_time: u32) {
        for state in self.streams.values_mut() {
            state.refresh();
            state.send_templates(export_time, &mut self.output);
        }
    }

    /// Starts a new transport session: all templates are due, sequence numbers are zero, and messages
    /// not yet polled and records not yet in a message are gone.
    pub fn restart(&mut self) {
        self.output.messages.clear();
        self.streams.values_mut().for_each(Stream::restart);
    }
}
