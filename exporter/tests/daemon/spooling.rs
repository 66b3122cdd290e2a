//! The exporter's disk: what it holds when the exporter is killed, or ends without a collector.

use std::fs;

use delivery::{Epoch, RangeSet};
use pcap_fixtures::{DEMO, fixture};
use rserpool::TransportUse;

use crate::world::{Collector, Exporter, World, metered};

const CONTROL: TransportUse = TransportUse::DATA_PLUS_CONTROL;

/// Returns a configuration with a spool; `retention` is more lines of `[retention]`.
fn config(world: &World, source: &str, retention: &str) -> String {
    let config = world.config(&fixture(DEMO), source, "reliable");
    format!("{config}[state]\ndirectory = {:?}\n[retention]\n{retention}\n", world.path("state"))
}

#[tokio::test]
async fn what_was_synced_before_a_kill_is_delivered_by_the_next_start() {
    let world = World::new();
    world.registrar();
    let durable = "durability = \"spool\"";
    let mut exporter = Exporter::start(&world, &config(&world, "speed = 20.0\nloop = 0", durable));
    exporter.wait_for("exporting").await;
    let synced = exporter.wait_for_metric("ipfix_exporter_spool_synced_number", 300).await;
    exporter.kill();
    let mut exporter = Exporter::start(&world, &config(&world, "speed = 0", durable));
    exporter.wait_for("flow records of an earlier start found on disk").await;
    let mut collector = Collector::start(&world, 2, CONTROL).await;
    let mut session = collector.accept().await;
    session.serve().await;
    let end = exporter.end().await;
    let (_, flows) = metered(&fixture(DEMO), 1);
    let [(first, killed), (second, rest)] = session.seen.held.iter().collect::<Vec<_>>()[..] else {
        panic!("series {:?}", session.seen.held.keys());
    };
    assert_eq!((first.epoch, second.epoch, first.ledger), (Epoch(1), Epoch(2), second.ledger));
    assert!((0..synced).all(|number| killed.contains(number)), "{synced} were synced: {killed:?}");
    assert_eq!(rest.iter().next(), Some(0..flows));
    assert_eq!(
        (end.code, end.number("recovered"), end.number("covered")),
        (Some(0), killed.count(), killed.count() + flows)
    );
    assert_eq!(fs::read_dir(world.path("state/spool")).unwrap().count(), 0, "nothing is left");
}

#[tokio::test]
async fn at_sigterm_without_a_collector_everything_is_kept_for_the_next_start() {
    let world = World::new();
    let drain = "drain-timeout = \"200ms\"";
    let mut exporter = Exporter::start(&world, &config(&world, "speed = 0", drain));
    exporter.wait_for("source ended, waiting for acknowledgements").await;
    exporter.terminate();
    exporter.wait_for("flow records wait on disk for the next start").await;
    let end = exporter.end().await;
    let flows = end.balanced_flows();
    assert!(flows > 0);
    assert_eq!((end.code, end.number("waiting")), (Some(0), flows));
    world.registrar();
    let mut collector = Collector::start(&world, 2, CONTROL).await;
    let exporter = Exporter::start(&world, &config(&world, "speed = 0", "drain-timeout = \"10s\""));
    let mut session = collector.accept().await;
    session.serve().await;
    let end = exporter.end().await;
    assert_eq!((end.code, end.number("recovered"), end.number("waiting")), (Some(0), flows, 0));
    assert_eq!(session.seen.held.values().map(RangeSet::count).min(), Some(flows));
}

#[tokio::test]
async fn a_replay_at_a_pace_never_waits_for_a_collector_and_loses_nothing_that_the_disk_takes() {
    let world = World::new();
    world.registrar();
    let small = "memory = \"1MiB\"";
    let mut exporter = Exporter::start(&world, &config(&world, "speed = 3000.0\nloop = 60", small));
    exporter.wait_for("source ended, waiting for acknowledgements").await;
    exporter.wait_for_metric("ipfix_exporter_spool_records", 1_000).await;
    let mut collector = Collector::start(&world, 2, CONTROL).await;
    let mut session = collector.accept().await;
    session.serve().await;
    let end = exporter.end().await;
    let (packets, flows) = metered(&fixture(DEMO), 60);
    assert_eq!((end.number("packets"), end.balanced_flows(), end.number("covered")), (packets, flows, flows));
    assert_eq!(session.seen.packets, packets);
}

#[tokio::test]
async fn the_spool_of_another_exporter_is_not_touched() {
    let world = World::new();
    let drain = "drain-timeout = \"200ms\"";
    let mut exporter = Exporter::start(&world, &config(&world, "speed = 0", drain));
    exporter.wait_for("source ended, waiting for acknowledgements").await;
    exporter.terminate();
    exporter.wait_for("flow records wait on disk for the next start").await;
    exporter.end().await;
    let segment = || fs::read_dir(world.path("state/spool")).unwrap().next().unwrap().unwrap().path();
    let before = fs::read(segment()).unwrap();
    fs::remove_file(world.path("state/ledger")).unwrap();
    let end = Exporter::start(&world, &config(&world, "speed = 0", drain)).end().await;
    assert_eq!(end.code, Some(74), "{}", end.log);
    assert!(end.log.contains("state/spool is not this exporter's; move it away"), "{}", end.log);
    assert_eq!(fs::read(segment()).unwrap(), before);
}
