//! How fast packets become flow records: `cargo bench -p exporter --bench metering`.
//!
//! Each step includes those before it, over the same trace in memory. Compare within one run: `floor` is what
//! the machine needs to hand over the captured octets at all. The aim is 2 million packets per second of CPU time
//! for metering and IPFIX encoding together.

use divan::Bencher;
use divan::counter::ItemsCount;
use exporter::capture::{LinkType, Packet, PacketSource, PcapFile};
use exporter::export::{Classes, FlowEncoder};
use exporter::metering::{FlowEndReason, FlowRecord, Meter, MeteringConfig};
use exporter::packet::PacketView;
use ipfix::{ExportingConfig, ExportingSession};
use pcap_fixtures::Trace;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Instant;

static TRACE: LazyLock<Trace> = LazyLock::new(|| Trace::new(42, 60_000));

fn main() {
    flows();
    growth();
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

/// Packets of a measurement.
const ROUND: u32 = 2_000_000;

/// A meter and UDP packets from as many addresses as are asked for.
struct Flood {
    meter: Meter,
    frame: [u8; 64],
    records: Vec<FlowRecord>,
    time: u64,
    random: u64,
}

impl Flood {
    fn new(max_flows: usize, seed: u64) -> Self {
        let mut frame = [0; 64];
        frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17]);
        let config = MeteringConfig { max_flows, ..MeteringConfig::default() };
        let meter = Meter::new(config, seed);
        Self { meter, frame, records: Vec::new(), time: 1_750_000_000_000_000_000, random: seed }
    }

    fn packet(&mut self, flow: u32) {
        self.frame[26..30].copy_from_slice(&flow.to_be_bytes());
        self.time += 100;
        let link = LinkType::Ethernet;
        let packet = Packet {
            timestamp: self.time,
            original_length: 64,
            octets: &self.frame,
            interface: 0,
            link,
            outgoing: false,
        };
        self.meter.packet(&packet, &mut self.records);
        if self.records.len() >= 256 {
            black_box(&self.records);
            self.records.clear();
        }
    }

    /// Returns the nanoseconds of CPU time that one of [`ROUND`] packets costs.
    fn cost(&mut self, mut packet: impl FnMut(&mut Self)) -> f64 {
        let before = cpu_seconds();
        (0..ROUND).for_each(|_| packet(self));
        (cpu_seconds() - before) * 1e9 / f64::from(ROUND)
    }

    /// Returns a random flow: each is as likely, so that nothing is in a cache unless all of it is.
    fn draw(&mut self, bound: u32) -> u32 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((self.random >> 32) * u64::from(bound)) >> 32) as u32
    }
}

/// What a packet costs with so many active flows, and in a flood of new ones: CPU time, so that it counts only what this program does.
fn flows() {
    println!("active flows   ns per packet   in a full table, each packet a new flow   KiB of memory");
    for flows in [10_000_u32, 100_000, 200_000, 1_000_000, 5_000_000] {
        let before = resident();
        let mut flood = Flood::new(flows as usize, 42);
        (0..flows).for_each(|flow| flood.packet(flow));
        let memory = resident().saturating_sub(before);
        let active = flood.cost(|flood| {
            let flow = flood.draw(flows);
            flood.packet(flow);
        });
        let mut new = flows..u32::MAX;
        let flooded = flood.cost(|flood| new.by_ref().take(1).for_each(|flow| flood.packet(flow)));
        println!("{flows:>12}   {active:>13.0}   {flooded:>39.0}   {memory:>13}");
    }
}

/// How long the slowest packet waited while the table grew to 5 million flows; of five tables the best, as others use the machine, too.
#[expect(clippy::disallowed_methods, reason = "measures")]
fn growth() {
    let slowest = |_| {
        let mut flood = Flood::new(5_000_000, 42);
        let mut time = |flow| {
            let begin = Instant::now();
            flood.packet(flow);
            begin.elapsed()
        };
        (0..5_000_000).map(&mut time).max()
    };
    println!("growing to 5,000,000 flows, the slowest packet took {:?}", (0..5).filter_map(slowest).min());
}

/// CPU time of this process in seconds; Linux only.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|text| text.parse::<f64>().ok())
        .map_or(0.0, |nanoseconds| nanoseconds / 1e9)
}

/// Returns this process's resident memory in KiB; Linux only.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: u64| pages * 4)
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
