//! From IPFIX messages to rendered records with identities: what one transport session knows.
//!
//! Templates and the numbering of records ([`delivery::numbering`]) belong to the session and are
//! forgotten with it (RFC 7011 section 8). A malformed message is discarded whole (section 9.1).

mod visit;

use std::collections::HashMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use delivery::class_record::Reliability;
use delivery::{Numberings, Series};
use intake::{MAX_MALFORMED, Reception, Room, Rooms, Taken, Told, Unknown};
use ipfix::{Breach, CollectingConfig, CollectingSession, DecodeError, Summary, Template, Transport};
use tracing::debug;

use self::visit::{Visit, letter};
use super::classes::{Classes, Closed};
use super::delay::ExportDelay;
use crate::json::text;
use crate::metrics::SessionMetrics;
use crate::output::{Forms, Rendered, Renderers, RunKind};
use crate::status::Watched;
use crate::tap::Both;
use crate::udp::Gathered;

/// Octets of templates of one session, and of what each form derives from them. Whoever defines more has it derived again and again.
const TEMPLATE_OCTETS: usize = 4 << 20;
const PLAN_OCTETS: usize = 1 << 20;
/// Octets of templates of one source of datagrams, and of what each form derives of them. There may be thousands of sources.
const UDP_TEMPLATE_OCTETS: usize = 1 << 20;
const UDP_PLAN_OCTETS: usize = 32 << 10;

/// What was decoded and is not yet given to the outputs.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) rendered: Rendered,
    /// Numbers that were received and refused.
    pub(crate) refused: Vec<(Series, Range<u64>)>,
    /// Lines for the dead-letter file.
    pub(crate) letters: Vec<u8>,
}

impl Decoded {
    /// Takes what is there, leaving as much room as was needed.
    pub(crate) fn take(&mut self) -> Self {
        let rendered = self.rendered.take();
        Self {
            rendered,
            refused: std::mem::take(&mut self.refused),
            letters: std::mem::take(&mut self.letters),
        }
    }

    /// Octets that wait for the outputs.
    pub(crate) fn waiting(&self) -> usize {
        self.rendered.octets() + self.letters.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rendered.is_empty() && self.refused.is_empty() && self.letters.is_empty()
    }

    /// Returns every number that was received.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (Series, Range<u64>)> {
        let written = self.rendered.runs().iter().filter_map(|run| match run.kind {
            RunKind::Identified { series, first } => Some((series, first..first + run.records)),
            RunKind::Plain | RunKind::Options => None,
        });
        written.chain(self.refused.iter().cloned())
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
    renderers: Renderers,
    decoded: Decoded,
    /// Whether a session record has come: the request for cookies.
    asked: bool,
    /// Whether session records have an effect.
    has_identities: bool,
    /// When the last datagram came.
    received: u32,
    templates: usize,
    /// Octets of templates at most, and what all sessions have of them.
    max_template_octets: usize,
    room: Arc<Room>,
    /// Octets of templates that `room` knows of.
    template_octets: usize,
    /// Over UDP: somebody else decides about data sets without template.
    told: Option<Told>,
    /// What is shown of the session.
    watched: Option<Watched>,
    delay: ExportDelay,
    metrics: SessionMetrics,
}

/// The session was ended for what its peer sent: [`MAX_MALFORMED`] malformed messages in a row on one stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("stream {stream}: {MAX_MALFORMED} malformed messages in a row, the last: {error}")]
pub(crate) struct Hopeless {
    stream: u16,
    error: DecodeError,
}

impl Decoder {
    /// The decoder of an association; `forms` are what the outputs need, `rooms` are those of all associations.
    pub(crate) fn new(forms: &Forms, metrics: SessionMetrics, rooms: &Rooms) -> Self {
        let config = CollectingConfig { max_template_octets: TEMPLATE_OCTETS, ..CollectingConfig::default() };
        Self::with(config, forms.renderers(PLAN_OCTETS), true, metrics, rooms)
    }

    /// The decoder of a source of datagrams. Records have no identity: a session record that was lost would give
    /// those behind it the numbers of others (docs/wire.md section 3).
    pub(crate) fn udp(forms: &Forms, metrics: SessionMetrics, rooms: &Rooms) -> Self {
        let config = CollectingConfig {
            transport: Transport::Udp,
            max_templates: 1024,
            max_template_octets: UDP_TEMPLATE_OCTETS,
            // One for each domain, and one for what was held back.
            max_sequences: 128,
        };
        let mut decoder = Self::with(config, forms.renderers(UDP_PLAN_OCTETS), false, metrics, rooms);
        // In the first second as well, templates are as old as their reception.
        decoder.collecting.set_received(decoder.received);
        decoder.told = Some(Told::default());
        decoder
    }

    fn with(
        config: CollectingConfig,
        mut renderers: Renderers,
        has_identities: bool,
        metrics: SessionMetrics,
        rooms: &Rooms,
    ) -> Self {
        renderers.share_metadata(&rooms.metadata);
        Self {
            collecting: CollectingSession::new(config),
            numberings: Numberings::new(),
            classes: Classes::new(metrics.classes.clone()),
            malformed: HashMap::new(),
            renderers,
            decoded: Decoded::default(),
            asked: false,
            has_identities,
            received: 0,
            templates: 0,
            max_template_octets: config.max_template_octets,
            room: Arc::clone(&rooms.templates),
            template_octets: 0,
            told: None,
            watched: None,
            delay: ExportDelay::new(metrics.export_delay.clone()),
            metrics,
        }
    }

    /// Decodes one message; `now` is in milliseconds since the Unix epoch. Fails when the association must be ended.
    pub(crate) fn message(&mut self, stream: u16, octets: &[u8], now: u64) -> Result<(), Hopeless> {
        self.renderers.prepare(&mut self.decoded.rendered);
        let limit = self.room.limit(self.template_octets);
        self.collecting.set_max_template_octets(limit.min(self.max_template_octets));
        let (entry, look) = self.watched.as_mut().map(|watched| watched.look(octets.len())).unzip();
        let mut visit = Visit {
            entry,
            has_identities: self.has_identities,
            stream,
            now,
            numberings: &mut self.numberings,
            classes: &mut self.classes,
            counted_elsewhere: None,
            renderers: &mut self.renderers,
            decoded: &mut self.decoded,
            asked: &mut self.asked,
            metrics: &self.metrics,
            told: self.told.as_mut(),
        };
        let outcome = match look.flatten() {
            None => self.collecting.decode(stream, octets, &mut visit),
            Some(mut look) => {
                let both = &mut Both { visitor: &mut visit, look: &mut look };
                let outcome = self.collecting.decode(stream, octets, both);
                look.send();
                outcome
            }
        };
        if let Some(domain) = visit.counted_elsewhere {
            self.collecting.ignore_sequence(stream, domain);
        }
        self.tell_template_octets();
        if let Some(watched) = &self.watched {
            watched.message(octets.len(), now);
        }
        match outcome {
            Ok(summary) => {
                self.classes.receive(stream, &summary);
                self.delay.observe(octets, now);
                if !self.malformed.is_empty() {
                    self.malformed.remove(&stream);
                }
                self.count(&summary);
                Ok(())
            }
            Err(error) => self.refuse(stream, octets, now, error),
        }
    }

    /// The message to come was sent unordered.
    pub(crate) fn unordered(&mut self, stream: u16) {
        self.collecting.tell_unordered(stream).inspect(tell_breach);
    }

    /// Has the session shown, from its begin.
    pub(crate) fn watch(&mut self, watched: Watched) {
        self.classes.watch(watched.share());
        self.watched = Some(watched);
    }

    /// Says where datagrams come from.
    pub(crate) fn set_source(&mut self, source: SocketAddr) {
        self.renderers.set_source(source);
    }

    /// Says which address the exporter has.
    pub(crate) fn set_exporter(&mut self, exporter: IpAddr) {
        self.renderers.set_exporter(exporter);
    }

    /// Whether a session record has come: the request for cookies.
    pub(crate) fn is_asked_for_cookies(&self) -> bool {
        self.asked
    }

    /// Octets that wait to be taken.
    pub(crate) fn waiting(&self) -> usize {
        self.decoded.waiting()
    }

    /// Takes what was decoded since the last call.
    pub(crate) fn take(&mut self) -> Decoded {
        self.decoded.take()
    }

    /// Forgets templates and numbers, as after an association restart (RFC 7011 section 8.1).
    pub(crate) fn restart(&mut self) {
        self.collecting.restart();
        self.classes.close();
        self.numberings = Numberings::new();
        self.malformed.clear();
        self.asked = false;
        self.tell_templates();
        self.show_templates();
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
        metrics.late.increment(summary.late.into());
        if summary.no_template_sets > 0 && self.told.is_none() {
            metrics.no_template.increment(summary.no_template_sets.into());
        }
        if let Some(watched) = &mut self.watched {
            watched.count(summary);
        }
        summary.breach.inspect(tell_breach);
        let templates = summary.templates + summary.options_templates + summary.templates_refused;
        if templates + summary.withdrawals > 0 {
            metrics.templates_received.increment(summary.templates.into());
            metrics.options_templates_received.increment(summary.options_templates.into());
            metrics.withdrawals.increment(summary.withdrawals.into());
            metrics.limit.increment(summary.templates_refused.into());
            self.tell_templates();
            if templates + summary.withdrawals > summary.templates_repeated {
                self.show_templates();
            }
        }
        if summary.descriptions > 0 {
            self.show_templates();
        }
    }

    fn show_templates(&self) {
        if let Some(watched) = &self.watched {
            watched.set_templates(self.collecting.shared_templates());
        }
    }

    /// Keeps the gauge and the octets of all sessions right by what changed in this one.
    fn tell_templates(&mut self) {
        self.tell_template_octets();
        let templates = self.collecting.templates().count();
        let (old, new) = (std::mem::replace(&mut self.templates, templates), templates);
        #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
        self.metrics.templates.increment(new as f64 - old as f64);
    }

    fn tell_template_octets(&mut self) {
        let octets = self.collecting.template_octets();
        self.room.change(std::mem::replace(&mut self.template_octets, octets), octets);
    }

    fn refuse(&mut self, stream: u16, octets: &[u8], now: u64, error: DecodeError) -> Result<(), Hopeless> {
        self.numberings.refuse_stream(stream);
        if let Some(watched) = &self.watched {
            watched.malformed();
        }
        discard(&self.metrics, &mut self.decoded, stream, octets, now, error);
        let count = self.malformed.entry(stream).or_default();
        *count += 1;
        if *count >= MAX_MALFORMED { Err(Hopeless { stream, error }) } else { Ok(()) }
    }
}

impl intake::Decoder<Gathered> for Decoder {
    fn datagram(&mut self, gathered: &mut Gathered, octets: &[u8], reception: Reception) -> Taken {
        let Reception { now, received, lifetime, again } = reception;
        if received != self.received {
            self.received = received;
            self.collecting.set_received(received);
            if self.collecting.expire_templates(received.saturating_sub(lifetime)) > 0 {
                self.tell_templates();
                self.show_templates();
            }
        }
        std::mem::swap(&mut self.decoded, &mut gathered.decoded);
        let stream = u16::from(again);
        let outcome = self.message(stream, octets, now);
        std::mem::swap(&mut self.decoded, &mut gathered.decoded);
        if again {
            let domain =
                octets.get(12..).and_then(<[u8]>::first_chunk).map_or(0, |id| u32::from_be_bytes(*id));
            self.collecting.ignore_sequence(stream, domain);
            self.malformed.remove(&stream);
            return Taken::Well;
        }
        match outcome {
            Ok(()) if self.malformed.is_empty() => Taken::Well,
            Ok(()) => Taken::Malformed,
            Err(_) => Taken::Hopeless,
        }
    }

    fn told(&mut self) -> Told {
        self.told.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn tell(&mut self, told: Told) {
        self.told = Some(told);
    }

    /// Counts it and keeps it for the dead-letter file.
    fn without_template(&mut self, gathered: &mut Gathered, now: u64, unknown: &Unknown) {
        self.metrics.no_template.increment(1);
        visit::without_template(&mut gathered.decoded.letters, now, 0, unknown);
    }

    fn ignore_sequence(&mut self, domain: u32) {
        self.collecting.ignore_sequence(0, domain);
    }

    fn templates(&self) -> impl Iterator<Item = (u32, &Template)> {
        self.collecting.templates()
    }

    fn pardon(&mut self) {
        self.malformed.clear();
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

fn tell_breach(breach: &Breach) {
    debug!(%breach, "per-stream export (RFC 6526) is not followed further in this session");
}

/// Counts a malformed message and keeps it for the dead-letter file.
pub(crate) fn discard(
    metrics: &SessionMetrics,
    decoded: &mut Decoded,
    stream: u16,
    octets: &[u8],
    now: u64,
    error: impl Display,
) {
    debug!(stream, %error, "malformed message discarded");
    metrics.malformed.increment(1);
    metrics.malformed_messages.increment(1);
    letter(&mut decoded.letters, now, "malformed", stream, octets, |out| {
        out.extend_from_slice(b",\"error\":");
        text::string(out, error.to_string().as_bytes());
    });
}

#[cfg(test)]
mod tests;
