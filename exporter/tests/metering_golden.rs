//! The flows of every capture in pcap-fixtures, against readable tables beside the captures.
//!
//! `UPDATE_GOLDEN=1 cargo test -p exporter --test metering_golden` rewrites them.

use exporter::capture::{LoopOptions, Looped, PacketSource, PcapFile};
use exporter::metering::{FlowEndReason, FlowRecord, Meter, MeteringConfig};
use exporter::packet::{Layers, Segment, Unparsed};
use pcap_fixtures::{ALL, DEMO, HTTP, TUNNELS, fixture};
use std::fmt::Write;
use std::time::Duration;

#[test]
fn every_capture_gives_the_flows_of_its_table() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for name in ALL {
        let mut actual = table(name, seconds(1, 1));
        actual.push('\n');
        actual.push_str(&table(name, MeteringConfig::default()));
        for layers in [Layers::Inner, Layers::Both].into_iter().filter(|_| name == TUNNELS) {
            actual.push('\n');
            actual.push_str(&table(name, MeteringConfig { layers, ..MeteringConfig::default() }));
        }
        let golden = fixture(&format!("{name}.flows.txt"));
        if update {
            std::fs::write(&golden, &actual).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        for (number, (actual, expected)) in actual.lines().zip(expected.lines()).enumerate() {
            assert_eq!(actual, expected, "{}:{}", golden.display(), number + 1);
        }
        assert_eq!(actual.lines().count(), expected.lines().count(), "{}", golden.display());
    }
}

#[test]
fn what_comes_out_does_not_depend_on_when_time_is_told() {
    for name in ALL {
        let config = seconds(1, 1);
        let (plain, _) = meter(name, config, |_, _, _| {});
        // As a live source would, between packets: the time is that of the last packet.
        let (told, _) = meter(name, config, |meter, now, records| while meter.advance(now, records) {});
        assert_eq!(plain, told, "{name}");
    }
}

#[test]
fn the_http_capture_shows_both_time_outs() {
    let (records, _) = meter(HTTP, seconds(1, 1), |_, _, _| {});
    for reason in [FlowEndReason::IdleTimeout, FlowEndReason::ActiveTimeout] {
        assert!(records.iter().any(|record| record.end_reason == reason), "{reason}");
    }
}

#[test]
fn five_rounds_of_the_demo_capture_give_more_than_five_thousand_flows() {
    let options = LoopOptions { loops: Some(5), ..LoopOptions::default() };
    let mut source = Looped::open(fixture(DEMO), options).unwrap();
    let mut meter = Meter::new(seconds(1, 1), 1);
    let mut records = Vec::new();
    while let Some(packet) = source.next_packet().unwrap() {
        meter.packet(&packet, &mut records);
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut records) {}
    assert!(records.len() > 5_000, "{} flows", records.len());
}

fn seconds(idle: u64, active: u64) -> MeteringConfig {
    MeteringConfig {
        idle_timeout: Duration::from_secs(idle),
        active_timeout: Duration::from_secs(active),
        ..MeteringConfig::default()
    }
}

/// Meters a capture, calling `between` after each packet; returns the records by their start.
fn meter(
    name: &str,
    config: MeteringConfig,
    mut between: impl FnMut(&mut Meter, u64, &mut Vec<FlowRecord>),
) -> (Vec<FlowRecord>, Meter) {
    let mut file = PcapFile::open(&fixture(name)).unwrap();
    let mut meter = Meter::new(config, 1);
    let mut records = Vec::new();
    while let Some(packet) = file.next_packet().unwrap() {
        meter.packet(&packet, &mut records);
        between(&mut meter, packet.timestamp, &mut records);
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut records) {}
    let key = |record: &FlowRecord| (record.source, record.source_port, record.destination);
    records.sort_by_key(|record| (record.start_ns, key(record), record.destination_port));
    (records, meter)
}

/// The table of a capture; of the demo's, which has a thousand flows, the first lines only.
fn table(name: &str, config: MeteringConfig) -> String {
    let (records, meter) = meter(name, config, |_, _, _| {});
    let octets: u64 = records.iter().map(|record| record.octets).sum();
    let packets: u64 = records.iter().map(|record| record.packets).sum();
    let counters = meter.counters();
    assert_eq!((counters.packets, counters.octets), (packets, octets), "the books balance");
    let mut text = format!(
        "{name}: idle time-out {:?}, active time-out {:?}{}\n{} flows, {packets} packets, {octets} octets\n",
        config.idle_timeout,
        config.active_timeout,
        match config.layers {
            Layers::Outer => "",
            Layers::Inner => ", inner packets",
            Layers::Both => ", packets in packets, each",
        },
        records.len(),
    );
    for reason in FlowEndReason::ALL.into_iter().filter(|&reason| counters.ended(reason) > 0) {
        writeln!(text, "{}: {}", reason, counters.ended(reason)).unwrap();
    }
    for reason in Unparsed::ALL.into_iter().filter(|&reason| meter.unparsed(reason) > 0) {
        writeln!(text, "not metered, {}: {} packets", reason.label(), meter.unparsed(reason)).unwrap();
    }
    let shown = if name == DEMO { 40 } else { records.len() };
    let origin = records.first().map_or(0, |record| record.start_ns);
    text.push_str(
        "   start s  lasts s packets  octets proto tos flags ttl if vlans  flow, reason of its end\n",
    );
    for record in &records[..shown] {
        line(&mut text, record, origin);
    }
    if shown < records.len() {
        writeln!(text, "… and {} more", records.len() - shown).unwrap();
    }
    text
}

fn line(text: &mut String, record: &FlowRecord, origin: u64) {
    let duration = |nanoseconds: u64| nanoseconds as f64 / 1e9;
    let vlans = match (record.vlan_id, record.customer_vlan_id) {
        (0, _) => "-".to_owned(),
        (outer, 0) => outer.to_string(),
        (outer, inner) => format!("{outer}.{inner}"),
    };
    let segment = match record.segment {
        Segment::NONE => String::new(),
        segment => format!(" in {:016x}", segment.layer2_segment_id()),
    };
    writeln!(
        text,
        "{:>10.6} {:>8.6} {:>7} {:>7} {:>5}  {:02x}   {:03x} {:>3} {:>2} {vlans:<6} {} -> {}{segment}, {}",
        duration(record.start_ns - origin),
        duration(record.end_ns - record.start_ns),
        record.packets,
        record.octets,
        record.protocol,
        record.class_of_service,
        record.tcp_control_bits,
        record.minimum_ttl,
        record.interface,
        end(record, record.source, record.source_port),
        end(record, record.destination, record.destination_port),
        record.end_reason,
    )
    .unwrap();
}

fn end(record: &FlowRecord, address: std::net::IpAddr, port: u16) -> String {
    match record.protocol {
        6 | 17 => std::net::SocketAddr::new(address, port).to_string(),
        1 | 58 if address == record.destination => format!("{address} type {}/{}", port >> 8, port & 0xff),
        _ => address.to_string(),
    }
}
