//! Without a registrar, without a pool.

use std::time::Duration;

use pcap_fixtures::{DEMO, fixture};
use rserpool::TransportUse;

use crate::world::{Collector, Exporter, PATIENCE, World, metered};

#[tokio::test]
async fn a_missing_registrar_is_told_once_and_found_when_it_comes() {
    let world = World::new();
    let mut exporter = Exporter::start(&world, &world.config(&fixture(DEMO), "speed = 0", "reliable"));
    exporter.wait_for("no registrar reachable, retrying").await;
    let answer = exporter.http("/readyz?verbose");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("[-]registrar no registrar reached"),
        "{answer}"
    );
    world.registrar();
    exporter.wait_for("the registrar does not know the pool, retrying").await;
    assert_eq!(exporter.logged("no registrar reachable"), 1);
    let mut collector = Collector::start(&world, 2, TransportUse::DATA_PLUS_CONTROL).await;
    collector.accept().await.serve().await;
    assert_eq!(exporter.end().await.code, Some(0));
}

#[tokio::test]
async fn an_unknown_pool_is_told_once_and_used_when_it_is_there() {
    let world = World::new();
    world.registrar();
    let (_, flows) = metered(&fixture(DEMO), 1);
    let mut exporter = Exporter::start(&world, &world.config(&fixture(DEMO), "speed = 0", "reliable"));
    exporter.wait_for("the registrar does not know the pool, retrying").await;
    // The state follows the log line at once, by way of another task.
    let told = (0..10_000).any(|_| {
        exporter.http("/readyz?verbose").contains("[-]collector the registrar does not know the pool")
    });
    assert!(told, "{}", exporter.http("/readyz?verbose"));
    let mut collector = Collector::start(&world, 2, TransportUse::DATA_PLUS_CONTROL).await;
    let mut session = collector.accept().await;
    session.serve().await;
    assert_eq!(exporter.logged("does not know the pool"), 1);
    let end = exporter.end().await;
    assert_eq!((end.code, end.number("covered")), (Some(0), flows));
}

#[tokio::test]
async fn an_exporter_whose_registrars_have_no_known_name_starts_says_so_and_keeps_records() {
    let world = World::new();
    let own = format!("addresses = [\"{}\"]\n", world.host(4));
    let registrar = format!("{}:3863", world.host(1));
    let config = world.config(&fixture(DEMO), "speed = 0", "reliable");
    let config = config.replace(&own, "").replace(&registrar, "registrar.invalid");
    let mut exporter = Exporter::start(&world, &config);
    let line = exporter.wait_for("pool.registrars: registrar registrar.invalid").await;
    assert!(line.contains("WARN") && line.contains("set pool.addresses"), "{line}");
    // It meters, and keeps what it has metered.
    let (_, flows) = metered(&fixture(DEMO), 1);
    let kept = format!("ipfix_exporter_buffered_records{{class=\"reliable\"}} {flows}\n");
    let asked = async {
        while !exporter.http("/metrics").contains(&kept) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("every record kept");
}
