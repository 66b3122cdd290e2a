//! Flow records as IPFIX data records: kinds of flows, their templates, and the encoder.
//!
//! A template holds only what its flows have: addresses of one IP version, ports or an ICMP type and code, and elements of the other
//! direction if there are packets of it (RFC 5103 section 4.2).

use std::net::IpAddr;

use super::fields::{FieldSelection, FlowField, Write};
use super::templates::{TemplateIndex, Templates};
use crate::metering::FlowRecord;

const ICMP: u8 = 1;
const ICMP_IPV6: u8 = 58;

/// What a flow has beside what every flow has; each kind has its template.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum FlowKind {
    /// IPv4 with ports (zero where the protocol has none).
    Ipv4,
    /// IPv4 and ICMP.
    Ipv4Icmp,
    /// IPv6 with ports (zero where the protocol has none).
    Ipv6,
    /// IPv6 and ICMPv6.
    Ipv6Icmp,
}

impl FlowKind {
    /// All of them, in the order of their templates.
    pub const ALL: [Self; 4] = [Self::Ipv4, Self::Ipv4Icmp, Self::Ipv6, Self::Ipv6Icmp];

    /// Returns the kind of a flow.
    pub const fn of(flow: &FlowRecord) -> Self {
        match (flow.source, flow.protocol) {
            (IpAddr::V4(_), ICMP) => Self::Ipv4Icmp,
            (IpAddr::V4(_), _) => Self::Ipv4,
            (IpAddr::V6(_), ICMP_IPV6) => Self::Ipv6Icmp,
            (IpAddr::V6(_), _) => Self::Ipv6,
        }
    }

    /// Returns its name, which is that of its template in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv4Icmp => "ipv4-icmp",
            Self::Ipv6 => "ipv6",
            Self::Ipv6Icmp => "ipv6-icmp",
        }
    }
}

/// Encodes flow records; made once, so that a record costs no look-ups.
#[derive(Debug)]
pub struct FlowEncoder {
    templates: Templates,
    /// By kind; then those of biflows.
    writers: Vec<(TemplateIndex, Vec<Write>)>,
}

impl Default for FlowEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl FlowEncoder {
    /// Returns an encoder for all kinds of flows with the fields of [`Preset::Basic`](super::fields::Preset::Basic).
    pub fn new() -> Self {
        Self::with(&FieldSelection::default())
    }

    /// Returns an encoder for all kinds of flows with these fields.
    pub fn with(selection: &FieldSelection) -> Self {
        let mut templates = Templates::default();
        let mut writers = Vec::new();
        let both_ways: &[bool] = if selection.biflows() { &[false, true] } else { &[false] };
        for &reverse in both_ways {
            for kind in FlowKind::ALL {
                let fields = || selection.fields(kind, reverse);
                let index = templates.add(Some(kind.name()), fields().map(FlowField::specifier).collect());
                let writes = fields().map(|field| field.write).collect();
                writers.push((index.expect("there is room for some"), writes));
            }
        }
        Self { templates, writers }
    }

    /// Returns the templates of its records.
    pub const fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Appends the data record of `flow` and returns its template.
    pub fn encode(&self, flow: &FlowRecord, out: &mut Vec<u8>) -> TemplateIndex {
        let kind = FlowKind::of(flow) as usize;
        // A biflow that nobody asked for is encoded without its other direction.
        let biflow = flow.reverse.and(self.writers.get(FlowKind::ALL.len() + kind));
        let (template, writers) = biflow.unwrap_or(&self.writers[kind]);
        for write in writers {
            write(flow, out);
        }
        *template
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::{Details, Direction, FlowEndReason};
    use crate::packet::Segment;

    fn flow(source: &str, destination: &str, protocol: u8) -> FlowRecord {
        FlowRecord {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            source_port: 40_000,
            destination_port: 0x0800,
            protocol,
            class_of_service: 0xb8,
            tcp_control_bits: 0x1b,
            minimum_ttl: 60,
            maximum_ttl: 64,
            vlan_id: 10,
            customer_vlan_id: 0,
            segment: Segment::NONE,
            interface: 3,
            direction: Direction::Ingress,
            end_reason: FlowEndReason::ActiveTimeout,
            octets: 4711,
            packets: 12,
            start_ns: 1_700_000_000_123_456_789,
            end_ns: 1_700_000_001_000_000_000,
            details: Details::default(),
            reverse: None,
        }
    }

    #[test]
    fn every_template_is_as_long_as_its_records() {
        let encoder = FlowEncoder::new();
        for (source, destination, protocol, expected) in [
            ("192.0.2.1", "192.0.2.2", 6, FlowKind::Ipv4),
            ("192.0.2.1", "192.0.2.2", 1, FlowKind::Ipv4Icmp),
            ("2001:db8::1", "2001:db8::2", 17, FlowKind::Ipv6),
            ("2001:db8::1", "2001:db8::2", 58, FlowKind::Ipv6Icmp),
        ] {
            let mut record = Vec::new();
            let template = encoder.encode(&flow(source, destination, protocol), &mut record);
            assert_eq!(encoder.templates().named(expected.name()).last(), Some(template));
            let fields = encoder.templates().get(template).fields();
            assert_eq!(record.len(), fields.iter().map(|field| usize::from(field.length)).sum::<usize>());
        }
    }

    #[test]
    fn a_collector_reads_back_what_was_metered() {
        let mut record = Vec::new();
        let encoder = FlowEncoder::new();
        let template = encoder.encode(&flow("192.0.2.1", "192.0.2.2", 1), &mut record);
        let mut at = 0;
        let mut read = std::collections::BTreeMap::new();
        for field in encoder.templates().get(template).fields() {
            let end = at + usize::from(field.length);
            let value = record[at..end].iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
            let element = ipfix::ie::lookup(0, field.id).unwrap();
            read.insert(element.name, value);
            at = end;
        }
        assert_eq!(read["flowStartMilliseconds"], 1_700_000_000_123);
        assert_eq!(read["octetDeltaCount"], 4711);
        assert_eq!(read["sourceIPv4Address"], 0xc000_0201);
        assert_eq!(read["icmpTypeCodeIPv4"], 0x0800);
        assert_eq!((read["ingressInterface"], read["egressInterface"]), (3, 0));
        assert_eq!(read["dot1qVlanId"], 10);
        assert_eq!(read["flowEndReason"], 2);
        assert!(!read.contains_key("sourceTransportPort"));
    }
}
