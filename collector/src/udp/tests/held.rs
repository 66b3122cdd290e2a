//! Data sets that wait for their template.

use super::netflow::{v9, v9_flow, v9_template};
use super::*;

const NO_TEMPLATE: &str = "records_dropped_total{reason=\"no_template\"}";

/// An exporter whose templates are lost.
fn waiting() -> Exporter {
    let mut exporter = Exporter::new(1, 4);
    exporter.templates();
    exporter
}

fn held(world: &World) -> u64 {
    assert_eq!(world.totals.held() as u64, world.metric("udp_held_bytes"));
    world.metric("udp_held_bytes")
}

#[test]
fn data_that_comes_before_its_template_is_decoded_in_order_when_that_has_come() {
    let (mut world, mut exporter) = (World::new(), Exporter::new(1, 4));
    exporter.templates();
    let messages: Vec<_> = (0..3).map(|at| exporter.flows(at * 10..at * 10 + 10 + at)).collect();
    world.send_all(1, &messages);
    assert_eq!((world.values(), world.metric(NO_TEMPLATE)), (vec![], 0));
    assert!(held(&world) > 100);
    world.send(1, &exporter.templates());
    let expected: Vec<u64> = (0..10).chain(10..21).chain(20..32).collect();
    assert_eq!((world.values(), held(&world)), (expected, 0));
    world.send_all(1, &[exporter.flows(0..13), exporter.flows(0..14)]);
    assert_eq!(world.values().len(), 13 + 14);
    assert_eq!((world.metric("records_lost_total"), world.metric("records_late_total")), (0, 0));
    assert_eq!(world.metric("records_received_total{kind=\"data\"}"), 10 + 11 + 12 + 13 + 14);
}

#[test]
fn version_9_waits_as_well_and_its_times_are_those_of_its_own_datagram() {
    let mut world = World::new();
    let flow = |sequence: u32, uptime: u32| {
        let mut datagram = v9(sequence, FLOW, &500_u32.to_be_bytes());
        datagram[4..8].copy_from_slice(&uptime.to_be_bytes());
        datagram
    };
    world.send_all(1, &[flow(1, 1_000), flow(2, 3_000)]);
    assert!(held(&world) > 50);
    // FIRST_SWITCHED in four octets.
    world.send(1, &v9(3, 0, &[1, 0, 0, 1, 0, 22, 0, 4]));
    let text = String::from_utf8(world.take().rendered.forms[0].octets.clone()).unwrap();
    let lines = "{\"flowStartMilliseconds\":\"2026-11-20T23:59:59.500Z\"}\n{\"flowStartMilliseconds\":\"2026-11-20T23:59:57.500Z\"}\n";
    assert_eq!(text, lines);
    assert_eq!((held(&world), world.metric("netflow_datagrams_lost_total")), (0, 0));
}

#[test]
fn what_waits_too_long_is_counted_as_without_template() {
    let (mut world, mut exporter) = (World::new(), Exporter::new(1, 4));
    let template = exporter.templates();
    world.send_all(1, &[exporter.flows(0..1), v9_flow(1)]);
    world.pass(10 * 60);
    world.sweep();
    assert_eq!(world.metric(NO_TEMPLATE), 0);
    world.pass(1);
    world.sweep();
    assert_eq!((world.metric(NO_TEMPLATE), held(&world)), (2, 0));
    let letters = String::from_utf8(world.take().letters).unwrap();
    assert!(
        letters.lines().count() == 2 && letters.contains("\"set\":256,\"octets\":\"00000000\"}"),
        "{letters}"
    );
    world.send_all(1, &[template, v9_template(2)]);
    assert!(world.values().is_empty());
}

#[test]
fn what_waits_is_bounded_for_each_source_and_for_all() {
    let kibi = |kibi: u64| service::config::Size(kibi << 10);
    let config = config::Udp { hold: kibi(4), hold_total: kibi(10), ..config::Udp::default() };
    let mut world = World::with(config);
    let mut sent = 0;
    for port in 1..6 {
        let mut exporter = waiting();
        for number in 0..100 {
            sent += 1;
            world.send(port, &exporter.flows(number..number + 1));
        }
        assert!(held(&world) <= (4 << 10) * u64::from(port).min(3), "{}", held(&world));
    }
    assert!(held(&world) > 9 << 10 && held(&world) <= 10 << 10, "{}", held(&world));
    let cost = 24 + 64;
    assert_eq!(world.metric(NO_TEMPLATE) + held(&world) / cost, sent);
    // At the end nothing is forgotten.
    world.sources.close(world.now, 0);
    assert_eq!((world.metric(NO_TEMPLATE), held(&world)), (sent, 0));
}

#[test]
fn nothing_waits_where_that_is_not_wanted() {
    let mut world = World::with(config::Udp { hold: service::config::Size(0), ..config::Udp::default() });
    world.send(1, &waiting().flows(0..1));
    assert_eq!((world.metric(NO_TEMPLATE), held(&world)), (1, 0));
}

#[test]
fn a_source_that_ends_gives_up_what_waited() {
    let mut world = World::with(config::Udp {
        hold_time: service::config::Period::seconds(7_200),
        ..config::Udp::default()
    });
    world.send(1, &waiting().flows(0..1));
    world.pass(31 * 60);
    world.sweep();
    assert_eq!((world.metric("udp_sessions"), world.metric(NO_TEMPLATE), held(&world)), (0, 1, 0));
}

#[test]
fn nothing_is_concluded_from_the_sequence_numbers_of_what_waited() {
    let (mut world, mut exporter) = (World::new(), waiting());
    let first = exporter.flows(0..10);
    // Records of other templates, whose messages say how many there were.
    exporter.flows(0..200);
    let (second, third) = (exporter.flows(10..20), exporter.flows(20..30));
    world.send_all(1, &[first, second, third, exporter.templates()]);
    assert_eq!((world.values().len(), world.metric("records_lost_total")), (30, 0));
}
