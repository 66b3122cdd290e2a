//! The common fields of records, as a list of all values of each in the order of the records: what two decoders have to agree about.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// Element, its number, and what tshark calls it. Elements of a biflow's reverse direction (RFC 5103) belong to the same list.
pub(crate) const FIELDS: [(&str, u16, &str); 11] = [
    ("sourceIPv4Address", 8, "cflow.srcaddr"),
    ("destinationIPv4Address", 12, "cflow.dstaddr"),
    ("sourceIPv6Address", 27, "cflow.srcaddrv6"),
    ("destinationIPv6Address", 28, "cflow.dstaddrv6"),
    ("sourceTransportPort", 7, "cflow.srcport"),
    ("destinationTransportPort", 11, "cflow.dstport"),
    ("protocolIdentifier", 4, "cflow.protocol"),
    ("octetDeltaCount", 1, "cflow.octets"),
    ("packetDeltaCount", 2, "cflow.packets"),
    ("octetTotalCount", 85, "cflow.permanent_octets"),
    ("packetTotalCount", 86, "cflow.permanent_packets"),
];

/// Absolute times of the start and the end of flows.
pub(crate) const TIMES: [(&str, u16); 8] = [
    ("flowStartSeconds", 150),
    ("flowEndSeconds", 151),
    ("flowStartMilliseconds", 152),
    ("flowEndMilliseconds", 153),
    ("flowStartMicroseconds", 154),
    ("flowEndMicroseconds", 155),
    ("flowStartNanoseconds", 156),
    ("flowEndNanoseconds", 157),
];

/// The lists of times, in microseconds since the Unix epoch.
pub(crate) const START: &str = "flowStart";
pub(crate) const END: &str = "flowEnd";

/// Values by field.
#[derive(Default)]
pub(crate) struct Fields(BTreeMap<&'static str, Vec<String>>);

impl Fields {
    pub(crate) fn add(&mut self, field: &'static str, value: String) {
        self.0.entry(field).or_default().push(value);
    }

    /// Adds the value of an IANA element, in the octets it has on the wire; others than the common ones are passed over.
    pub(crate) fn add_octets(&mut self, number: u16, octets: &[u8]) {
        let unsigned = octets.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
        if let Some((field, ..)) = FIELDS.iter().find(|field| field.1 == number) {
            let value = match (number, <[u8; 4]>::try_from(octets), <[u8; 16]>::try_from(octets)) {
                (8 | 12, Ok(octets), _) => Ipv4Addr::from(octets).to_string(),
                (27 | 28, _, Ok(octets)) => Ipv6Addr::from(octets).to_string(),
                _ => unsigned.to_string(),
            };
            self.add(field, value);
        } else if let 150..=157 = number {
            let microseconds = match number {
                150 | 151 => unsigned * 1_000_000,
                152 | 153 => unsigned * 1_000,
                _ => ntp(unsigned),
            };
            self.add(if number.is_multiple_of(2) { START } else { END }, microseconds.to_string());
        }
    }

    /// Of the lines that the collector writes.
    pub(crate) fn of_lines(lines: &str) -> Self {
        let mut fields = Self::default();
        for line in lines.lines() {
            let Pairs(pairs) = serde_json::from_str(line).unwrap();
            pairs.iter().for_each(|(key, value)| fields.add_json(key, value));
        }
        fields
    }

    fn add_json(&mut self, key: &str, value: &Value) {
        let reverse =
            key.strip_prefix("reverse").and_then(|name| Some((name.chars().next()?, name.get(1..)?)));
        let name = reverse
            .map_or_else(|| key.to_owned(), |(first, rest)| format!("{}{rest}", first.to_ascii_lowercase()));
        if let Some((field, ..)) = FIELDS.iter().find(|field| field.0 == name) {
            self.add(field, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        } else if let Some((_, number)) = TIMES.iter().find(|time| time.0 == name) {
            let text = value.as_str().unwrap();
            self.add(if number.is_multiple_of(2) { START } else { END }, microseconds(text).to_string());
        }
    }
}

impl Fields {
    /// Returns where both differ first, field by field; nothing if they are the same.
    pub(crate) fn differences(&self, theirs: &Self) -> String {
        let all = FIELDS.iter().map(|field| field.0).chain([START, END]);
        let differences = all.filter_map(|field| {
            let [ours, theirs] =
                [self, theirs].map(|fields| fields.0.get(field).map_or(&[][..], Vec::as_slice));
            let at = (0..ours.len().max(theirs.len())).find(|at| !same(ours.get(*at), theirs.get(*at)))?;
            Some(format!(
                "{field} {at}: {:?} of {}, theirs {:?} of {}",
                ours.get(at),
                ours.len(),
                theirs.get(at),
                theirs.len()
            ))
        });
        differences.collect::<Vec<_>>().join("\n")
    }
}

/// Whether values are the same. Times of NTP in microseconds have 11 bits that mean nothing (RFC 7011 section 6.1.9), and are rounded with
/// or without them.
fn same(ours: Option<&String>, theirs: Option<&String>) -> bool {
    let number = |value: Option<&String>| value?.parse::<u64>().ok().filter(|number| *number > 1 << 40);
    ours == theirs
        || number(ours).zip(number(theirs)).is_some_and(|(ours, theirs)| ours.abs_diff(theirs) <= 1)
}

/// Microseconds since the Unix epoch, of a time of NTP: to the nearest.
fn ntp(time: u64) -> u64 {
    let seconds = (time >> 32).wrapping_sub(2_208_988_800);
    seconds.wrapping_mul(1_000_000) + (((time & 0xffff_ffff) * 1_000_000 + (1 << 31)) >> 32)
}

/// Microseconds since the Unix epoch, to the nearest, of a time like `2026-11-22T08:00:00.123Z` or, as tshark has it,
/// `Nov 22, 2026 08:00:00.123000000 UTC`.
pub(crate) fn microseconds(text: &str) -> u64 {
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("{text} is no number"));
    let words: Vec<&str> = text.split([' ', ',', 'T', 'Z']).filter(|word| !word.is_empty()).collect();
    let (year, month, day, clock) = match words[..] {
        [date, clock, ..] if date.contains('-') => {
            let date: Vec<u64> = date.split('-').map(number).collect();
            (date[0], date[1], date[2], clock)
        }
        [month, day, year, clock, ..] => {
            let month = MONTHS.iter().zip(1..).find(|(name, _)| **name == month).unwrap().1;
            (number(year), month, number(day), clock)
        }
        _ => panic!("{text} is no time"),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let of_day = clock.split(':').fold(0, |sum, part| sum * 60 + number(part));
    let seconds = days(year, month, day) * 86_400 + of_day;
    seconds * 1_000_000 + (number(&format!("{fraction:0<9}")) + 500) / 1_000
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days since the Unix epoch, of a day after it.
fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years begin with March here.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// An object of JSON, its keys in order.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
