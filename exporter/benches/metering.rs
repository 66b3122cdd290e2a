//! How fast packets become flow records: `cargo bench -p exporter --bench metering`.
//!
//! Each step includes those before it, over the same trace in memory. Compare within one run: `floor` is what
//! the machine needs to hand over the captured octets at all. The aim is 2 million packets per second of CPU time
//! for metering and IPFIX encoding together.

use divan::Bencher;
use divan::counter::ItemsCount;
use exporter::capture::{PacketSource, PcapFile};
use exporter::metering::{FlowEndReason, Meter, MeteringConfig};
use exporter::packet::PacketView;
use pcap_fixtures::Trace;
use std::hint::black_box;
use std::sync::LazyLock;

static TRACE: LazyLock<Trace> = LazyLock::new(|| Trace::new(42, 60_000));

fn main() {
    check();
    divan::main();
}

/// A meter that loses packets is fast for nothing.
fn check() {
    let (packets, octets, flows) = metered();
    assert_eq!((packets, octets), (TRACE.packets, TRACE.octets), "every packet is in one record");
    println!("trace: {packets} packets, {octets} octets, {flows} flows");
}

/// Copies every record of the file, packet header included, in steps of the captured length.
#[divan::bench]
fn a_floor(bencher: Bencher<'_, '_>) {
    counted(bencher, || {
        let mut copy = [0u8; 16 + 96];
        let mut rest = &TRACE.file[24..];
        while let Some(header) = rest.get(8..12) {
            let captured = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
            copy[..16 + captured].copy_from_slice(&rest[..16 + captured]);
            black_box(&copy);
            rest = &rest[16 + captured..];
        }
    });
}

#[divan::bench]
fn b_read(bencher: Bencher<'_, '_>) {
    counted(bencher, || {
        let mut file = PcapFile::new(&TRACE.file[..]).expect("a capture");
        while let Some(packet) = file.next_packet().expect("a whole capture") {
            black_box(packet);
        }
    });
}

#[divan::bench]
fn c_parse(bencher: Bencher<'_, '_>) {
    counted(bencher, || {
        let mut file = PcapFile::new(&TRACE.file[..]).expect("a capture");
        while let Some(packet) = file.next_packet().expect("a whole capture") {
            let _ = black_box(PacketView::parse(&packet));
        }
    });
}

#[divan::bench]
fn d_meter(bencher: Bencher<'_, '_>) {
    counted(bencher, metered);
}

fn counted<O>(bencher: Bencher<'_, '_>, run: impl Fn() -> O + Sync) {
    bencher.counter(ItemsCount::new(TRACE.packets)).bench(run);
}

/// Meters the trace with the default time-outs; returns the packets, octets and number of the records.
fn metered() -> (u64, u64, u64) {
    let mut file = PcapFile::new(&TRACE.file[..]).expect("a capture");
    let mut meter = Meter::new(MeteringConfig::default(), 42);
    let mut records = Vec::new();
    let mut sums = (0, 0, 0);
    let mut take = |records: &mut Vec<exporter::metering::FlowRecord>| {
        for record in records.drain(..) {
            sums = (sums.0 + record.packets, sums.1 + record.octets, sums.2 + 1);
        }
    };
    while let Some(packet) = file.next_packet().expect("a whole capture") {
        meter.packet(&packet, &mut records);
        if records.len() >= 256 {
            take(&mut records);
        }
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut records) {
        take(&mut records);
    }
    take(&mut records);
    sums
}
