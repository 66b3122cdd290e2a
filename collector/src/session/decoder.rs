//! From IPFIX messages to lines with identities: what one transport session knows.
//!
//! Templates and the numbering of records (docs/wire.md sections 3 and 4) belong to the session and are
//! forgotten with it (RFC 7011 section 8). A malformed message is discarded whole (section 9.1); it, and a set without a template,
//! leave a gap in the numbers that counts as received and refused once the next record of its stream closes it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use delivery::{Series, SessionRecord};
use ipfix::{
    CollectingConfig, CollectingSession, DecodeError, Header, Record, Summary, Template, Visitor, Withdrawal,
};
use tracing::debug;

use crate::json::text::{self, Fraction};
use crate::json::{Identity, Lines, identity_prefix};
use crate::metrics::SessionMetrics;
use crate::output::{Run, RunKind};

/// After so many malformed messages in a row on one stream the association is ended.
const MAX_MALFORMED: u32 = 3;

/// Pairs of stream and observation domain with numbering; records of further ones have no identity.
const MAX_NUMBERINGS: usize = 1024;

/// What was decoded and is not yet given to the outputs.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) text: Vec<u8>,
    pub(crate) runs: Vec<Run>,
    pub(crate) records: usize,
    /// Numbers that were received and refused.
    pub(crate) refused: Vec<(Series, Range<u64>)>,
    /// Lines for the dead-letter file.
    pub(crate) letters: Vec<u8>,
}

impl Decoded {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.refused.is_empty() && self.letters.is_empty()
    }

    /// Returns every number that was received.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (Series, Range<u64>)> {
        let written = self.runs.iter().filter_map(|run| match run.kind {
            RunKind::Identified { series, first } => Some((series, first..first + run.records)),
            RunKind::Plain | RunKind::Options => None,
        });
        written.chain(self.refused.iter().cloned())
    }

    /// Counts the line that was appended last.
    fn count(&mut self, kind: RunKind) {
        let end = self.text.len();
        self.records += 1;
        if let Some(run) = self.runs.last_mut()
            && run.continues_with(kind)
        {
            run.records += 1;
            run.end = end;
        } else {
            self.runs.push(Run { kind, records: 1, end });
        }
    }
}

/// Decodes the messages of one transport session.
#[derive(Debug)]
pub(crate) struct Decoder {
    collecting: CollectingSession,
    numberings: HashMap<(u16, u32), Numbering>,
    /// Malformed messages in a row, by stream.
    malformed: HashMap<u16, u32>,
    lines: Lines,
    decoded: Decoded,
    /// Whether a session record has come: the request for cookies.
    asked: bool,
    templates: usize,
    metrics: SessionMetrics,
}

/// The session was ended for what its peer sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("stream {stream}: {MAX_MALFORMED} malformed messages in a row, the last: {error}")]
pub(crate) struct Hopeless {
    stream: u16,
    error: DecodeError,
}

impl Decoder {
    pub(crate) fn new(metrics: SessionMetrics) -> Self {
        Self {
            collecting: CollectingSession::new(CollectingConfig::default()),
            numberings: HashMap::new(),
            malformed: HashMap::new(),
            lines: Lines::default(),
            decoded: Decoded::default(),
            asked: false,
            templates: 0,
            metrics,
        }
    }

    /// Decodes one message; `now` is in milliseconds since the Unix epoch. Fails when the association must be ended.
    pub(crate) fn message(&mut self, stream: u16, octets: &[u8], now: u64) -> Result<(), Hopeless> {
        let mut visit = Visit {
            stream,
            now,
            numbering: None,
            numberings: &mut self.numberings,
            lines: &mut self.lines,
            decoded: &mut self.decoded,
            asked: &mut self.asked,
            metrics: &self.metrics,
        };
        let outcome = self.collecting.decode(stream, octets, &mut visit);
        visit.finish();
        match outcome {
            Ok(summary) => {
                if !self.malformed.is_empty() {
                    self.malformed.remove(&stream);
                }
                self.count(&summary);
                Ok(())
            }
            Err(error) => self.refuse(stream, octets, now, error),
        }
    }

    /// Whether a session record has come: the request for cookies.
    pub(crate) fn is_asked_for_cookies(&self) -> bool {
        self.asked
    }

    /// Octets of lines that wait to be taken.
    pub(crate) fn waiting(&self) -> usize {
        self.decoded.text.len() + self.decoded.letters.len()
    }

    /// Takes what was decoded since the last call.
    pub(crate) fn take(&mut self) -> Decoded {
        let room = self.decoded.text.len();
        std::mem::replace(&mut self.decoded, Decoded { text: Vec::with_capacity(room), ..Decoded::default() })
    }

    /// Forgets templates and numbers, as after an association restart (RFC 7011 section 8.1).
    pub(crate) fn restart(&mut self) {
        self.collecting.restart();
        self.numberings.clear();
        self.malformed.clear();
        self.asked = false;
        self.tell_templates();
    }

    fn count(&mut self, summary: &Summary) {
        let metrics = &self.metrics;
        metrics.data.increment(summary.records.into());
        metrics.records.fetch_add(summary.records.into(), Ordering::Relaxed);
        metrics.options.increment(summary.options_records.into());
        metrics.lost.increment(summary.lost.into());
        if summary.no_template_sets > 0 {
            metrics.no_template.increment(summary.no_template_sets.into());
        }
        let templates = summary.templates + summary.options_templates + summary.templates_refused;
        if templates + summary.withdrawals > 0 {
            metrics.templates_received.increment(summary.templates.into());
            metrics.options_templates_received.increment(summary.options_templates.into());
            metrics.withdrawals.increment(summary.withdrawals.into());
            metrics.limit.increment(summary.templates_refused.into());
            self.tell_templates();
        }
    }

    /// Keeps the gauge of all sessions right by what changed in this one.
    fn tell_templates(&mut self) {
        let templates = self.collecting.templates().count();
        let (old, new) = (std::mem::replace(&mut self.templates, templates), templates);
        #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
        self.metrics.templates.increment(new as f64 - old as f64);
    }

    fn refuse(&mut self, stream: u16, octets: &[u8], now: u64, error: DecodeError) -> Result<(), Hopeless> {
        debug!(stream, offset = error.offset(), %error, "malformed message discarded");
        self.metrics.malformed.increment(1);
        self.metrics.malformed_messages.increment(1);
        for (_, numbering) in self.numberings.iter_mut().filter(|((of, _), _)| *of == stream) {
            numbering.refused = true;
        }
        let out = &mut self.decoded.letters;
        letter(out, now, "malformed", stream, octets, |out| {
            out.extend_from_slice(b",\"error\":");
            text::string(out, error.to_string().as_bytes());
        });
        let count = self.malformed.entry(stream).or_default();
        *count += 1;
        if *count >= MAX_MALFORMED { Err(Hopeless { stream, error }) } else { Ok(()) }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.metrics.lost.increment(self.collecting.settle());
        self.collecting.restart();
        self.tell_templates();
    }
}

/// Which numbers the records of a stream and domain have.
#[derive(Debug)]
struct Numbering {
    series: Series,
    /// How their lines start.
    prefix: Vec<u8>,
    /// The session record's firstNumber.
    first: u64,
    /// Number and sequence number of the next record in order.
    next: u64,
    next_sequence: u32,
    /// Whether something was refused since the last record: a gap before the next is then no loss.
    refused: bool,
}

impl Numbering {
    /// Returns the number of the record with this sequence number: by the nearest distance to the last one seen, so that
    /// sequence numbers may wrap (docs/wire.md section 4). None: it is from before the session record.
    fn number(&self, sequence: u32) -> Option<u64> {
        let distance = sequence.wrapping_sub(self.next_sequence).cast_signed();
        self.next.checked_add_signed(distance.into()).filter(|&number| number >= self.first)
    }

    /// Takes note that the record with this number was seen.
    fn advance(&mut self, number: u64, sequence: u32, refused: &mut Vec<(Series, Range<u64>)>) {
        if number < self.next {
            return;
        }
        if std::mem::take(&mut self.refused) && number > self.next {
            refused.push((self.series, self.next..number));
        }
        self.next = number + 1;
        self.next_sequence = sequence.wrapping_add(1);
    }
}

/// One message on its way into the lines.
struct Visit<'a> {
    stream: u16,
    now: u64,
    /// The numbering of the message's stream and domain, out of `numberings` for the time of the visit.
    numbering: Option<((u16, u32), Numbering)>,
    numberings: &'a mut HashMap<(u16, u32), Numbering>,
    lines: &'a mut Lines,
    decoded: &'a mut Decoded,
    asked: &'a mut bool,
    metrics: &'a SessionMetrics,
}

impl Visit<'_> {
    fn finish(&mut self) {
        if let Some((key, numbering)) = self.numbering.take() {
            self.numberings.insert(key, numbering);
        }
    }

    /// Takes in a session record: consumed, not written.
    fn session_record(&mut self, record: &Record<'_>) {
        let fields = record.fields().map(|field| (field.pen(), field.id(), field.octets()));
        match SessionRecord::from_fields(record.domain, fields) {
            Ok(SessionRecord { series, first_number, .. }) => {
                *self.asked = true;
                if self.numbering.is_none() && self.numberings.len() >= MAX_NUMBERINGS {
                    self.metrics.limit.increment(1);
                    return;
                }
                // A gap that a refusal left before this record was of the old numbering, and comes again.
                let prefix = identity_prefix(series.ledger.0, series.epoch.0, series.domain);
                let numbering = Numbering {
                    series,
                    prefix,
                    first: first_number,
                    next: first_number,
                    next_sequence: record.sequence.wrapping_add(1),
                    refused: false,
                };
                self.numbering = Some(((record.stream, record.domain), numbering));
            }
            Err(error) => {
                debug!(stream = self.stream, %error, "session record refused");
                self.metrics.malformed.increment(1);
                self.numbering = None;
            }
        }
    }

    fn flow_record(&mut self, record: &Record<'_>) {
        let Decoded { text, refused, .. } = &mut *self.decoded;
        if let Some((_, numbering)) = self.numbering.as_mut().filter(|_| record.sequence_certain)
            && let Some(number) = numbering.number(record.sequence)
        {
            numbering.advance(number, record.sequence, refused);
            self.lines.record(text, record, Some(Identity { prefix: &numbering.prefix, number }));
            let kind = RunKind::Identified { series: numbering.series, first: number };
            self.decoded.count(kind);
        } else {
            self.lines.record(text, record, None);
            self.decoded.count(RunKind::Plain);
        }
    }
}

impl Visitor for Visit<'_> {
    fn message(&mut self, header: &Header) {
        self.numbering = self.numberings.remove_entry(&(self.stream, header.domain));
    }

    fn withdrawal(&mut self, _domain: u32, withdrawal: Withdrawal) {
        if matches!(withdrawal, Withdrawal::All { .. }) {
            self.numbering = None;
        }
    }

    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        if !record.template.is_options() {
            self.flow_record(record);
        } else if announces_sessions(record.template) {
            self.session_record(record);
        } else {
            // Only flow records follow a session record (docs/wire.md section 3).
            self.numbering = None;
            self.lines.record(&mut self.decoded.text, record, None);
            self.decoded.count(RunKind::Options);
        }
    }

    fn no_template(&mut self, domain: u32, set_id: u16, octets: &[u8]) {
        if let Some((_, numbering)) = &mut self.numbering {
            numbering.refused = true;
        }
        let out = &mut self.decoded.letters;
        letter(out, self.now, "no_template", self.stream, octets, |out| {
            out.extend_from_slice(b",\"domain\":");
            text::unsigned(out, domain.into());
            out.extend_from_slice(b",\"set\":");
            text::unsigned(out, set_id.into());
        });
    }
}

fn announces_sessions(template: &Template) -> bool {
    SessionRecord::is_announced_by(template.fields().iter().map(|field| {
        let specifier = field.specifier();
        (specifier.pen, specifier.id)
    }))
}

/// Appends a line of the dead-letter file.
fn letter(
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

#[cfg(test)]
mod tests;
