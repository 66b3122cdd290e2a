//! What an IPFIX message says, as far as the simulation looks.

use std::ops::Range;

use delivery::{Epoch, Identity, Series, SessionRecord};
use exporter::export::{FlowEncoder, TemplateIndex};
use exporter::metering::{Direction, FlowEndReason, FlowRecord};
use ipfix::{CollectingConfig, CollectingSession, Record, Visitor};

use crate::exporter::SERIES;

/// Bits of a name for its number; the others are of its epoch.
const NUMBER_BITS: u32 = 40;

/// Where class `reliable` goes.
pub(crate) const STREAM: u16 = 1;
/// octetDeltaCount, by which flow records of the simulation say who they are.
const OCTET_DELTA_COUNT: u16 = 1;

/// A record of a message.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Session {
        sequence: u32,
        record: SessionRecord,
    },
    /// A flow record of class `reliable`.
    Flow {
        sequence: u32,
        /// Which one it is, whatever its numbering says.
        name: u64,
    },
    /// A flow record of another class.
    Lossy,
    /// A class record or a statistics record.
    Other,
}

/// One end of a transport session that reads messages.
pub(crate) struct Reader {
    session: CollectingSession,
    /// Export Time of the templates of each stream.
    templates_at: [u32; 4],
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { session: CollectingSession::new(CollectingConfig::default()), templates_at: [0; 4] }
    }

    /// Returns what the message says. Every data set must have its template, and be exported after it.
    pub(crate) fn read(&mut self, stream: u16, octets: &[u8]) -> Vec<Item> {
        let word = |at: usize| u32::from_be_bytes(octets[at..at + 4].try_into().unwrap());
        let templates_at = &mut self.templates_at[usize::from(stream)];
        assert!(word(4) >= *templates_at, "RFC 7011 section 8.2: exported before its template");
        if word(16) >> 16 < 4 {
            *templates_at = word(4);
        }
        let mut items = Items(Vec::new());
        let summary = self.session.decode(stream, octets, &mut items).unwrap();
        assert_eq!(summary.no_template_sets, 0, "every record has a template");
        items.0
    }
}

struct Items(Vec<Item>);

impl Visitor for Items {
    fn record(&mut self, record: &Record<'_>) {
        let sequence = record.sequence;
        let fields = || record.fields().map(|field| (field.pen(), field.id(), field.octets()));
        self.0.push(if record.template.is_options() {
            match SessionRecord::from_fields(record.domain, fields()) {
                Ok(record) => Item::Session { sequence, record },
                Err(_) => Item::Other,
            }
        } else if record.stream == STREAM {
            let place = record.template.position(0, OCTET_DELTA_COUNT).unwrap();
            let octets = record.field(place).unwrap().octets();
            Item::Flow { sequence, name: u64::from_be_bytes(octets.try_into().unwrap()) }
        } else {
            Item::Lossy
        });
    }
}

/// Encodes a flow record that says who it is; returns its template.
pub(crate) fn flow(encoder: &FlowEncoder, name: u64, out: &mut Vec<u8>) -> TemplateIndex {
    out.clear();
    let flow = FlowRecord {
        source: [192, 0, 2, 1].into(),
        destination: [198, 51, 100, 1].into(),
        source_port: 1,
        destination_port: 443,
        protocol: 6,
        class_of_service: 0,
        tcp_control_bits: 0,
        minimum_ttl: 64,
        maximum_ttl: 64,
        vlan_id: 0,
        customer_vlan_id: 0,
        segment: exporter::packet::Segment::NONE,
        interface: 0,
        direction: Direction::Ingress,
        end_reason: FlowEndReason::IdleTimeout,
        octets: name,
        packets: 1,
        start_ns: 1_700_000_000_000_000_000,
        end_ns: 1_700_000_001_000_000_000,
    };
    encoder.encode(&flow, out)
}

/// Returns by which name the simulation calls a record of class `reliable`: names of a start follow each other.
pub(crate) fn name(series: Series, number: u64) -> u64 {
    u64::from(series.epoch.0) << NUMBER_BITS | number
}

pub(crate) fn names(series: Series, numbers: Range<u64>) -> Range<u64> {
    name(series, numbers.start)..name(series, numbers.end)
}

/// Returns which record has this name.
pub(crate) fn identity(name: u64) -> Identity {
    let epoch = Epoch(u32::try_from(name >> NUMBER_BITS).unwrap());
    Series { epoch, ..SERIES }.identity(name & ((1 << NUMBER_BITS) - 1))
}

/// Names for a reader: those of the first start by their numbers alone.
pub(crate) fn show(names: Range<u64>) -> String {
    let (first, last) = (identity(names.start), identity(names.end - 1));
    let epoch = if first.epoch == SERIES.epoch { String::new() } else { format!("{}/", first.epoch) };
    format!("{epoch}{:?}", first.number..last.number + 1)
}
