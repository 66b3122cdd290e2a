//! The end: of the capture, by damage, by signal.

use std::fs;
use std::path::PathBuf;

use pcap_fixtures::{DEMO, fixture};
use rserpool::TransportUse;

use crate::world::{Collector, End, Exporter, Seen, World, metered};

const CONTROL: TransportUse = TransportUse::DATA_PLUS_CONTROL;

/// Returns where the packet with this number begins in a little-endian pcap file.
fn packet_at(file: &[u8], number: usize) -> usize {
    (0..number).fold(24, |at, _| {
        let length = <[u8; 4]>::try_from(&file[at + 8..at + 12]).unwrap();
        at + 16 + usize::try_from(u32::from_le_bytes(length)).unwrap()
    })
}

/// Exports a damaged copy of the demo's capture; returns it, what the collector got and how the exporter ended.
async fn export_damaged(world: &World, damage: impl FnOnce(&mut Vec<u8>)) -> (PathBuf, Seen, End) {
    let mut file = fs::read(fixture(DEMO)).unwrap();
    damage(&mut file);
    let path = world.path("damaged.pcap");
    fs::write(&path, file).unwrap();
    world.registrar();
    let mut collector = Collector::start(world, 2, CONTROL).await;
    let exporter = Exporter::start(world, &world.config(&path, "speed = 0\nloop = 5", "reliable"));
    let mut session = collector.accept().await;
    session.serve().await;
    (path, session.seen, exporter.end().await)
}

#[tokio::test]
async fn a_truncated_capture_is_replayed_up_to_its_end() {
    let world = World::new();
    let mut cut = 0;
    let (path, seen, end) = export_damaged(&world, |file| {
        cut = packet_at(file, 700);
        file.truncate(cut + 10);
    })
    .await;
    assert_eq!(end.code, Some(0));
    assert!(end.log.contains(&format!("octet {cut}: the file ends after 10 of 16 octets")), "{}", end.log);
    let (packets, flows) = metered(&path, 5);
    assert_eq!((packets, end.number("packets"), seen.packets), (3_500, 3_500, 3_500));
    assert_eq!((end.balanced_flows(), end.number("covered")), (flows, flows));
}

#[tokio::test]
async fn the_packets_before_a_corrupt_length_are_exported() {
    let world = World::new();
    let mut length = 0;
    let (_, seen, end) = export_damaged(&world, |file| {
        length = packet_at(file, 500) + 8;
        file[length..length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    })
    .await;
    assert_eq!((end.code, seen.packets, end.number("packets")), (Some(1), 500, 500));
    assert!(end.log.contains(&format!("octet {length}:")), "{}", end.log);
    assert!(
        end.log.contains("damaged.pcap is damaged (what is before the damage was exported)"),
        "{}",
        end.log
    );
}

#[tokio::test]
async fn a_file_that_is_no_capture_is_refused_with_its_first_octets() {
    let world = World::new();
    let path = world.path("text.pcap");
    fs::write(&path, "no capture at all, just a text").unwrap();
    let end = Exporter::start(&world, &world.config(&path, "", "reliable")).end().await;
    assert_eq!(end.code, Some(1));
    assert!(end.log.contains("octet 0: 0x6e6f2063 is the mark of neither pcap nor pcapng"), "{}", end.log);
}

#[tokio::test]
async fn at_sigterm_flows_end_and_late_acknowledgements_are_waited_for() {
    let world = World::new();
    world.registrar();
    let mut collector = Collector::start(&world, 2, CONTROL).await;
    let config = world.config(&fixture(DEMO), "speed = 5.0\nloop = 0", "reliable");
    let mut exporter = Exporter::start(&world, &config);
    let mut session = collector.accept().await;
    session.receive(|seen| !seen.records.is_empty()).await;
    exporter.terminate();
    exporter.wait_for("source ended, waiting for acknowledgements").await;
    // Nothing was acknowledged so far.
    session.serve().await;
    let end = exporter.end().await;
    assert_eq!((end.code, end.number("waiting")), (Some(0), 0));
    assert_eq!(end.balanced_flows(), session.seen.numbers().count());
    assert_eq!(session.seen.packets, end.number("packets"), "every packet is in a flow");
    assert!(session.seen.forced_ends > 0);
    collector.deregister().await;
}

#[tokio::test]
async fn at_sigterm_without_a_collector_the_exporter_ends_after_the_drain_timeout_and_tells_what_it_lost() {
    let world = World::new();
    let config = world.config(&fixture(DEMO), "speed = 0", "reliable");
    let config = config + "[retention]\ndrain-timeout = \"300ms\"\n";
    let mut exporter = Exporter::start(&world, &config);
    exporter.wait_for("source ended, waiting for acknowledgements").await;
    exporter.terminate();
    let end = exporter.end().await;
    let (_, flows) = metered(&fixture(DEMO), 1);
    assert_eq!((end.code, end.balanced_flows(), end.number("waiting")), (Some(1), flows, flows));
    assert!(end.log.contains(&format!("{flows} flow records were not acknowledged")), "{}", end.log);
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once() {
    let world = World::new();
    let config = world.config(&fixture(DEMO), "speed = 0", "reliable");
    let config = config + "[retention]\ndrain-timeout = \"10m\"\n";
    let mut exporter = Exporter::start(&world, &config);
    exporter.wait_for("source ended, waiting for acknowledgements").await;
    exporter.terminate();
    exporter.wait_for("shutting down").await;
    exporter.terminate();
    let end = exporter.end().await;
    assert_eq!(end.code, Some(1));
    assert!(end.log.contains("second signal, ending at once"), "{}", end.log);
}
