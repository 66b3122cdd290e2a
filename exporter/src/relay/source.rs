//! One source: its IPFIX session, and its records on their way into the batch.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use intake::{Decoder, MAX_MALFORMED, Reception, Room, Sink, Taken, Told, Unknown};
use ipfix::{CollectingConfig, CollectingSession, FieldSpecifier, Record, Template, Transport, Visitor};
use tracing::debug;

use super::metrics::RelayMetrics;
use super::repacking::{Common, OptionsBatch, Outcome, Repacking};
use crate::observe::Batch;

/// Octets of templates of one source. There may be thousands of sources.
const TEMPLATE_OCTETS: usize = 1 << 20;
/// Domains of a source whose losses are told.
const MAX_DOMAINS: usize = 64;
/// notSentFlowTotalCount.
const NOT_SENT_FLOWS: u16 = 166;

/// What the sources of a socket have sent, until the driver takes it.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) flows: Batch,
    pub(super) options: OptionsBatch,
    common: Common,
    /// Of all sockets.
    room: Arc<Room>,
    metrics: RelayMetrics,
}

impl Gathered {
    pub(super) fn new(common: Common, room: Arc<Room>, metrics: RelayMetrics) -> Self {
        let (flows, options) = (Batch::default(), OptionsBatch::default());
        Self { flows, options, common, room, metrics }
    }
}

impl Sink for Gathered {
    type Decoder = Source;

    fn decoder(&mut self, source: SocketAddr) -> Source {
        Source::new(source.ip(), Arc::clone(&self.room), self.metrics.clone())
    }

    fn malformed(&mut self, _octets: &[u8], _now: u64, error: &dyn fmt::Display) {
        debug!(%error, "malformed datagram discarded");
        self.metrics.malformed.increment(1);
    }

    fn templates_refused(&mut self, count: u32) {
        self.metrics.templates_refused.increment(count.into());
    }
}

/// A source of datagrams.
#[derive(Debug)]
pub(super) struct Source {
    collecting: CollectingSession,
    repacking: Repacking,
    exporter: IpAddr,
    told: Told,
    /// Malformed messages in a row.
    malformed: u32,
    /// When the last datagram came, in seconds.
    received: u32,
    room: Arc<Room>,
    /// Octets of templates that `room` knows of.
    template_octets: usize,
    /// Flow records missing, by domain.
    missing: BTreeMap<u32, Missing>,
    metrics: RelayMetrics,
}

/// Flow records that sequence numbers show missing.
#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    records: u64,
    /// How many of them were told, and when.
    told: u64,
    told_at: u32,
}

impl Source {
    fn new(exporter: IpAddr, room: Arc<Room>, metrics: RelayMetrics) -> Self {
        let config = CollectingConfig {
            transport: Transport::Udp,
            max_templates: 1024,
            max_template_octets: TEMPLATE_OCTETS,
            // One for each domain, and one for what was held back.
            max_sequences: 2 * MAX_DOMAINS,
        };
        let mut collecting = CollectingSession::new(config);
        // In the first second as well, templates are as old as their reception.
        collecting.set_received(0);
        Self {
            collecting,
            repacking: Repacking::new(exporter),
            exporter: exporter.to_canonical(),
            told: Told::default(),
            malformed: 0,
            received: 0,
            room,
            template_octets: 0,
            missing: BTreeMap::new(),
            metrics,
        }
    }

    /// Counts flow records that are missing, or came after all, and tells collectors of them once a second at most.
    fn miss(&mut self, gathered: &mut Gathered, domain: u32, lost: u32, late: u32) {
        if !self.missing.contains_key(&domain) && (lost == 0 || self.missing.len() >= MAX_DOMAINS) {
            return;
        }
        let missing = self.missing.entry(domain).or_default();
        missing.records = (missing.records + u64::from(lost)).saturating_sub(late.into());
        if missing.records != missing.told && missing.told_at != self.received {
            (missing.told, missing.told_at) = (missing.records, self.received);
            let records = missing.records;
            tell_missing(gathered, self.exporter, domain, records);
        }
    }

    fn tell_template_octets(&mut self) {
        let octets = self.collecting.template_octets();
        self.room.change(std::mem::replace(&mut self.template_octets, octets), octets);
    }
}

/// Appends the Exporting Process Reliability Statistics (RFC 7011 section 4.3) of an exporter that did not tell them itself: flow
/// records of it that did not get here.
fn tell_missing(gathered: &mut Gathered, exporter: IpAddr, domain: u32, records: u64) {
    let (element, mut octets) = match exporter {
        IpAddr::V4(address) => (FieldSpecifier::iana(403, 4), address.octets().to_vec()),
        IpAddr::V6(address) => (FieldSpecifier::iana(404, 16), address.octets().to_vec()),
    };
    octets.extend(domain.to_be_bytes());
    let scope = octets.len();
    octets.extend(records.to_be_bytes());
    let fields = vec![element, FieldSpecifier::iana(405, 4), FieldSpecifier::iana(NOT_SENT_FLOWS, 8)];
    if let Some(template) = gathered.common.catalog.place(2, fields) {
        gathered.options.push_own(template, scope, &octets);
    }
}

impl Decoder<Gathered> for Source {
    fn datagram(&mut self, gathered: &mut Gathered, octets: &[u8], reception: Reception) -> Taken {
        let Reception { now, received, lifetime, again } = reception;
        if received != self.received {
            self.received = received;
            self.collecting.set_received(received);
            self.collecting.expire_templates(received.saturating_sub(lifetime));
        }
        let limit = self.room.limit(self.template_octets);
        self.collecting.set_max_template_octets(limit.min(TEMPLATE_OCTETS));
        let stream = u16::from(again);
        let mut visit = Visit { repacking: &mut self.repacking, told: &mut self.told, gathered };
        let decoded = self.collecting.decode(stream, octets, &mut visit);
        self.tell_template_octets();
        match decoded {
            Ok(summary) => {
                self.metrics.count(&summary);
                if again {
                    self.collecting.ignore_sequence(stream, summary.domain);
                } else {
                    self.miss(gathered, summary.domain, summary.lost, summary.late);
                }
                self.malformed = 0;
                Taken::Well
            }
            // A set that was held back, of a template that has changed since.
            Err(error) if again => {
                gathered.malformed(octets, now, &error);
                Taken::Well
            }
            Err(error) => {
                gathered.malformed(octets, now, &error);
                self.malformed += 1;
                if self.malformed < MAX_MALFORMED { Taken::Malformed } else { Taken::Hopeless }
            }
        }
    }

    fn told(&mut self) -> Told {
        std::mem::take(&mut self.told)
    }

    fn tell(&mut self, told: Told) {
        self.told = told;
    }

    fn without_template(&mut self, _gathered: &mut Gathered, _now: u64, _unknown: &Unknown) {
        self.metrics.no_template.increment(1);
    }

    fn ignore_sequence(&mut self, domain: u32) {
        self.collecting.ignore_sequence(0, domain);
    }

    fn templates(&self) -> impl Iterator<Item = (u32, &Template)> {
        self.collecting.templates()
    }

    fn pardon(&mut self) {
        self.malformed = 0;
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.metrics.lost.increment(self.collecting.settle());
        self.collecting.restart();
        self.tell_template_octets();
    }
}

/// One message on its way into the batch.
struct Visit<'a> {
    repacking: &'a mut Repacking,
    told: &'a mut Told,
    gathered: &'a mut Gathered,
}

impl Visitor for Visit<'_> {
    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        let Gathered { flows, options, common, metrics, .. } = &mut *self.gathered;
        match self.repacking.record(common, flows, options, record) {
            Outcome::Flow | Outcome::Options | Outcome::Ignored => {}
            Outcome::TableFull => metrics.table_full.increment(1),
            Outcome::TooLong => metrics.too_long.increment(1),
        }
    }

    fn template(&mut self, domain: u32, template: &Template) {
        self.told.defined.push((domain, template.id()));
    }

    fn no_template(&mut self, domain: u32, set_id: u16, octets: &[u8]) {
        self.told.unknown.push(Unknown { domain, set_id, octets: octets.to_vec() });
    }
}
