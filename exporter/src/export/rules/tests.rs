use super::*;
use crate::export::{FlowEncoder, FlowKind};
use crate::metering::{Direction, FlowEndReason, FlowRecord};
use crate::packet::Segment;

const OCTETS: u16 = 1;
const PROTOCOL: u16 = 4;
const DESTINATION_PORT: u16 = 11;
const SOURCE_IPV4: u16 = 8;
const SOURCE_IPV6: u16 = 27;

fn rule(conditions: &[(u16, Ranges)], class: u8) -> Rule {
    Rule {
        templates: templates().indices().collect(),
        conditions: conditions.to_vec(),
        class: ClassIndex(class),
    }
}

fn templates() -> Templates {
    FlowEncoder::new().templates().clone()
}

fn compile(rules: &[Rule], rest: ClassIndex) -> Result<Classifier, RuleError> {
    Classifier::new(rules, rest, &templates())
}

fn is(value: u64) -> Ranges {
    Ranges::numbers([value..=value])
}

fn flow(source: &str, protocol: u8, destination_port: u16, octets: u64) -> FlowRecord {
    FlowRecord {
        source: source.parse().unwrap(),
        destination: source.parse().unwrap(),
        source_port: 40_000,
        destination_port,
        protocol,
        class_of_service: 0,
        tcp_control_bits: 0,
        minimum_ttl: 64,
        maximum_ttl: 64,
        vlan_id: 0,
        customer_vlan_id: 0,
        segment: Segment::NONE,
        interface: 0,
        direction: Direction::Ingress,
        end_reason: FlowEndReason::IdleTimeout,
        octets,
        packets: 1,
        start_ns: 0,
        end_ns: 0,
    }
}

fn class_of(classifier: &Classifier, flow: &FlowRecord) -> u8 {
    let mut record = Vec::new();
    let template = FlowEncoder::new().encode(flow, &mut record);
    classifier.classify(template, &record).0
}

#[test]
fn the_first_rule_that_matches_decides() {
    let large = (OCTETS, Ranges::numbers([10_000..=u64::MAX]));
    let dns = (DESTINATION_PORT, Ranges::numbers([53..=53, 853..=853]));
    let rules = [rule(&[(PROTOCOL, is(6)), large], 0), rule(&[dns], 1)];
    let classifier = compile(&rules, ClassIndex(2)).unwrap();
    for (source, protocol, port, octets, class) in [
        ("192.0.2.1", 6, 443, 10_000, 0),
        ("192.0.2.1", 6, 53, 10_000, 0),
        ("192.0.2.1", 6, 53, 9_999, 1),
        ("2001:db8::1", 17, 853, 10_000, 1),
        ("2001:db8::1", 17, 443, 10_000, 2),
        // The port of an ICMP flow is its type and code, and not this element.
        ("192.0.2.1", 1, 53, 10_000, 2),
    ] {
        assert_eq!(class_of(&classifier, &flow(source, protocol, port, octets)), class, "{source} {port}");
    }
}

#[test]
fn addresses_match_by_prefix_in_records_of_their_version() {
    let v4 = (SOURCE_IPV4, Ranges::prefixes([([192, 0, 2, 0].into(), 24)]));
    let v6 = (SOURCE_IPV6, Ranges::prefixes([("2001:db8::".parse().unwrap(), 32)]));
    let classifier = compile(&[rule(&[v4], 0), rule(&[v6], 1)], ClassIndex(2)).unwrap();
    let classes = ["192.0.2.9", "192.0.3.9", "2001:db8::7", "2001:db9::"]
        .map(|source| class_of(&classifier, &flow(source, 6, 1, 1)));
    assert_eq!(classes, [0, 2, 1, 2]);
}

#[test]
fn a_rule_may_be_for_some_templates() {
    let mut icmp = rule(&[], 0);
    icmp.templates =
        [FlowKind::Ipv4Icmp, FlowKind::Ipv6Icmp].map(|kind| templates().find(kind.name()).unwrap()).to_vec();
    let classifier = compile(&[icmp], ClassIndex(1)).unwrap();
    assert_eq!(class_of(&classifier, &flow("192.0.2.1", 1, 0, 1)), 0);
    assert_eq!(class_of(&classifier, &flow("192.0.2.1", 17, 0, 1)), 1);
    assert!(classifier.has_rest());
}

#[test]
fn rules_that_can_match_no_record_are_refused() {
    let both = rule(&[(SOURCE_IPV4, is(1)), (SOURCE_IPV6, is(1))], 0);
    assert_eq!(compile(&[both], ClassIndex(1)).unwrap_err(), RuleError::NoTemplate { rule: 0 });

    let ports = rule(&[(DESTINATION_PORT, Ranges::numbers([50..=60]))], 0);
    let dns = rule(&[(PROTOCOL, is(17)), (DESTINATION_PORT, is(53))], 1);
    let shadowed = compile(&[ports.clone(), dns.clone()], ClassIndex(2)).unwrap_err();
    assert_eq!((shadowed, shadowed.rule()), (RuleError::Shadowed { rule: 1, by: 0 }, 1));
    assert!(shadowed.to_string().contains("rule 1 takes them all"), "{shadowed}");
    assert!(compile(&[dns, ports], ClassIndex(2)).is_ok(), "the special case comes first");

    let all = compile(&[rule(&[], 0)], ClassIndex(0)).unwrap();
    assert!(!all.has_rest());
    assert!(compile(&[rule(&[], 0), rule(&[(PROTOCOL, is(6))], 1)], ClassIndex(0)).is_err());
}
