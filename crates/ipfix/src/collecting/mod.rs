//! The collecting process's side of one transport session (RFC 7011 sections 8 and 9).
//!
//! A message is walked twice. The first walk checks every length and applies template records to the session,
//! each with its way back, and notes the steps; if anything is malformed all is taken back and the
//! message leaves no trace (section 9.1). The second walk runs the steps through the visitor.
//!
//! Deliberate leniency: reserved sets are skipped and counted; a template set's rest of zeros is padding even
//! when longer than a record; a template that differs from the one before it without a withdrawal replaces it.

mod counting;
mod lists;
mod per_stream;
mod sequence;
mod step;
mod summary;
mod templates;
mod visitor;

pub use per_stream::{Breach, PerStream};
pub use summary::Summary;
pub use visitor::{Visitor, Withdrawal};

use std::sync::Arc;

use crate::ie::ElementDescription;
use crate::{DecodeError, FIRST_TEMPLATE_ID, Fields, Header, OPTIONS_TEMPLATE_SET, Record, TEMPLATE_SET};
use crate::{SubTemplates, Template, TemplateRecord};
use lists::Lists;
use sequence::Sequences;
use step::Step;
use templates::{Change, Templates};

/// What kind of transport the session runs on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// SCTP, TCP or TLS, or a file: withdrawals are honoured (RFC 7011 section 8.1).
    Reliable,
    /// UDP: withdrawals are ignored, a new template simply replaces the old (RFC 7011 section 8.4).
    Udp,
}

/// Limits and kind of a [`CollectingSession`].
#[derive(Clone, Copy, Debug)]
pub struct CollectingConfig {
    /// Kind of transport.
    pub transport: Transport,
    /// Templates kept in the session, all domains together. Default 4096.
    pub max_templates: usize,
    /// Octets of memory for templates. Default 4 MiB.
    pub max_template_octets: usize,
    /// Pairs of stream and observation domain whose sequence numbers are tracked. Default 1024.
    pub max_sequences: usize,
}

impl Default for CollectingConfig {
    fn default() -> Self {
        Self {
            transport: Transport::Reliable,
            max_templates: 4096,
            max_template_octets: 4 << 20,
            max_sequences: 1024,
        }
    }
}

/// Templates and sequence numbers of one transport session, and the decoder of its messages.
#[derive(Debug)]
pub struct CollectingSession {
    transport: Transport,
    templates: Templates,
    sequences: Sequences,
    per_stream: per_stream::Follower,
    /// What templates are as old as, instead of the Export Time.
    received: Option<u32>,
    /// Reused by each message: its steps, and where records of variable length end.
    steps: Vec<Step>,
    ends: Vec<u32>,
    /// The templates that lists of the message's records name, set by set.
    named: Vec<Arc<Template>>,
}

/// Steps, and ends of records, that a session over UDP keeps room for between two messages.
const KEPT: usize = 256;

impl CollectingSession {
    /// Returns a session without templates.
    #[must_use]
    pub const fn new(config: CollectingConfig) -> Self {
        Self {
            transport: config.transport,
            templates: Templates::new(config.max_templates, config.max_template_octets),
            sequences: Sequences::new(config.max_sequences),
            per_stream: per_stream::Follower::new(),
            received: None,
            steps: Vec::new(),
            ends: Vec::new(),
            named: Vec::new(),
        }
    }

    /// Decodes the one message in `octets`, received on `stream` (0 where the transport has none), into `visitor`.
    /// Returns what was in it and what was missing before it.
    ///
    /// # Errors
    /// Fails if the message is malformed. Then nothing was visited and the session is as it was before.
    pub fn decode(
        &mut self,
        stream: u16,
        octets: &[u8],
        visitor: &mut impl Visitor,
    ) -> Result<Summary, DecodeError> {
        let decoded = self.decode_message(stream, octets, visitor);
        if self.transport == Transport::Udp {
            // Of datagrams there are many sources, and each could once have sent the longest message.
            self.steps.shrink_to(KEPT);
            self.ends.shrink_to(KEPT);
            self.named.shrink_to(KEPT);
        }
        decoded
    }

    fn decode_message(
        &mut self,
        stream: u16,
        octets: &[u8],
        visitor: &mut impl Visitor,
    ) -> Result<Summary, DecodeError> {
        let header = Header::decode(octets)?;
        let mut summary = Summary::new(&header);
        self.steps.clear();
        self.ends.clear();
        self.named.clear();
        if let Err(error) = self.check(&header, octets, &mut summary) {
            self.templates.roll_back();
            self.steps.clear();
            return Err(error);
        }
        self.templates.commit();
        self.sequences.advance(stream, &mut summary);
        if summary.options_records > 0 {
            self.learn(octets, &mut summary);
        }
        self.per_stream.follow(stream, &self.steps, &self.ends, octets, &mut summary);
        self.visit(stream, &header, octets, visitor);
        Ok(summary)
    }

    /// Returns the templates of all domains, ordered by domain and Template ID.
    pub fn templates(&self) -> impl Iterator<Item = (u32, &Template)> {
        self.templates.iter()
    }

    /// As [`Self::templates`], to be kept beyond the next message.
    pub fn shared_templates(&self) -> impl Iterator<Item = (u32, &Arc<Template>)> {
        self.templates.iter_shared()
    }

    /// Returns the octets of memory that the templates take.
    #[must_use]
    pub const fn template_octets(&self) -> usize {
        self.templates.memory()
    }

    /// Changes [`CollectingConfig::max_template_octets`]: further templates are refused where they take more; those there
    /// are stay.
    pub const fn set_max_template_octets(&mut self, octets: usize) {
        self.templates.set_max_memory(octets);
    }

    /// Tells when the messages to come are received, in seconds of a clock of the caller's choice: templates are then
    /// as old as their reception (RFC 7011 section 8.4, "Last Received"), whatever the exporter's clock says. Until the
    /// first call they are as old as the Export Time of their message.
    pub const fn set_received(&mut self, seconds: u32) {
        self.received = Some(seconds);
    }

    /// Removes the templates that no message of `before` or later has brought, by its Export Time or by
    /// [`Self::set_received`]. Returns how many.
    /// Meant for UDP, where a template lives as long as it is repeated (RFC 7011 section 8.4): call it with the
    /// present time less the lifetime.
    pub fn expire_templates(&mut self, before: u32) -> usize {
        self.templates.expire(before)
    }

    /// Forgets all templates and sequence numbers, as after an association restart (RFC 7011 section 8.1).
    pub fn restart(&mut self) {
        self.templates.clear();
        self.sequences.clear();
        self.per_stream = per_stream::Follower::new();
    }

    /// Ignores sequence numbers of this stream and observation domain from here on: somebody else follows them.
    pub fn ignore_sequence(&mut self, stream: u16, domain: u32) {
        self.sequences.ignore(stream, domain);
    }

    /// Returns whether the exporter keeps to per-stream export (RFC 6526); over SCTP it means something. A change to
    /// [`PerStream::Disabled`] is to be logged (section 4.5.3).
    #[must_use]
    pub const fn per_stream(&self) -> PerStream {
        self.per_stream.state()
    }

    /// Tells that a message came with SCTP's flag U set, which per-stream export forbids (RFC 6526 section 4.5.3). Returns
    /// the breach if the exporter kept to per-stream export until then; it is to be logged.
    pub fn tell_unordered(&mut self, stream: u16) -> Option<Breach> {
        self.per_stream.unordered(stream)
    }

    /// Returns the records missing before messages whose forward jump no further message has confirmed.
    /// Meant for the end of the session; believes the jumps, so that they are told once.
    pub fn settle(&mut self) -> u64 {
        self.sequences.settle()
    }

    fn check(&mut self, header: &Header, octets: &[u8], summary: &mut Summary) -> Result<(), DecodeError> {
        let mut at = Header::LENGTH;
        while at < octets.len() {
            let left = octets.len() - at;
            let Some(&[id0, id1, length0, length1]) = octets[at..].first_chunk() else {
                return Err(DecodeError::SetHeader { offset: at, octets: left });
            };
            let length = u16::from_be_bytes([length0, length1]);
            if length < 4 || usize::from(length) > left {
                return Err(DecodeError::SetLength { offset: at + 2, length, octets: left });
            }
            let end = at + usize::from(length);
            match u16::from_be_bytes([id0, id1]) {
                id @ (TEMPLATE_SET | OPTIONS_TEMPLATE_SET) => {
                    self.check_templates(header, &octets[..end], at + 4, id, summary)?;
                }
                id @ FIRST_TEMPLATE_ID.. => self.check_data(header, &octets[..end], at + 4, id, summary)?,
                _ => {
                    summary.reserved_sets += 1;
                    summary.reserved_octets += u32::from(length);
                }
            }
            at = end;
        }
        Ok(())
    }

    /// Checks the template or options template set from `at` to the end of `octets` and applies it.
    fn check_templates(
        &mut self,
        header: &Header,
        octets: &[u8],
        mut at: usize,
        set_id: u16,
        summary: &mut Summary,
    ) -> Result<(), DecodeError> {
        let options = set_id == OPTIONS_TEMPLATE_SET;
        while octets.len() - at >= 4 && octets[at..].iter().any(|&octet| octet != 0) {
            let (record, length) = TemplateRecord::decode(&octets[at..], options, at)?;
            if !record.fields.is_empty() {
                self.define(header, &record, summary);
            } else if record.id == set_id {
                self.withdraw(header.domain, Withdrawal::All { options }, summary);
            } else if record.id >= FIRST_TEMPLATE_ID {
                self.withdraw(header.domain, Withdrawal::One { id: record.id, options }, summary);
            } else {
                return Err(DecodeError::TemplateId { offset: at, id: record.id });
            }
            at += length;
        }
        Ok(())
    }

    fn define(&mut self, header: &Header, record: &TemplateRecord, summary: &mut Summary) {
        let (change, template) =
            self.templates.define(header.domain, record, self.received.unwrap_or(header.export_time));
        match change {
            Change::Refused => summary.templates_refused += 1,
            Change::New | Change::Same | Change::Different => {
                summary.templates += u32::from(!record.is_options());
                summary.options_templates += u32::from(record.is_options());
                summary.templates_repeated += u32::from(change == Change::Same);
                summary.templates_changed += u32::from(change == Change::Different);
            }
        }
        self.steps.extend(template.map(Step::Template));
    }

    fn withdraw(&mut self, domain: u32, withdrawal: Withdrawal, summary: &mut Summary) {
        if self.transport == Transport::Udp || !self.templates.withdraw(domain, withdrawal) {
            summary.withdrawals_ignored += 1;
            return;
        }
        summary.withdrawals += 1;
        self.steps.push(Step::Withdrawal(withdrawal));
    }

    /// Checks the data set whose records are from `start` to the end of `octets`.
    fn check_data(
        &mut self,
        header: &Header,
        octets: &[u8],
        start: usize,
        set_id: u16,
        summary: &mut Summary,
    ) -> Result<(), DecodeError> {
        let end = octets.len();
        let Some(template) = self.templates.get(header.domain, set_id) else {
            summary.no_template_sets += 1;
            summary.no_template_octets += u32::try_from(end - start).unwrap_or(u32::MAX);
            self.steps.push(Step::NoTemplate { set_id, start, end });
            return Ok(());
        };
        let template = Arc::clone(template);
        let shortest = template.shortest_record();
        let step = if template.is_variable() {
            let first = self.ends.len();
            let mut at = start;
            while end - at >= shortest {
                at += template
                    .record_length(&octets[at..])
                    .map_err(|offset| DecodeError::FieldLength { offset: at + offset, id: set_id })?;
                self.ends.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
            let last = self.ends.len();
            let ends = self.ends[first..].iter().map(|&end| end as usize);
            let named = if template.has_lists() {
                let mut lists = Lists::new(&self.templates, header.domain, set_id, &mut self.named);
                let from = [start].into_iter().chain(ends.clone());
                for (start, end) in from.zip(ends) {
                    lists.check_record(&template, &octets[start..end], end)?;
                }
                lists.finish(summary)
            } else {
                0..0
            };
            summary.add_records(&template, last - first);
            Step::Variable { template, named, start, first, last }
        } else {
            let records = (end - start) / shortest;
            let end = start + records * shortest;
            let named = if template.has_lists() {
                let mut lists = Lists::new(&self.templates, header.domain, set_id, &mut self.named);
                for end in (start + shortest..=end).step_by(shortest) {
                    lists.check_record(&template, &octets[end - shortest..end], end)?;
                }
                lists.finish(summary)
            } else {
                0..0
            };
            summary.add_records(&template, records);
            Step::Fixed { template, named, start, end }
        };
        self.steps.push(step);
        Ok(())
    }

    /// Takes in what the message's type records tell of the exporter's elements (RFC 5610): from the next message on.
    fn learn(&mut self, octets: &[u8], summary: &mut Summary) {
        for step in &self.steps {
            let Some((template, records)) = step.records(octets, &self.ends) else { continue };
            if !template.is_options() || !ElementDescription::is_described_by(template) {
                continue;
            }
            for record in records {
                match ElementDescription::from_fields(Fields::new(template, record)) {
                    Ok(told) => {
                        summary.descriptions += u32::from(self.templates.describe(summary.domain, told));
                    }
                    Err(_) => summary.descriptions_refused += 1,
                }
            }
        }
        if summary.descriptions > 0 {
            self.templates.apply_descriptions(summary.domain);
        }
    }

    fn visit(&mut self, stream: u16, header: &Header, octets: &[u8], visitor: &mut impl Visitor) {
        let domain = header.domain;
        let export_time = header.export_time;
        let mut sequence = header.sequence;
        let mut sequence_certain = true;
        visitor.message(header);
        for step in self.steps.drain(..) {
            match step {
                Step::Template(template) => visitor.template(domain, &template),
                Step::Withdrawal(withdrawal) => visitor.withdrawal(domain, withdrawal),
                Step::NoTemplate { set_id, start, end } => {
                    sequence_certain = false;
                    visitor.no_template(domain, set_id, &octets[start..end]);
                }
                Step::Fixed { template, named, start, end } => {
                    let template = &*template;
                    let sub_templates = SubTemplates { templates: &self.named[named] };
                    for octets in octets[start..end].chunks_exact(template.shortest_record()) {
                        visitor.record(&Record {
                            domain,
                            stream,
                            template,
                            octets,
                            sequence,
                            sequence_certain,
                            export_time,
                            sub_templates,
                        });
                        sequence = sequence.wrapping_add(1);
                    }
                }
                Step::Variable { template, named, mut start, first, last } => {
                    let template = &*template;
                    let sub_templates = SubTemplates { templates: &self.named[named] };
                    for &end in &self.ends[first..last] {
                        let octets = &octets[start..end as usize];
                        visitor.record(&Record {
                            domain,
                            stream,
                            template,
                            octets,
                            sequence,
                            sequence_certain,
                            export_time,
                            sub_templates,
                        });
                        start = end as usize;
                        sequence = sequence.wrapping_add(1);
                    }
                }
            }
        }
    }
}
