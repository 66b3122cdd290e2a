//! What is told beside flow records, in options records: interfaces, statistics of the metering and the exporting process (RFC 7011
//! section 4), who exports, how packets were selected (RFC 5476), and the types of private elements (RFC 5610).
//!
//! [`records`] makes them; where and when they go is the session's business.

mod facts;
pub mod reliability;
mod selector;
mod types;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipfix::{FieldSpecifier, RecordWriter, TemplateRecord, VARIABLE};

use super::templates::options_ids;
use crate::capture::Interface;
use crate::metering::Ignored;

pub use facts::{Described, Facts};
pub use selector::{Method, Selector};

/// There is one metering process in an observation domain.
const METERING_PROCESS: u64 = 1;

/// IANA's elements.
const INGRESS_INTERFACE: u16 = 10;
const EXPORTED_OCTETS: u16 = 40;
const EXPORTED_MESSAGES: u16 = 41;
const EXPORTED_RECORDS: u16 = 42;
const INTERFACE_NAME: u16 = 82;
const INTERFACE_DESCRIPTION: u16 = 83;
const EXPORTER_IPV4: u16 = 130;
const EXPORTER_IPV6: u16 = 131;
const DROPPED_PACKETS: u16 = 135;
const METERING_PROCESS_ID: u16 = 143;
const EXPORTING_PROCESS_ID: u16 = 144;
const OBSERVATION_DOMAIN_ID: u16 = 149;
const IGNORED_PACKETS: u16 = 164;
const IGNORED_OCTETS: u16 = 165;
const NOT_SENT_FLOWS: u16 = 166;
const OBSERVATION_TIME_SECONDS: u16 = 322;
const OBSERVATION_TIME_MILLISECONDS: u16 = 323;

/// The options templates, in the order of their identifiers in the group of stream 0, behind the one of [`reliability`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Template {
    Type = 1,
    Process,
    ProcessIpv6,
    Interface,
    Metering,
    MeteringReliability,
    ExportingReliability,
    CountBased,
    OutOf,
    Probability,
    Hash,
    InterfaceDrops,
}

impl Template {
    const fn id(self) -> u16 {
        options_ids(0).start + self as u16
    }
}

/// What the driver knows for options records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Observation Domain ID.
    pub domain: u32,
    /// exportingProcessId.
    pub process: u32,
    /// Where the exporter is, as far as that is known.
    pub address: Option<IpAddr>,
    /// Names.
    pub described: Arc<Described>,
    /// Packets that were not metered.
    pub ignored: Ignored,
    /// Packets that interfaces dropped before they could be captured, by ingressInterface.
    pub lost: Arc<BTreeMap<u32, u64>>,
    /// Flow records that were not sent.
    pub not_sent: NotSent,
}

/// Flow records dropped before they were sent, since the exporting process started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NotSent {
    /// How many.
    pub flows: u64,
    /// When the first and the last were dropped, in seconds since the Unix epoch; 0 without any.
    pub first: u32,
    /// See `first`.
    pub last: u32,
}

impl NotSent {
    /// Takes in how many there are by `now`, in seconds since the Unix epoch.
    pub const fn count(&mut self, flows: u64, now: u32) {
        if flows > self.flows {
            if self.flows == 0 {
                self.first = now;
            }
            (self.flows, self.last) = (flows, now);
        }
    }
}

/// Keeps what a driver tells.
#[derive(Debug)]
pub struct Teller {
    facts: Arc<Facts>,
    told: Told,
}

impl Teller {
    /// `process` is exportingProcessId; `address` is where the exporter is, as far as that is known.
    pub fn new(domain: u32, process: u32, address: Option<IpAddr>) -> Self {
        Self { facts: Arc::default(), told: Told { domain, process, address, ..Told::default() } }
    }

    /// Returns what observation threads add to.
    pub fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.facts)
    }

    /// Returns what is to be told by `now`, in seconds since the Unix epoch, with so many flow records dropped so far.
    pub fn told(&mut self, dropped: u64, now: u32) -> &Told {
        self.told.described = self.facts.described();
        self.told.ignored = self.facts.ignored();
        self.told.lost = self.facts.lost();
        self.told.not_sent.count(dropped, now);
        &self.told
    }
}

/// What was sent to one collector, since its session began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sent {
    /// IPFIX messages.
    pub messages: u64,
    /// Octets of them.
    pub octets: u64,
    /// Flow records in them.
    pub records: u64,
}

/// An options record with its template.
#[derive(Debug)]
pub struct OptionsRecord {
    /// What it is encoded by.
    pub template: TemplateRecord,
    writer: RecordWriter,
}

impl OptionsRecord {
    /// A record still to be written, of IANA's elements with their lengths.
    fn new(template: Template, scope: &[(u16, u16)], fields: &[(u16, u16)]) -> Self {
        let scope_fields = u16::try_from(scope.len()).unwrap_or(u16::MAX);
        let fields = scope.iter().chain(fields).map(|&(id, length)| FieldSpecifier::iana(id, length));
        let template = TemplateRecord { id: template.id(), scope_fields, fields: fields.collect() };
        Self { template, writer: RecordWriter::default() }
    }

    /// A record of another exporter.
    pub fn passed(template: TemplateRecord, octets: &[u8]) -> Self {
        let mut writer = RecordWriter::default();
        writer.fixed(octets);
        Self { template, writer }
    }

    /// Returns the data record.
    pub fn octets(&self) -> &[u8] {
        self.writer.octets()
    }
}

/// Returns the type records of all private elements.
pub fn types() -> impl Iterator<Item = OptionsRecord> {
    types::records()
}

/// Returns the options records that tell this.
pub fn records<'a>(told: &'a Told, sent: &Sent) -> impl Iterator<Item = OptionsRecord> + use<'a> {
    let fixed = [
        process(told),
        Some(metering(told, sent)),
        Some(metering_reliability(told)),
        Some(exporting_reliability(told)),
    ];
    let Described { interfaces, selectors } = &*told.described;
    let interfaces = interfaces.values().map(interface);
    let selectors = selectors.iter().map(Selector::record);
    let lost = told.lost.iter().map(|(&interface, &packets)| interface_drops(interface, packets));
    fixed.into_iter().flatten().chain(interfaces).chain(selectors).chain(lost)
}

fn interface(Interface { index, name, description }: &Interface) -> OptionsRecord {
    let fields = [(INTERFACE_NAME, VARIABLE), (INTERFACE_DESCRIPTION, VARIABLE)];
    let mut record = OptionsRecord::new(Template::Interface, &[(INGRESS_INTERFACE, 4)], &fields);
    record.writer.unsigned((*index).into(), 4).string(name).string(description);
    record
}

fn interface_drops(interface: u32, packets: u64) -> OptionsRecord {
    let (scope, fields) = ([(INGRESS_INTERFACE, 4)], [(DROPPED_PACKETS, 8)]);
    let mut record = OptionsRecord::new(Template::InterfaceDrops, &scope, &fields);
    record.writer.unsigned(interface.into(), 4).unsigned(packets, 8);
    record
}

/// Who exports, if it is known where.
fn process(told: &Told) -> Option<OptionsRecord> {
    let (template, element, length) = match told.address? {
        IpAddr::V4(_) => (Template::Process, EXPORTER_IPV4, 4),
        IpAddr::V6(_) => (Template::ProcessIpv6, EXPORTER_IPV6, 16),
    };
    let mut record = OptionsRecord::new(template, &[(EXPORTING_PROCESS_ID, 4)], &[(element, length)]);
    record.writer.unsigned(told.process.into(), 4).ip(told.address?);
    Some(record)
}

const METERING_SCOPE: [(u16, u16); 2] = [(OBSERVATION_DOMAIN_ID, 4), (METERING_PROCESS_ID, 4)];

/// The Metering Process Statistics (RFC 7011 section 4.1).
fn metering(told: &Told, sent: &Sent) -> OptionsRecord {
    let fields = [(EXPORTED_MESSAGES, 8), (EXPORTED_RECORDS, 8), (EXPORTED_OCTETS, 8)];
    let mut record = OptionsRecord::new(Template::Metering, &METERING_SCOPE, &fields);
    record.writer.unsigned(told.domain.into(), 4).unsigned(METERING_PROCESS, 4);
    record.writer.unsigned(sent.messages, 8).unsigned(sent.records, 8).unsigned(sent.octets, 8);
    record
}

/// The Metering Process Reliability Statistics (section 4.2).
fn metering_reliability(told: &Told) -> OptionsRecord {
    let time = (OBSERVATION_TIME_MILLISECONDS, 8);
    let fields = [(IGNORED_PACKETS, 8), (IGNORED_OCTETS, 8), time, time];
    let mut record = OptionsRecord::new(Template::MeteringReliability, &METERING_SCOPE, &fields);
    let Ignored { packets, octets, first_ns, last_ns } = told.ignored;
    record.writer.unsigned(told.domain.into(), 4).unsigned(METERING_PROCESS, 4);
    record.writer.unsigned(packets, 8).unsigned(octets, 8);
    record.writer.unsigned(first_ns / 1_000_000, 8).unsigned(last_ns / 1_000_000, 8);
    record
}

/// The Exporting Process Reliability Statistics (section 4.3). Packets and octets of flow records that were not sent are not
/// counted.
fn exporting_reliability(told: &Told) -> OptionsRecord {
    let time = (OBSERVATION_TIME_SECONDS, 4);
    let fields = [(NOT_SENT_FLOWS, 8), time, time];
    let mut record =
        OptionsRecord::new(Template::ExportingReliability, &[(EXPORTING_PROCESS_ID, 4)], &fields);
    let NotSent { flows, first, last } = told.not_sent;
    record.writer.unsigned(told.process.into(), 4).unsigned(flows, 8);
    record.writer.unsigned(first.into(), 4).unsigned(last.into(), 4);
    record
}

#[cfg(test)]
mod tests;
