//! How fast packets become flow records: `cargo bench -p exporter --bench metering`.
//!
//! Each step includes those before it, over the same trace in memory. Compare within one run: `floor` is what
//! the machine needs to hand over the captured octets at all. The aim is 2 million packets per second of CPU time
//! for metering and IPFIX encoding together.

use divan::Bencher;
use divan::counter::ItemsCount;
use exporter::capture::{PacketSource, PcapFile};
use exporter::export::{Classes, FlowEncoder};
use exporter::metering::{FlowEndReason, FlowRecord, Meter, MeteringConfig};
use exporter::packet::PacketView;
use ipfix::{ExportingConfig, ExportingSession};
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
    let mut sums = Sums::default();
    metered(|flow| sums.add(flow));
    let Sums { packets, octets, flows } = sums;
    assert_eq!((packets, octets), (TRACE.packets, TRACE.octets), "every packet is in one record");
    assert_eq!(encoded(), flows, "every record is in one message");
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
    counted(bencher, || {
        let mut sums = Sums::default();
        metered(|flow| sums.add(flow));
        sums
    });
}

/// Everything up to finished messages of 8 KiB, without a network.
#[divan::bench]
fn e_encode(bencher: Bencher<'_, '_>) {
    counted(bencher, encoded);
}

fn counted<O>(bencher: Bencher<'_, '_>, run: impl Fn() -> O + Sync) {
    bencher.counter(ItemsCount::new(TRACE.packets)).bench(run);
}

#[derive(Default)]
struct Sums {
    packets: u64,
    octets: u64,
    flows: u64,
}

impl Sums {
    fn add(&mut self, flow: &FlowRecord) {
        self.packets += flow.packets;
        self.octets += flow.octets;
        self.flows += 1;
    }
}

/// Meters the trace with the default time-outs.
fn metered(mut take: impl FnMut(&FlowRecord)) {
    let mut file = PcapFile::new(&TRACE.file[..]).expect("a capture");
    let mut meter = Meter::new(MeteringConfig::default(), 42);
    let mut records = Vec::new();
    while let Some(packet) = file.next_packet().expect("a whole capture") {
        meter.packet(&packet, &mut records);
        if records.len() >= 256 {
            records.drain(..).for_each(|record| take(&record));
        }
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut records) {
        records.drain(..).for_each(|record| take(&record));
    }
    records.drain(..).for_each(|record| take(&record));
}

/// Meters the trace and packs its flows into messages; returns the records in these.
fn encoded() -> u64 {
    const STREAM: u16 = Classes::RELIABLE_STREAM;
    let encoder = FlowEncoder::new();
    let mut session = ExportingSession::new(ExportingConfig { domain: 1, max_message: 8 << 10 });
    for template in encoder.templates().records(STREAM) {
        session.define(STREAM, template).expect("a valid template");
    }
    let (mut octets, mut records) = (Vec::new(), 0);
    metered(|flow| {
        octets.clear();
        let template = encoder.encode(flow, &mut octets);
        session.record(STREAM, template.id(STREAM), &octets, 0).expect("a record of its template");
        while let Some(message) = session.poll_message() {
            records += u64::from(black_box(message).records);
        }
    });
    session.flush_all(0);
    records
        + std::iter::from_fn(|| session.poll_message()).map(|message| u64::from(message.records)).sum::<u64>()
}
