//! What options records tell about flow records, put into their lines: sampling, names of interfaces, VRFs and
//! applications, and who exported them.
//!
//! One [`Metadata`] belongs to a transport session and keeps what was told by observation domain, within a bound on
//! octets: beyond it nothing new is learned. A flow record is never changed or held back: what is known is added behind it,
//! and where nothing is known nothing is. All keys are our own (docs/metadata.md), so none hides a field of the record.

mod learning;
mod sampling;

use std::collections::BTreeMap;
use std::net::SocketAddr;

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

/// What one session's options records told.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    names: BTreeMap<(u32, Subject), Vec<u8>>,
    factors: BTreeMap<(u32, Scope), Factor>,
    octets: usize,
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
        }
    }
}

impl Metadata {
    /// Says where the session's records come from.
    pub(crate) const fn set_source(&mut self, source: SocketAddr) {
        self.source = Some(source);
    }

    /// Takes in an options record.
    pub(crate) fn learn(&mut self, record: &Record<'_>) {
        learning::learn(self, record);
    }

    /// Adds what is known about a flow record to its line, which is the end of `out`.
    pub(crate) fn add(&mut self, out: &mut Vec<u8>, record: &Record<'_>) {
        let serial = record.template.serial();
        let places = match self.places {
            Some((last, places)) if last == serial => places,
            _ => Places::of(record.template),
        };
        self.places = Some((serial, places));
        // What follows stands before the end of the line, a brace and a newline.
        out.truncate(out.len().saturating_sub(2));
        let empty = out.last() == Some(&b'{');
        let start = out.len();
        self.add_exporter(out, record.domain);
        self.add_sampling(out, record, &places);
        let number = |place: Option<usize>| number(record, place);
        for (place, name, description) in [
            (places.ingress, "ingressInterfaceName", "ingressInterfaceDescription"),
            (places.egress, "egressInterfaceName", "egressInterfaceDescription"),
        ] {
            if let Some(interface) = number(place) {
                self.add_name(out, record.domain, name, Subject::InterfaceName(interface));
                self.add_name(out, record.domain, description, Subject::InterfaceDescription(interface));
            }
        }
        for (place, key) in [(places.ingress_vrf, "ingressVRFName"), (places.egress_vrf, "egressVRFName")] {
            if let Some(vrf) = number(place) {
                self.add_name(out, record.domain, key, Subject::Vrf(vrf));
            }
        }
        if let Some(application) = places.application.and_then(|place| record.field(place)) {
            let subject = Subject::Application(application.octets().to_vec());
            self.add_name(out, record.domain, "applicationName", subject);
        }
        if empty && out.len() > start {
            out.remove(start);
        }
        out.extend_from_slice(b"}\n");
    }

    fn add_name(&self, out: &mut Vec<u8>, domain: u32, key: &str, subject: Subject) {
        if let Some(name) = self.names.get(&(domain, subject)) {
            begin(out, key);
            text::string(out, name);
        }
    }

    fn add_exporter(&self, out: &mut Vec<u8>, domain: u32) {
        let Some(source) = self.source else { return };
        begin(out, "exporter");
        out.extend_from_slice(b"{\"source\":");
        text::string(out, source.to_string().as_bytes());
        begin(out, "domain");
        text::unsigned(out, domain.into());
        self.add_name(out, domain, "address", Subject::Exporter);
        out.push(b'}');
    }

    fn add_sampling(&self, out: &mut Vec<u8>, record: &Record<'_>, places: &Places) {
        let told = |scope| self.factors.get(&(record.domain, scope)).copied();
        let of_record = number(record, places.interval).and_then(Factor::one_of);
        let by_selector = || told(Scope::Selector(number(record, places.selector)?));
        let by_interface = || told(Scope::Interface(number(record, places.ingress)?));
        let factor = of_record.or_else(by_selector).or_else(by_interface).or_else(|| told(Scope::Domain));
        let Some(factor) = factor.filter(Factor::is_sampled) else { return };
        for (place, key) in
            [(places.octets, "scaledOctetDeltaCount"), (places.packets, "scaledPacketDeltaCount")]
        {
            if let Some(count) = number(record, place) {
                begin(out, key);
                text::unsigned(out, factor.scale(count));
            }
        }
    }

    /// Remembers a name, if there is room for it.
    fn name(&mut self, domain: u32, subject: Subject, name: &[u8]) {
        let end = name.iter().rposition(|octet| !matches!(octet, 0 | b' ')).map_or(0, |last| last + 1);
        let name = &name[..end];
        let key = (domain, subject);
        if name.is_empty() || self.names.get(&key).is_some_and(|known| known == name) {
            return;
        }
        let own = |key: &(u32, Subject)| match &key.1 {
            Subject::Application(id) => id.len(),
            _ => 0,
        };
        let cost = OVERHEAD + own(&key) + name.len();
        let old = self.names.get(&key).map_or(0, |known| OVERHEAD + own(&key) + known.len());
        if self.octets - old + cost <= MAX_OCTETS {
            self.octets = self.octets - old + cost;
            self.names.insert(key, name.to_vec());
        }
    }

    /// Remembers a factor, if there is room for it.
    fn factor(&mut self, domain: u32, scope: Scope, factor: Factor) {
        let key = (domain, scope);
        if !self.factors.contains_key(&key) {
            if self.octets + OVERHEAD > MAX_OCTETS {
                return;
            }
            self.octets += OVERHEAD;
        }
        self.factors.insert(key, factor);
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
