//! What options records tell about flow records, put into their lines: sampling, names of interfaces, VRFs and
//! applications, and who exported them.
//!
//! One [`Metadata`] belongs to a transport session and keeps what was told by observation domain, and by original exporter where
//! one is told (RFC 7119 section 5), within a bound on
//! octets: beyond it nothing new is learned. A flow record is never changed or held back: what is known is added behind it,
//! and where nothing is known nothing is. All keys are our own (docs/metadata.md), so none hides a field of the record.

mod learning;
mod sampling;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use intake::Room;
use ipfix::{Record, Template, Value};

use self::sampling::Factor;
use crate::json::text;

/// Octets kept for one session.
const MAX_OCTETS: usize = 256 << 10;
/// What an entry costs beside its name.
const OVERHEAD: usize = 64;

const OCTETS: u16 = 1;
const PACKETS: u16 = 2;
const INGRESS_INTERFACE: u16 = 10;
const EGRESS_INTERFACE: u16 = 14;
const SAMPLING_INTERVAL: u16 = 34;
const SAMPLER: u16 = 48;
const APPLICATION: u16 = 95;
const APPLICATION_NAME: u16 = 96;
const EXPORTER_IPV4: u16 = 130;
const EXPORTER_IPV6: u16 = 131;
const INGRESS_VRF: u16 = 234;
const EGRESS_VRF: u16 = 235;
const SELECTOR: u16 = 302;
const ORIGINAL_EXPORTER_IPV4: u16 = 403;
const ORIGINAL_EXPORTER_IPV6: u16 = 404;
const ORIGINAL_DOMAIN: u16 = 405;

/// Whose words count for a record: those of its observation domain, and of the exporter and domain that a mediator had it from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Origin {
    domain: u32,
    original: Option<(IpAddr, u64)>,
}

impl Origin {
    fn of(record: &Record<'_>, exporter: Option<usize>, domain: Option<usize>) -> Self {
        let exporter = exporter.and_then(|place| match record.field(place)?.value() {
            Value::Ipv4(address) => Some(IpAddr::V4(address)),
            Value::Ipv6(address) => Some(IpAddr::V6(address)),
            _ => None,
        });
        let original = exporter.map(|exporter| (exporter, number(record, domain).unwrap_or(0)));
        Self { domain: record.domain, original }
    }
}

/// What something is known by, within its observation domain.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Subject {
    InterfaceName(u64),
    InterfaceDescription(u64),
    Vrf(u64),
    /// By applicationId.
    Application(Vec<u8>),
    /// exporterIPv4Address or exporterIPv6Address, as text.
    Exporter,
}

/// Where a sampling factor applies.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Scope {
    /// selectorId or samplerId.
    Selector(u64),
    Interface(u64),
    Domain,
}

/// Something that is told about flow records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Key {
    ScaledOctets,
    ScaledPackets,
    IngressInterfaceName,
    IngressInterfaceDescription,
    EgressInterfaceName,
    EgressInterfaceDescription,
    IngressVrfName,
    EgressVrfName,
    /// Unless the record has one itself.
    ApplicationName,
    /// Address and port that the record came from, over UDP.
    ExporterSource,
    /// Address by which the exporter calls itself.
    ExporterAddress,
}

impl Key {
    /// All of them, and what columns of CSV call them.
    const ALL: [(Self, &str); 11] = [
        (Self::ScaledOctets, "scaledOctetDeltaCount"),
        (Self::ScaledPackets, "scaledPacketDeltaCount"),
        (Self::IngressInterfaceName, "ingressInterfaceName"),
        (Self::IngressInterfaceDescription, "ingressInterfaceDescription"),
        (Self::EgressInterfaceName, "egressInterfaceName"),
        (Self::EgressInterfaceDescription, "egressInterfaceDescription"),
        (Self::IngressVrfName, "ingressVRFName"),
        (Self::EgressVrfName, "egressVRFName"),
        (Self::ApplicationName, "applicationName"),
        (Self::ExporterSource, "exporterSource"),
        (Self::ExporterAddress, "exporterAddress"),
    ];

    /// Returns the key with this name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(key, _)| *key)
    }
}

/// What is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Told<'a> {
    Count(u64),
    Text(&'a [u8]),
    Source(SocketAddr),
}

/// What one session's options records told.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    names: BTreeMap<(Origin, Subject), Vec<u8>>,
    factors: BTreeMap<(Origin, Scope), Factor>,
    octets: usize,
    /// What all sessions have, if they share.
    room: Option<Arc<Room>>,
    /// Where the records come from, for sources without an identity.
    source: Option<SocketAddr>,
    /// Where the fields are in the records of the last template.
    places: Option<(u64, Places)>,
}

/// Where a template has what is asked for.
#[derive(Clone, Copy, Debug)]
struct Places {
    octets: Option<usize>,
    packets: Option<usize>,
    ingress: Option<usize>,
    egress: Option<usize>,
    interval: Option<usize>,
    selector: Option<usize>,
    application: Option<usize>,
    ingress_vrf: Option<usize>,
    egress_vrf: Option<usize>,
    original_exporter: Option<usize>,
    original_domain: Option<usize>,
}

impl Places {
    fn of(template: &Template) -> Self {
        let place = |id| template.position(0, id);
        let has_application_name = place(APPLICATION_NAME).is_some();
        Self {
            octets: place(OCTETS),
            packets: place(PACKETS),
            ingress: place(INGRESS_INTERFACE),
            egress: place(EGRESS_INTERFACE),
            interval: place(SAMPLING_INTERVAL),
            selector: place(SELECTOR).or_else(|| place(SAMPLER)),
            application: place(APPLICATION).filter(|_| !has_application_name),
            ingress_vrf: place(INGRESS_VRF),
            egress_vrf: place(EGRESS_VRF),
            original_exporter: place(ORIGINAL_EXPORTER_IPV4).or_else(|| place(ORIGINAL_EXPORTER_IPV6)),
            original_domain: place(ORIGINAL_DOMAIN),
        }
    }
}

impl Places {
    fn origin(&self, record: &Record<'_>) -> Origin {
        Origin::of(record, self.original_exporter, self.original_domain)
    }
}

impl Metadata {
    /// Says where the session's records come from.
    pub(crate) const fn set_source(&mut self, source: SocketAddr) {
        self.source = Some(source);
    }

    /// Says where memory comes from, before anything is learned.
    pub(crate) fn share(&mut self, room: Arc<Room>) {
        self.room = Some(room);
    }

    /// Takes in an options record.
    pub(crate) fn learn(&mut self, record: &Record<'_>) {
        learning::learn(self, record);
    }

    /// Adds what is known about a flow record to its line, which is the end of `out`.
    pub(crate) fn add(&mut self, out: &mut Vec<u8>, record: &Record<'_>) {
        let places = self.places(record);
        // What follows stands before the end of the line, a brace and a newline.
        out.truncate(out.len().saturating_sub(2));
        let empty = out.last() == Some(&b'{');
        let start = out.len();
        let origin = places.origin(record);
        self.add_exporter(out, origin);
        self.add_sampling(out, record, &places);
        // Counts stand before, the exporter in an object of its own.
        for (key, name) in Key::ALL {
            if let Some(subject) = subject(key, record, &places)
                && subject != Subject::Exporter
            {
                self.add_name(out, origin, name, subject);
            }
        }
        if empty && out.len() > start {
            out.remove(start);
        }
        out.extend_from_slice(b"}\n");
    }

    /// Returns what is told about a flow record.
    pub(crate) fn told(&mut self, key: Key, record: &Record<'_>) -> Option<Told<'_>> {
        let places = self.places(record);
        let scaled = |place| Some(self.factor_of(record, &places)?.scale(number(record, place)?));
        match key {
            Key::ScaledOctets => scaled(places.octets).map(Told::Count),
            Key::ScaledPackets => scaled(places.packets).map(Told::Count),
            Key::ExporterSource => self.source.map(Told::Source),
            Key::IngressInterfaceName
            | Key::IngressInterfaceDescription
            | Key::EgressInterfaceName
            | Key::EgressInterfaceDescription
            | Key::IngressVrfName
            | Key::EgressVrfName
            | Key::ApplicationName
            | Key::ExporterAddress => {
                let name = self.names.get(&(places.origin(record), subject(key, record, &places)?))?;
                Some(Told::Text(name))
            }
        }
    }

    /// Where the fields of a record are.
    fn places(&mut self, record: &Record<'_>) -> Places {
        let serial = record.template.serial();
        let places = match self.places {
            Some((last, places)) if last == serial => places,
            _ => Places::of(record.template),
        };
        self.places = Some((serial, places));
        places
    }

    fn add_name(&self, out: &mut Vec<u8>, origin: Origin, key: &str, subject: Subject) {
        if let Some(name) = self.names.get(&(origin, subject)) {
            begin(out, key);
            text::string(out, name);
        }
    }

    fn add_exporter(&self, out: &mut Vec<u8>, origin: Origin) {
        let Some(source) = self.source else { return };
        begin(out, "exporter");
        out.extend_from_slice(b"{\"source\":");
        text::string(out, source.to_string().as_bytes());
        begin(out, "domain");
        text::unsigned(out, origin.domain.into());
        self.add_name(out, origin, "address", Subject::Exporter);
        out.push(b'}');
    }

    fn add_sampling(&self, out: &mut Vec<u8>, record: &Record<'_>, places: &Places) {
        let Some(factor) = self.factor_of(record, places) else { return };
        for (place, key) in
            [(places.octets, "scaledOctetDeltaCount"), (places.packets, "scaledPacketDeltaCount")]
        {
            if let Some(count) = number(record, place) {
                begin(out, key);
                text::unsigned(out, factor.scale(count));
            }
        }
    }

    /// Returns how the packets of a flow were sampled. None: not at all, or nobody told.
    fn factor_of(&self, record: &Record<'_>, places: &Places) -> Option<Factor> {
        let origin = places.origin(record);
        let told = |scope| self.factors.get(&(origin, scope)).copied();
        let of_record = number(record, places.interval).and_then(Factor::one_of);
        let by_selector = || told(Scope::Selector(number(record, places.selector)?));
        let by_interface = || told(Scope::Interface(number(record, places.ingress)?));
        let factor = of_record.or_else(by_selector).or_else(by_interface).or_else(|| told(Scope::Domain));
        factor.filter(Factor::is_sampled)
    }

    /// Remembers a name, if there is room for it.
    fn name(&mut self, origin: Origin, subject: Subject, name: &[u8]) {
        let end = name.iter().rposition(|octet| !matches!(octet, 0 | b' ')).map_or(0, |last| last + 1);
        let name = &name[..end];
        let key = (origin, subject);
        if name.is_empty() || self.names.get(&key).is_some_and(|known| known == name) {
            return;
        }
        let own = |key: &(Origin, Subject)| match &key.1 {
            Subject::Application(id) => id.len(),
            _ => 0,
        };
        let cost = OVERHEAD + own(&key) + name.len();
        let old = self.names.get(&key).map_or(0, |known| OVERHEAD + own(&key) + known.len());
        if self.take(old, cost) {
            self.names.insert(key, name.to_vec());
        }
    }

    /// Remembers a factor, if there is room for it.
    fn factor(&mut self, origin: Origin, scope: Scope, factor: Factor) {
        let key = (origin, scope);
        if self.factors.contains_key(&key) || self.take(0, OVERHEAD) {
            self.factors.insert(key, factor);
        }
    }

    /// Takes `new` octets in place of `old`. Returns whether there is room.
    fn take(&mut self, old: usize, new: usize) -> bool {
        let octets = self.octets - old + new;
        let limit = self.room.as_ref().map_or(MAX_OCTETS, |room| room.limit(self.octets).min(MAX_OCTETS));
        if octets > limit {
            return false;
        }
        self.room.iter().for_each(|room| room.change(self.octets, octets));
        self.octets = octets;
        true
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.room.iter().for_each(|room| room.change(self.octets, 0));
    }
}

/// Returns what the name that a key asks for is of, in this record.
fn subject(key: Key, record: &Record<'_>, places: &Places) -> Option<Subject> {
    let number = |place: Option<usize>| number(record, place);
    match key {
        Key::IngressInterfaceName => number(places.ingress).map(Subject::InterfaceName),
        Key::IngressInterfaceDescription => number(places.ingress).map(Subject::InterfaceDescription),
        Key::EgressInterfaceName => number(places.egress).map(Subject::InterfaceName),
        Key::EgressInterfaceDescription => number(places.egress).map(Subject::InterfaceDescription),
        Key::IngressVrfName => number(places.ingress_vrf).map(Subject::Vrf),
        Key::EgressVrfName => number(places.egress_vrf).map(Subject::Vrf),
        Key::ApplicationName => {
            Some(Subject::Application(record.field(places.application?)?.octets().to_vec()))
        }
        Key::ExporterAddress => Some(Subject::Exporter),
        Key::ScaledOctets | Key::ScaledPackets | Key::ExporterSource => None,
    }
}

fn begin(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn number(record: &Record<'_>, place: Option<usize>) -> Option<u64> {
    match record.field(place?)?.value() {
        Value::Unsigned(number) => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
