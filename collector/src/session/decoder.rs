//! From IPFIX messages to lines with identities: what one transport session knows.
//!
//! Templates and the numbering of records ([`delivery::numbering`]) belong to the session and are
//! forgotten with it (RFC 7011 section 8). A malformed message is discarded whole (section 9.1).

mod visit;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use delivery::class_record::Reliability;
use delivery::{Numberings, Series};
use ipfix::{CollectingConfig, CollectingSession, DecodeError, Summary};
use tracing::debug;

use self::visit::{Prefix, Visit, letter};
use super::classes::{Classes, Closed};
use crate::json::Lines;
use crate::json::text;
use crate::metrics::SessionMetrics;
use crate::output::{Run, RunKind};

/// After so many malformed messages in a row on one stream the association is ended.
const MAX_MALFORMED: u32 = 3;

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
    numberings: Numberings,
    classes: Classes,
    /// Malformed messages in a row, by stream.
    malformed: HashMap<u16, u32>,
    lines: Lines,
    prefix: Prefix,
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
            numberings: Numberings::new(),
            classes: Classes::new(metrics.classes.clone()),
            malformed: HashMap::new(),
            lines: Lines::default(),
            prefix: Prefix::default(),
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
            numberings: &mut self.numberings,
            classes: &mut self.classes,
            counted_elsewhere: None,
            lines: &mut self.lines,
            prefix: &mut self.prefix,
            decoded: &mut self.decoded,
            asked: &mut self.asked,
            metrics: &self.metrics,
        };
        let outcome = self.collecting.decode(stream, octets, &mut visit);
        if let Some(domain) = visit.counted_elsewhere {
            self.collecting.ignore_sequence(stream, domain);
        }
        match outcome {
            Ok(summary) => {
                self.classes.receive(stream, &summary);
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
        self.classes.close();
        self.numberings = Numberings::new();
        self.malformed.clear();
        self.asked = false;
        self.tell_templates();
    }

    /// The session is over. Returns the books of the classes whose records may get lost.
    pub(crate) fn close(&mut self) -> Vec<(Reliability, Closed)> {
        self.classes.close()
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
        self.numberings.refuse_stream(stream);
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
        self.classes.close();
        self.collecting.restart();
        self.tell_templates();
    }
}

#[cfg(test)]
mod tests;
