//! The books after the run: what was metered against what the collectors have in their files.
//!
//! What was metered is not asked of the exporter: the capture is metered here once more. Flow number
//! `n` of the exporter is the `n`-th that this gives, because flows depend on packets alone.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use exporter::capture::{LoopOptions, Looped, PacketSource};
use exporter::export::FlowEncoder;
use exporter::metering::{FlowEndReason, FlowRecord, Meter, MeteringConfig};
use serde_json::{Map, Value};

/// A flow as the books compare it: element name to value, as JSON shows them.
pub type Flow = BTreeMap<String, Value>;

/// Meters the capture as the exporter does. Returns the number of packets, and the flows by number.
pub fn meter(
    capture: &Path,
    options: LoopOptions,
    config: MeteringConfig,
) -> anyhow::Result<(u64, Vec<FlowRecord>)> {
    meter_part(capture, options, config, |_, _| false)
}

/// As [`meter`], until `enough` says so of the packets metered and the flows that have ended.
pub fn meter_part(
    capture: &Path,
    options: LoopOptions,
    config: MeteringConfig,
    enough: impl Fn(u64, usize) -> bool,
) -> anyhow::Result<(u64, Vec<FlowRecord>)> {
    let mut source = Looped::open(capture, options)?;
    let mut meter = Meter::new(config, 0);
    let mut flows = Vec::new();
    while !enough(meter.counters().packets, flows.len())
        && let Some(packet) = source.next_packet()?
    {
        meter.packet(&packet, &mut flows);
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {}
    Ok((meter.counters().packets, flows))
}

/// What one collector's file holds.
#[derive(Debug, Default)]
pub struct Received {
    /// By number.
    pub flows: BTreeMap<u64, Flow>,
    /// Records whose number the file has before.
    pub repeated: u64,
    /// Octets of a line the collector was killed in.
    pub torn: usize,
}

/// Identity of the exporter's start, as the collectors write it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Series {
    /// In hexadecimal.
    pub ledger: String,
    /// The number of the start.
    pub epoch: u64,
    /// The observation domain.
    pub domain: u64,
}

/// A flow record in a collector's file.
#[derive(Debug)]
pub struct Entry {
    /// Whose record it is.
    pub series: Series,
    /// Its number.
    pub number: u64,
    /// All of it.
    pub flow: Flow,
}

/// Reads a collector's file of JSON lines; a line without an end is cut.
pub fn read(path: &Path, series: &Series) -> anyhow::Result<Received> {
    let mut received = Received::default();
    received.torn = read_each(path, |place, entry| {
        if entry.series != *series {
            anyhow::bail!("{place}: a record without this exporter's identity");
        }
        if received.flows.insert(entry.number, entry.flow).is_some() {
            received.repeated += 1;
        }
        Ok(())
    })?;
    Ok(received)
}

/// Gives each flow record of a collector's file to `take`, with its place for messages; a file that is not there has none.
/// Returns the octets of a line without an end. Fails with the first line that is no record with an identity, or with
/// `take`.
pub fn read_each(
    path: &Path,
    mut take: impl FnMut(&Place<'_>, Entry) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut octets = Vec::new();
    for line in 1.. {
        octets.clear();
        file.read_until(b'\n', &mut octets)?;
        let Some(text) = octets.strip_suffix(b"\n") else { break };
        let place = Place { path, line };
        let record: Map<String, Value> =
            serde_json::from_slice(text).map_err(|error| anyhow::anyhow!("{place}: {error}"))?;
        if record.get("options") == Some(&Value::Bool(true)) {
            continue;
        }
        let integer = |key: &str| record.get(key).and_then(Value::as_u64);
        let identity = (
            record.get("ledger").and_then(Value::as_str),
            integer("epoch"),
            integer("domain"),
            integer("number"),
        );
        let (Some(ledger), Some(epoch), Some(domain), Some(number)) = identity else {
            anyhow::bail!("{place}: a record without identity");
        };
        let series = Series { ledger: ledger.to_owned(), epoch, domain };
        take(&place, Entry { series, number, flow: record.into_iter().collect() })?;
    }
    Ok(octets.len())
}

/// A line of a file.
#[derive(Debug)]
pub struct Place<'a> {
    path: &'a Path,
    line: u64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// The outcome.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Books {
    /// Flows no collector has.
    pub lost: u64,
    /// Flows several collectors have, or one has twice.
    pub repeated: u64,
    /// Flows a collector has with other contents than were metered, or that were never metered.
    pub wrong: u64,
}

/// Compares the union of the collectors' files, by identity, with the flows metered.
pub fn balance(metered: &[FlowRecord], collectors: &[Received]) -> Books {
    let mut books =
        Books { repeated: collectors.iter().map(|received| received.repeated).sum(), ..Books::default() };
    let encoder = Expectation::new();
    for (number, flow) in (0..).zip(metered) {
        let copies: Vec<&Flow> =
            collectors.iter().filter_map(|received| received.flows.get(&number)).collect();
        books.lost += u64::from(copies.is_empty());
        books.repeated += copies.len().saturating_sub(1) as u64;
        books.wrong += copies.iter().filter(|copy| !encoder.matches(flow, copy)).count() as u64;
    }
    for received in collectors {
        books.wrong += received.flows.range(metered.len() as u64..).count() as u64;
    }
    books
}

/// Compares a flow with a collector's record, element by element as the flow's template has them.
pub(crate) struct Expectation {
    encoder: FlowEncoder,
}

impl Expectation {
    pub(crate) fn new() -> Self {
        Self { encoder: FlowEncoder::new() }
    }

    /// Tells whether `record` shows `flow`.
    pub(crate) fn matches(&self, flow: &FlowRecord, record: &Flow) -> bool {
        let mut octets = Vec::new();
        let template = self.encoder.encode(flow, &mut octets);
        let mut at = 0;
        self.encoder.templates().get(template).fields().iter().all(|field| {
            let value = &octets[at..at + usize::from(field.length)];
            at += value.len();
            let name = ipfix::ie::lookup(field.pen, field.id).map(|element| element.name);
            name.and_then(|name| record.get(name)).is_some_and(|found| shows(found, value))
        })
    }
}

/// Tells whether JSON value `found` shows the field `octets`: an address, a time or a number.
fn shows(found: &Value, octets: &[u8]) -> bool {
    match found {
        Value::Number(number) => {
            number.as_u64() == Some(octets.iter().fold(0, |value, octet| value << 8 | u64::from(*octet)))
        }
        Value::String(text) => match octets.len() {
            4 => {
                text.parse() == Ok(std::net::Ipv4Addr::from(<[u8; 4]>::try_from(octets).unwrap_or_default()))
            }
            16 => {
                text.parse() == Ok(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(octets).unwrap_or_default()))
            }
            8 => milliseconds(text) == Some(u64::from_be_bytes(octets.try_into().unwrap_or_default())),
            _ => false,
        },
        _ => false,
    }
}

/// Returns the milliseconds since the Unix epoch of a time such as `2026-01-01T00:00:00.123Z`.
fn milliseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.strip_suffix('Z')?.split_once('.')?;
    let milliseconds: u64 = fraction.parse().ok().filter(|_| fraction.len() == 3)?;
    Some(exporter::config::parse_utc(&format!("{seconds}Z"))? * 1000 + milliseconds)
}

/// What a collector without fault writes of `flow`.
#[cfg(test)]
pub(crate) fn shown(flow: &FlowRecord) -> Flow {
    let mut octets = Vec::new();
    let encoder = FlowEncoder::new();
    let template = encoder.encode(flow, &mut octets);
    let mut at = 0;
    let shown = encoder.templates().get(template).fields().iter().map(|field| {
        let value = &octets[at..at + usize::from(field.length)];
        at += value.len();
        let name = ipfix::ie::lookup(0, field.id).unwrap().name;
        let json = match field.id {
            8 | 27 => flow.source.to_string().into(),
            12 | 28 => flow.destination.to_string().into(),
            _ => value.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet)).into(),
        };
        (name.to_owned(), json)
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metered(count: u16) -> Vec<FlowRecord> {
        let mut flows = Vec::new();
        let file = pcap_fixtures::fixture("demo.pcap");
        let config = MeteringConfig::default();
        flows.extend(meter(&file, LoopOptions::default(), config).unwrap().1);
        flows.truncate(count.into());
        assert_eq!(flows.len(), usize::from(count));
        flows
    }

    fn collector(flows: &[FlowRecord], numbers: std::ops::Range<usize>) -> Received {
        let flows = numbers.map(|number| (number as u64, shown(&flows[number]))).collect();
        Received { flows, ..Received::default() }
    }

    #[test]
    fn two_collectors_with_everything_between_them_balance() {
        let flows = metered(10);
        let books = balance(&flows, &[collector(&flows, 0..6), collector(&flows, 4..10)]);
        assert_eq!(books, Books { lost: 0, repeated: 2, wrong: 0 });
    }

    #[test]
    fn a_missing_flow_is_lost_and_an_altered_or_invented_one_is_wrong() {
        let flows = metered(10);
        let mut files = [collector(&flows, 0..5), collector(&flows, 6..10)];
        files[0].flows.get_mut(&3).unwrap().insert("packetDeltaCount".into(), 0.into());
        files[1].flows.insert(10, shown(&flows[0]));
        assert_eq!(balance(&flows, &files), Books { lost: 1, repeated: 0, wrong: 2 });
    }

    #[test]
    fn times_are_compared_as_times() {
        let octets = 1_767_225_600_123_u64.to_be_bytes();
        assert!(shows(&"2026-01-01T00:00:00.123Z".into(), &octets));
        assert!(!shows(&"2026-01-01T00:00:00.124Z".into(), &octets));
    }
}
