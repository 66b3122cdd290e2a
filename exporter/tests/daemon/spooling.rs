//! The exporter's disk: what it holds when the exporter is killed, or ends without a collector.

use std::fs;

use delivery::{Epoch, RangeSet};
use pcap_fixtures::{DEMO, fixture};
use rserpool::TransportUse;

use crate::world::{Collector, End, Exporter, World, metered};

const CONTROL: TransportUse = TransportUse::DATA_PLUS_CONTROL;

/// Returns a configuration with a spool; `retention` is more lines of `[retention]`.
fn config(world: &World, source: &str, retention: &str) -> String {
    let config = world.config(&fixture(DEMO), source, "reliable");
    format!("{config}[state]\ndirectory = {:?}\n[retention]\n{retention}\n", world.path("state"))
}

/// Lets an exporter meter a capture while there is no collector, and ends it by SIGTERM.
async fn end_without_a_collector(world: &World) -> End {
    let config = config(world, "speed = 0", "drain-timeout = \"200ms\"");
    let mut exporter = Exporter::start(world, &config);
    exporter.wait_for("source ended, waiting for acknowledgements").await;
    exporter.terminate();
    exporter.wait_for("flow records wait on disk for the next start").await;
    exporter.end().await
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
    let end = end_without_a_collector(&world).await;
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
    end_without_a_collector(&world).await;
    let segment = || fs::read_dir(world.path("state/spool")).unwrap().next().unwrap().unwrap().path();
    let before = fs::read(segment()).unwrap();
    fs::remove_file(world.path("state/ledger")).unwrap();
    let end = Exporter::start(&world, &config(&world, "speed = 0", "")).end().await;
    assert_eq!(end.code, Some(74), "{}", end.log);
    assert!(end.log.contains("state/spool is not this exporter's; move it away"), "{}", end.log);
    assert_eq!(fs::read(segment()).unwrap(), before);
}

/// The flows of an hour at 5,000 a second, as fast as they can be metered. For release builds:
/// `cargo test --release -p exporter --test daemon -- --ignored --nocapture an_hour`.
#[tokio::test]
#[ignore = "some minutes, and 1 GiB of disk"]
async fn an_hour_without_a_collector_fills_the_spool_and_not_the_memory_and_every_loss_is_counted() {
    let (_, once) = metered(&fixture(DEMO), 1);
    let loops = (3_600 * 5_000) / once + 1;
    let world = World::new();
    world.registrar();
    let source = format!("speed = 1000000.0\nloop = {loops}");
    let config = config(&world, &source, "drain-timeout = \"10m\"").replace("debug", "info");
    let mut exporter = Exporter::start(&world, &config);
    exporter.wait_for("exporting").await;
    let (mut largest, mut spool) = (0, 0);
    while exporter.logged("source ended") == 0 {
        largest = largest.max(exporter.metric("process_resident_memory_bytes").unwrap_or(0));
        spool = spool.max(exporter.metric("ipfix_exporter_spool_bytes").unwrap_or(0));
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    assert!(spool <= 1 << 30, "the spool had {spool} octets");
    let mut collector = Collector::start(&world, 2, CONTROL).await;
    let mut session = collector.accept().await;
    session.seen.only_numbers = true;
    #[expect(clippy::disallowed_methods, reason = "how long it takes is only told")]
    let begin = std::time::Instant::now();
    session.serve().await;
    let seconds = begin.elapsed().as_secs_f64();
    let end = exporter.end().await;
    let (flows, dropped) = (end.balanced_flows(), end.number("dropped"));
    let received: u64 = session.seen.held.values().map(RangeSet::count).sum();
    println!("{flows} flows, {dropped} dropped at the limit, {received} delivered in {seconds:.0} s");
    println!("memory at most {} MiB, spool at most {} MiB", largest >> 20, spool >> 20);
    assert!(largest < 128 << 20, "{largest} octets of memory");
    assert_eq!((end.code, received, end.number("covered")), (Some(0), flows - dropped, flows - dropped));
    assert_eq!((session.seen.arrived, dropped > 0), (received, true), "none came twice");
}
