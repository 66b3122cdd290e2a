//! What an options record is about, by the elements it has: exporters differ in what they make scope.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipfix::{Record, Value};

use super::sampling::Factor;
use super::{
    APPLICATION, APPLICATION_NAME, EGRESS_INTERFACE, EGRESS_VRF, EXPORTER_IPV4, EXPORTER_IPV6,
    INGRESS_INTERFACE, INGRESS_VRF, Metadata, ORIGINAL_DOMAIN, ORIGINAL_EXPORTER_IPV4,
    ORIGINAL_EXPORTER_IPV6, Origin, SAMPLER, SAMPLING_INTERVAL, SELECTOR, Scope, Subject,
};

const SAMPLER_RANDOM_INTERVAL: u16 = 50;
const INTERFACE_NAME: u16 = 82;
const INTERFACE_DESCRIPTION: u16 = 83;
const VRF_NAME: u16 = 236;
const SAMPLING_PACKET_INTERVAL: u16 = 305;
const SAMPLING_PACKET_SPACE: u16 = 306;
const SAMPLING_SIZE: u16 = 309;
const SAMPLING_POPULATION: u16 = 310;
const SAMPLING_PROBABILITY: u16 = 311;

pub(super) fn learn(metadata: &mut Metadata, record: &Record<'_>) {
    let octets = |id| record.find(0, id).map(|field| field.octets());
    let number = |id| match record.find(0, id)?.value() {
        Value::Unsigned(number) => Some(number),
        _ => None,
    };
    let place = |id| record.template.position(0, id);
    let exporter = place(ORIGINAL_EXPORTER_IPV4).or_else(|| place(ORIGINAL_EXPORTER_IPV6));
    let origin = Origin::of(record, exporter, place(ORIGINAL_DOMAIN));
    if let Some(interface) = number(INGRESS_INTERFACE).or_else(|| number(EGRESS_INTERFACE)) {
        if let Some(name) = octets(INTERFACE_NAME) {
            metadata.name(origin, Subject::InterfaceName(interface), name);
        }
        if let Some(description) = octets(INTERFACE_DESCRIPTION) {
            metadata.name(origin, Subject::InterfaceDescription(interface), description);
        }
    }
    if let (Some(name), Some(vrf)) = (octets(VRF_NAME), number(INGRESS_VRF).or_else(|| number(EGRESS_VRF))) {
        metadata.name(origin, Subject::Vrf(vrf), name);
    }
    if let (Some(name), Some(application)) = (octets(APPLICATION_NAME), octets(APPLICATION)) {
        metadata.name(origin, Subject::Application(application.to_vec()), name);
    }
    let address = octets(EXPORTER_IPV4).and_then(<[u8]>::first_chunk::<4>);
    let address = address.map(|octets| Ipv4Addr::from(*octets).to_string()).or_else(|| {
        let octets = octets(EXPORTER_IPV6)?.first_chunk::<16>()?;
        Some(Ipv6Addr::from(*octets).to_string())
    });
    if let Some(address) = address {
        metadata.name(origin, Subject::Exporter, address.as_bytes());
    }
    if let Some(factor) = factor(record, number) {
        metadata.factor(origin, scope(number), factor);
    }
}

/// Returns how the packets were selected, if the record tells.
fn factor(record: &Record<'_>, number: impl Fn(u16) -> Option<u64>) -> Option<Factor> {
    if let Some(interval) = number(SAMPLING_PACKET_INTERVAL) {
        let space = number(SAMPLING_PACKET_SPACE).unwrap_or(0);
        return Factor::ratio(interval.saturating_add(space), interval);
    }
    if let (Some(size), Some(population)) = (number(SAMPLING_SIZE), number(SAMPLING_POPULATION)) {
        return Factor::ratio(population, size);
    }
    if let Some(Value::Float(probability)) = record.find(0, SAMPLING_PROBABILITY).map(|field| field.value()) {
        return Factor::probability(probability);
    }
    number(SAMPLING_INTERVAL).or_else(|| number(SAMPLER_RANDOM_INTERVAL)).and_then(Factor::one_of)
}

/// Returns what the record's sampling is of: a selector, else an interface (0 is none), else all of the domain.
fn scope(number: impl Fn(u16) -> Option<u64>) -> Scope {
    let interface = || number(INGRESS_INTERFACE).filter(|interface| *interface != 0);
    let selector = number(SELECTOR).or_else(|| number(SAMPLER)).map(Scope::Selector);
    selector.or_else(|| interface().map(Scope::Interface)).unwrap_or(Scope::Domain)
}
