//! One message on its way into the forms: what each of its records is for.

use delivery::numbering::Numbered;
use delivery::{ClassRecord, Numberings, SessionRecord, StatisticsRecord};
use intake::{Told, Unknown};
use ipfix::{Header, Record, Template, Visitor, Withdrawal};
use tracing::debug;

use super::super::classes::Classes;
use super::Decoded;
use crate::json::text::{self, Fraction};
use crate::metrics::SessionMetrics;
use crate::output::{Number, Renderers, RunKind};
use crate::status::register::Entry;

/// One message on its way into the forms.
pub(super) struct Visit<'a> {
    /// What is shown of the session.
    pub(super) entry: Option<&'a Entry>,
    /// Whether session records and class records have an effect.
    pub(super) has_identities: bool,
    pub(super) stream: u16,
    pub(super) now: u64,
    pub(super) numberings: &'a mut Numberings,
    pub(super) classes: &'a mut Classes,
    /// The domain for which `classes` counts what is missing on this stream from here on.
    pub(super) counted_elsewhere: Option<u32>,
    pub(super) renderers: &'a mut Renderers,
    pub(super) decoded: &'a mut Decoded,
    pub(super) asked: &'a mut bool,
    pub(super) metrics: &'a SessionMetrics,
    pub(super) told: Option<&'a mut Told>,
}

impl Visit<'_> {
    /// Takes in a session record: consumed, not written.
    fn session_record(&mut self, record: &Record<'_>) {
        if !self.has_identities {
            return;
        }
        let fields = record.fields().map(|field| (field.pen(), field.id(), field.octets()));
        match SessionRecord::from_fields(record.domain, fields) {
            Ok(session_record) => {
                *self.asked = true;
                self.classes.session_record(self.stream, record.domain);
                if let Some(entry) = self.entry {
                    entry.set_series(session_record.series);
                }
                if let Err(error) = self.numberings.session_record(record.sequence, &session_record) {
                    debug!(stream = self.stream, %error, "session record has no effect");
                    self.metrics.limit.increment(1);
                }
            }
            Err(error) => {
                debug!(stream = self.stream, %error, "session record refused");
                self.metrics.malformed.increment(1);
                self.numberings.end();
            }
        }
    }

    /// Takes in a record about a class: consumed, not written.
    fn class_or_statistics(&mut self, record: &Record<'_>, is_class: bool) {
        if !self.has_identities {
            return;
        }
        let fields = record.fields().map(|field| (field.pen(), field.id(), field.octets()));
        let taken = if is_class {
            ClassRecord::from_fields(record.domain, fields).map(|class| {
                let counts = self.classes.class_record(self.stream, record.sequence, &class)?;
                self.counted_elsewhere = counts.then_some(record.domain);
                Ok(())
            })
        } else {
            StatisticsRecord::from_fields(record.domain, fields)
                .map(|statistics| self.classes.statistics_record(&statistics))
        };
        let refused = match taken {
            Ok(Ok(())) => return,
            Ok(Err(ignored)) => ignored.to_string(),
            Err(error) => error.to_string(),
        };
        debug!(stream = self.stream, error = refused, "record about a class has no effect");
        self.metrics.malformed.increment(1);
    }

    fn flow_record(&mut self, record: &Record<'_>) {
        let Decoded { rendered, refused, .. } = &mut *self.decoded;
        let numbered = if record.sequence_certain { self.numberings.record(record.sequence) } else { None };
        let number = numbered.map(|Numbered { series, number, refused: passed, .. }| {
            refused.extend(passed.map(|range| (series, range)));
            Number { series, number }
        });
        rendered.begin(match number {
            Some(Number { series, number }) => RunKind::Identified { series, first: number },
            None => RunKind::Plain,
        });
        self.renderers.record(rendered, record, number);
    }
}

impl Visitor for Visit<'_> {
    fn message(&mut self, header: &Header) {
        self.numberings.select(self.stream, header.domain);
    }

    fn withdrawal(&mut self, _domain: u32, withdrawal: Withdrawal) {
        if matches!(withdrawal, Withdrawal::All { .. }) {
            self.numberings.end();
        }
    }

    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        if !record.template.is_options() {
            return self.flow_record(record);
        }
        let announces = Announced::by(record.template);
        if announces == Announced::Sessions {
            return self.session_record(record);
        }
        // Only flow records follow a session record (docs/wire.md section 3).
        self.numberings.end();
        match announces {
            Announced::Classes | Announced::Statistics => {
                self.class_or_statistics(record, announces == Announced::Classes);
            }
            // About this session's templates, and followed with the message: of no use to who reads the outputs.
            Announced::Reliability => {}
            Announced::Sessions | Announced::Others => {
                self.decoded.rendered.begin(RunKind::Options);
                self.renderers.record(&mut self.decoded.rendered, record, None);
            }
        }
    }

    fn template(&mut self, domain: u32, template: &Template) {
        if let Some(told) = &mut self.told {
            told.defined.push((domain, template.id()));
        }
    }

    fn no_template(&mut self, domain: u32, set_id: u16, octets: &[u8]) {
        self.numberings.refuse();
        let unknown = Unknown { domain, set_id, octets: octets.to_vec() };
        match &mut self.told {
            Some(told) => told.unknown.push(unknown),
            None => without_template(&mut self.decoded.letters, self.now, self.stream, &unknown),
        }
    }
}

/// Appends the line of a data set without template.
pub(super) fn without_template(out: &mut Vec<u8>, now: u64, stream: u16, unknown: &Unknown) {
    letter(out, now, "no_template", stream, &unknown.octets, |out| {
        out.extend_from_slice(b",\"domain\":");
        text::unsigned(out, unknown.domain.into());
        out.extend_from_slice(b",\"set\":");
        text::unsigned(out, unknown.set_id.into());
    });
}

/// templateId and dataRecordsReliability. What tells more than that is written.
const DATA_RECORDS_RELIABILITY: [(u32, u16); 2] = [(0, 145), (0, 276)];

/// What an options template announces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Announced {
    Sessions,
    Classes,
    Statistics,
    /// Data Records Reliability (RFC 6526 section 4.2).
    Reliability,
    Others,
}

impl Announced {
    fn by(template: &Template) -> Self {
        let elements = || {
            template.fields().iter().map(|field| {
                let specifier = field.specifier();
                (specifier.pen, specifier.id)
            })
        };
        if SessionRecord::is_announced_by(elements()) {
            Self::Sessions
        } else if ClassRecord::is_announced_by(elements()) {
            Self::Classes
        } else if StatisticsRecord::is_announced_by(elements()) {
            Self::Statistics
        } else if elements().eq(DATA_RECORDS_RELIABILITY) {
            Self::Reliability
        } else {
            Self::Others
        }
    }
}

/// Appends a line of the dead-letter file.
pub(super) fn letter(
    out: &mut Vec<u8>,
    now: u64,
    reason: &str,
    stream: u16,
    octets: &[u8],
    more: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(b"{\"time\":");
    let nanos = u32::try_from(now % 1000).unwrap_or(0) * 1_000_000;
    text::time(out, now / 1000, nanos, Fraction::Milli);
    out.extend_from_slice(b",\"reason\":");
    text::string(out, reason.as_bytes());
    out.extend_from_slice(b",\"stream\":");
    text::unsigned(out, stream.into());
    more(out);
    out.extend_from_slice(b",\"octets\":");
    text::hex(out, octets);
    out.extend_from_slice(b"}\n");
}
