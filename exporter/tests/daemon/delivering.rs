//! Flow records on their way to collectors: classes, failover, collectors of every kind.
#![expect(clippy::disallowed_methods, reason = "measures how long the exporter waits for a frozen collector")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use delivery::cookie::State;
use pcap_fixtures::{DEMO, fixture};
use rserpool::{PeId, TransportUse};
use transport::Ppid;

use crate::world::{Collector, Exporter, PATIENCE, Seen, Session, World, deaf_endpoint, metered, register};

const CONTROL: TransportUse = TransportUse::DATA_PLUS_CONTROL;
const DATA: TransportUse = TransportUse::DATA_ONLY;
/// What [`Collector::start`] calls the element `.2`.
const PE: PeId = PeId(2);
const FAST: &str = "speed = 0\nloop = 3";

/// Asserts that the sessions together have every number exactly as often as repeats are allowed, with the same content.
#[track_caller]
fn assert_union(sessions: &[&Seen], flows: u64) {
    let mut known = BTreeMap::new();
    for (number, octets) in sessions.iter().flat_map(|seen| &seen.records) {
        let known = known.entry(number.expect("a number")).or_insert(octets);
        assert_eq!(*known, octets, "two contents of number {number:?}");
    }
    assert!(known.keys().copied().eq(0..flows), "{} of {flows} numbers", known.len());
}

/// Waits until the exporter has counted so many cookies.
fn wait_for_cookies(exporter: &Exporter, count: u64) {
    let sample = format!("ipfix_exporter_cookies_received_total{{result=\"accepted\"}} {count}");
    // Each question takes a round trip; there is nothing else to wait for.
    assert!(
        (0..10_000).any(|_| exporter.http("/metrics").contains(&sample)),
        "{}",
        exporter.http("/metrics")
    );
}

#[tokio::test]
async fn every_class_delivers_over_a_path_without_loss_and_the_books_balance() {
    let classes =
        ["reliable", "limited]\nmax-retransmissions = 3 #", "timed]\nlifetime = \"20s\" #", "unreliable"];
    for class in classes {
        let world = World::new();
        world.registrar();
        let mut collector = Collector::start(&world, 2, CONTROL).await;
        let (packets, flows) = metered(&fixture(DEMO), 3);
        let exporter = Exporter::start(&world, &world.config(&fixture(DEMO), FAST, class));
        let mut session = collector.accept().await;
        session.serve().await;
        let end = exporter.end().await;
        assert_eq!(end.code, Some(0), "{class}");
        assert_eq!((end.balanced_flows(), end.number("packets")), (flows, packets), "{class}");
        let (stream, settled) = if class == "reliable" { (1, "covered") } else { (2, "delivered") };
        assert_eq!(end.number(settled), flows, "{class}");
        let seen = session.seen;
        assert_eq!((seen.records.len() as u64, seen.packets, seen.lost), (flows, packets, 0), "{class}");
        let on_control: Vec<_> =
            seen.messages.iter().filter(|message| **message == (Ppid::IPFIX, 0)).collect();
        let others = seen.messages.iter().filter(|message| message.1 != 0);
        assert!(others.clone().all(|message| *message == (Ppid::IPFIX, stream)), "{class}");
        if class == "reliable" {
            assert!(seen.classes.is_empty() && seen.told.is_empty());
        } else {
            assert_eq!(seen.classes.len(), 1, "{class}");
            let told = seen.told.last().unwrap();
            assert_eq!(
                (told.stream, told.sent, told.settled, told.abandoned),
                (2, flows, flows, 0),
                "{class}"
            );
        }
        // Three statistics and the types of ten private elements, and where the exporter is: at the begin and at the end.
        assert!(on_control.len() >= 3 && seen.told_of_exporter >= 2 * (4 + 10), "{}", seen.told_of_exporter);
        assert_eq!(seen.series.is_some(), class == "reliable", "only class reliable has numbers");
    }
}

#[tokio::test]
async fn the_metrics_balance() {
    let world = World::new();
    world.registrar();
    let mut collector = Collector::start(&world, 2, CONTROL).await;
    let config = world.config(&fixture(DEMO), "speed = 20.0\nloop = 0", "unreliable");
    let exporter = Exporter::start(&world, &config);
    let mut session = collector.accept().await;
    session.receive(|seen| seen.records.len() > 100).await;
    let service = tokio::spawn(async move { session.serve().await });
    let scrape = || {
        let text = exporter.http("/metrics");
        let value = |name: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(&format!("ipfix_exporter_{name}")));
            let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
            values.reduce(|a, b| a + b).unwrap_or_else(|| panic!("no {name} in\n{text}"))
        };
        let parts = ["covered_total", "delivered_total", "abandoned_total", "dropped_total"];
        let settled: u64 = parts.map(|part| value(&format!("records_{part}"))).iter().sum();
        let metered = value("records_metered_total");
        (metered > 100 && metered == settled + value("buffered_records"), text)
    };
    // A scrape may see the figures of two moments.
    let balanced = (0..1_000).any(|_| scrape().0);
    assert!(balanced, "{}", scrape().1);
    assert!(exporter.http("/readyz").starts_with("HTTP/1.1 200"));
    let collector = format!("collector_info{{pe_id=\"{PE}\",address=\"{}:4739\"}} 1\n", world.host(2));
    assert!(scrape().1.contains(&collector), "{}", scrape().1);
    exporter.terminate();
    service.await.unwrap();
    assert_eq!(exporter.end().await.code, Some(0));
}

#[tokio::test]
async fn what_an_aborting_collector_had_not_acknowledged_goes_to_the_next_one() {
    let world = World::new();
    world.registrar();
    let mut first = Collector::start(&world, 2, CONTROL).await;
    let (packets, flows) = metered(&fixture(DEMO), 3);
    // Nobody stands by, so that the session begins when it is needed.
    let config = world.config(&fixture(DEMO), FAST, "reliable").replace("[pool]", "[pool]\nstandby = false");
    let exporter = Exporter::start(&world, &config);
    let mut lost = first.accept().await;
    lost.receive(|seen| seen.records.len() >= 50).await;
    let mut second = Collector::start(&world, 3, CONTROL).await;
    lost.acknowledge(std::iter::once(0..30)).await;
    // A record behind a hole stays acknowledged.
    lost.acknowledge([0..30, 40..42]).await;
    wait_for_cookies(&exporter, 2);
    lost.abort();
    let mut heir = second.accept().await;
    heir.serve().await;
    let end = exporter.end().await;
    assert_eq!(end.code, Some(0));
    assert_eq!((end.balanced_flows(), end.number("covered")), (flows, flows));
    assert_eq!((end.number("failovers"), end.number("packets")), (1, packets));
    let (lost, heir) = (lost.seen, heir.seen);
    assert_eq!(heir.messages[0], (Ppid::ASAP, 0), "the cookie comes before anything else");
    let echoed: Vec<_> = heir.echoes.iter().map(|cookie| cookie.entries.len()).collect();
    assert_eq!(echoed, [2], "the latest cookie, once");
    assert_eq!(heir.session_records[0].0, 30);
    assert!(heir.session_records[0].1 >= 50, "what was sent before may be a duplicate");
    assert_eq!(heir.session_records[1].0, 42, "numbers jump over what is acknowledged");
    assert!(!heir.numbers().covers(0..1) && !heir.numbers().covers(40..42));
    assert_eq!(end.number("resent"), heir.session_records[0].1 - 30 - 2);
    assert_union(&[&lost, &heir], flows);
}

#[tokio::test]
async fn a_draining_collector_is_left_and_not_reported() {
    let world = World::new();
    world.registrar();
    let mut draining = Collector::start(&world, 2, CONTROL).await;
    let (_, flows) = metered(&fixture(DEMO), 3);
    let exporter = Exporter::start(&world, &world.config(&fixture(DEMO), FAST, "reliable"));
    let mut left = draining.accept().await;
    left.receive(|seen| seen.records.len() >= 50).await;
    let mut next = Collector::start(&world, 3, CONTROL).await;
    left.cookie(State::Draining, std::iter::once(0..50)).await;
    let mut heir = next.accept().await;
    heir.serve().await;
    let end = exporter.end().await;
    assert_eq!((end.code, end.number("covered"), end.balanced_flows()), (Some(0), flows, flows));
    assert!(end.log.contains("collector is draining") && !end.log.contains("reported as unreachable"));
    assert_eq!(heir.seen.echoes[0].state, State::Draining);
    // The first one asked for cookies while it stood by.
    assert_eq!(heir.seen.session_records.len(), 2);
    assert_eq!(heir.seen.session_records[1].0, 50, "what it acknowledged stays acknowledged");
    assert_union(&[&left.seen, &heir.seen], flows);
}

#[tokio::test]
async fn a_collector_that_stands_by_has_no_records_until_it_is_needed_and_takes_over_without_a_handshake() {
    let world = World::new();
    world.registrar();
    let mut first = Collector::start(&world, 2, CONTROL).await;
    let (_, flows) = metered(&fixture(DEMO), 3);
    let exporter = Exporter::start(&world, &world.config(&fixture(DEMO), FAST, "reliable"));
    let mut used = first.accept().await;
    used.receive(|seen| seen.records.len() >= 50).await;
    let mut second = Collector::start(&world, 3, CONTROL).await;
    let mut heir = second.accept().await;
    heir.receive(|seen| seen.session_records.len() == 1).await;
    assert!(heir.seen.records.is_empty());
    assert!(
        (0..10_000).any(|_| exporter.http("/metrics").contains("ipfix_exporter_standby_connected 1\n")),
        "{}",
        exporter.http("/metrics")
    );
    used.abort();
    heir.serve().await;
    let end = exporter.end().await;
    assert_eq!((end.code, end.number("covered"), end.number("failovers")), (Some(0), flows, 1));
    assert_eq!(end.log.matches("collector connected").count(), 2, "one connection to each");
    assert_union(&[&used.seen, &heir.seen], flows);
}

#[tokio::test]
async fn a_collector_that_never_acknowledges_is_left_after_three_seconds() {
    let world = World::new();
    world.registrar();
    let mut frozen = Collector::start(&world, 2, CONTROL).await;
    let (_, flows) = metered(&fixture(DEMO), 3);
    let mut exporter = Exporter::start(&world, &world.config(&fixture(DEMO), FAST, "reliable"));
    let mut silent = frozen.accept().await;
    silent.receive(|seen| !seen.records.is_empty()).await;
    let first = Instant::now();
    let mut next = Collector::start(&world, 3, CONTROL).await;
    while silent.next().await.is_none() {}
    let waited = first.elapsed();
    assert!(waited > Duration::from_millis(2_500) && waited < PATIENCE / 2, "{waited:?}");
    let mut heir = next.accept().await;
    heir.serve().await;
    exporter.wait_for("no acknowledgement, collector frozen").await;
    let end = exporter.end().await;
    assert_eq!((end.code, end.number("covered"), end.balanced_flows()), (Some(0), flows, flows));
    assert_eq!(heir.seen.echoes, [], "there was no cookie to give");
    assert_union(&[&heir.seen], flows);
}

#[tokio::test]
async fn a_collector_that_refuses_is_passed_over() {
    let world = World::new();
    world.registrar();
    let deaf = deaf_endpoint(&world, 2);
    let _element = register(&world, 2, CONTROL, &deaf).await;
    let (_, flows) = metered(&fixture(DEMO), 1);
    let config = world.config(&fixture(DEMO), "speed = 0", "reliable");
    let mut exporter = Exporter::start(&world, &config);
    exporter.wait_for("collector not reached, taking the next").await;
    let mut collector = Collector::start(&world, 3, CONTROL).await;
    collector.accept().await.serve().await;
    let end = exporter.end().await;
    assert_eq!((end.code, end.number("covered"), end.number("failovers")), (Some(0), flows, 0));
}

#[tokio::test]
async fn a_collector_without_cookies_is_believed_by_its_transport() {
    let world = World::new();
    world.registrar();
    let mut foreign = Collector::start(&world, 2, DATA).await;
    let (packets, flows) = metered(&fixture(DEMO), 3);
    let exporter = Exporter::start(&world, &world.config(&fixture(DEMO), FAST, "reliable"));
    let mut session = foreign.accept().await;
    while session.next().await.is_none() {}
    let end = exporter.end().await;
    assert_eq!((end.code, end.number("covered"), end.balanced_flows()), (Some(0), flows, flows));
    assert_eq!(session.seen.packets, packets);
    assert_union(&[&session.seen], flows);
}

#[tokio::test]
async fn a_restarted_exporter_goes_back_to_the_collector_it_was_on() {
    let world = World::new();
    world.registrar();
    let mut first = Collector::start(&world, 2, CONTROL).await;
    let mut second = Collector::start(&world, 3, CONTROL).await;
    let state = format!("[state]\ndirectory = {:?}\n", world.path("state"));
    let config = world.config(&fixture(DEMO), FAST, "reliable") + &state;
    let config = config.replace("[pool]", "[pool]\nstandby = false");
    let mut used = Vec::new();
    for _ in 0..3 {
        let exporter = Exporter::start(&world, &config);
        // In turn, by the pool's policy, if it remembered nothing.
        let (mut session, collector) = tokio::select! {
            session = first.accept() => (session, 2),
            session = second.accept() => (session, 3),
        };
        session.serve().await;
        assert_eq!(exporter.end().await.code, Some(0));
        used.push(collector);
    }
    assert!(used.iter().all(|collector| *collector == used[0]), "{used:?}");
}

/// Waits until the exporter has counted so many business cards.
fn wait_for_cards(exporter: &Exporter, count: u64) {
    let sample = format!("ipfix_exporter_business_cards_received_total {count}\n");
    assert!(
        (0..10_000).any(|_| exporter.http("/metrics").contains(&sample)),
        "{}",
        exporter.http("/metrics")
    );
}

#[tokio::test]
async fn without_a_registrar_the_business_card_of_the_lost_collector_says_where_to_go() {
    let world = World::new();
    let registrar = world.registrar();
    let mut first = Collector::start(&world, 2, CONTROL).await;
    let (_, flows) = metered(&fixture(DEMO), 3);
    let mut exporter = Exporter::start(&world, &world.config(&fixture(DEMO), FAST, "reliable"));
    let mut lost = first.accept().await;
    lost.receive(|seen| seen.records.len() >= 50).await;
    // The registrar never told of this one.
    let (recommended, mut listener) = Collector::unregistered(&world, 3).await;
    lost.recommend(vec![recommended]).await;
    wait_for_cards(&exporter, 1);
    registrar.abort();
    exporter.wait_for("registrar lost, looking for one").await;
    lost.abort();
    let association = tokio::time::timeout(PATIENCE, listener.accept()).await.expect("an exporter").unwrap();
    let mut heir = Session::new(association);
    heir.serve().await;
    assert_eq!(exporter.end().await.code, Some(0));
    assert_union(&[&lost.seen, &heir.seen], flows);
}
