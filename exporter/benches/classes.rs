//! What sorting records into classes costs: `cargo bench -p exporter --bench classes`.
//!
//! Each step includes those before it, over the same flows. Compare within one run: the rules of `b` against the export
//! path of `c`, which ends at finished messages.

use divan::Bencher;
use divan::counter::ItemsCount;
use exporter::capture::{PacketSource, PcapFile};
use exporter::export::rules::{Ranges, Rule};
use exporter::export::{Class, ClassIndex, Classes, Classifier, FlowEncoder, Kind};
use exporter::failover::{Carrier, Failover, FailoverConfig};
use exporter::metering::{FlowEndReason, FlowRecord, Meter, MeteringConfig};
use pcap_fixtures::Trace;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Duration;

static FLOWS: LazyLock<Vec<FlowRecord>> = LazyLock::new(|| {
    let trace = Trace::new(42, 60_000);
    let mut file = PcapFile::new(&trace.file[..]).expect("a capture");
    let mut meter = Meter::new(MeteringConfig::default(), 42);
    let mut flows = Vec::new();
    while let Some(packet) = file.next_packet().expect("a whole capture") {
        meter.packet(&packet, &mut flows);
    }
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {}
    flows
});

fn main() {
    println!("{} flows", FLOWS.len());
    divan::main();
}

/// Five rules, of which a record meets three in the mean: numbers, ranges, lists and prefixes.
fn classifier() -> Classifier {
    let encoder = FlowEncoder::new();
    let templates = encoder.templates();
    let rule = |conditions, class| Rule {
        templates: templates.indices().collect(),
        conditions,
        class: ClassIndex(class),
    };
    let numbers = |ranges: &[(u64, u64)]| Ranges::numbers(ranges.iter().map(|&(from, to)| from..=to));
    let private = Ranges::prefixes([([192, 168, 0, 0].into(), 16), ([172, 16, 0, 0].into(), 12)]);
    let v6 = Ranges::prefixes([("2001:db8:0:1::".parse().expect("an address"), 64)]);
    let rules = [
        rule(vec![(4, numbers(&[(6, 6)])), (1, numbers(&[(10_000, u64::MAX)]))], 0),
        rule(vec![(11, numbers(&[(53, 53), (853, 853)]))], 1),
        rule(vec![(8, private)], 1),
        rule(vec![(27, v6)], 2),
        rule(vec![(7, numbers(&[(30_000, 40_000)]))], 1),
    ];
    Classifier::new(&rules, ClassIndex(2), templates).expect("rules that match something")
}

#[divan::bench]
fn a_encode(bencher: Bencher<'_, '_>) {
    let encoder = FlowEncoder::new();
    let mut octets = Vec::new();
    counted(bencher, |flow| {
        octets.clear();
        encoder.encode(flow, &mut octets);
        black_box(&octets);
    });
}

#[divan::bench]
fn b_encode_and_classify(bencher: Bencher<'_, '_>) {
    let (encoder, classifier) = (FlowEncoder::new(), classifier());
    let mut octets = Vec::new();
    counted(bencher, |flow| {
        octets.clear();
        let template = encoder.encode(flow, &mut octets);
        black_box(classifier.classify(template, &octets));
    });
}

#[divan::bench]
fn c_export_in_one_class(bencher: Bencher<'_, '_>) {
    export(bencher, &Classifier::single());
}

#[divan::bench]
fn d_export_in_three_classes(bencher: Bencher<'_, '_>) {
    export(bencher, &classifier());
}

/// Encodes, classifies, and packs into messages on one stream, as for TCP: the number of classes alone makes no messages.
#[expect(clippy::disallowed_methods, reason = "the machine wants some time")]
fn export(bencher: Bencher<'_, '_>, classifier: &Classifier) {
    let class = |name: &str, kind| Class { name: name.to_owned(), kind };
    let lifetime = Duration::from_millis(500);
    let classes = vec![
        class("alarms", Kind::Priority { priority: 1 }),
        class("dns", Kind::Limited { max_retransmissions: 1 }),
        class("rest", Kind::Timed { lifetime }),
    ];
    let encoder = FlowEncoder::new();
    let config = FailoverConfig {
        domain: 1,
        classes: Classes::new(classes).expect("three classes"),
        templates: encoder.templates().clone(),
        max_message: 8 << 10,
        max_lossy_message: Some(8 << 10),
        linger: Duration::from_millis(50),
        per_stream: false,
        options_interval: Duration::from_secs(600),
        memory: 64 << 20,
        spool: None,
        keys: delivery::KeyRing::parse("1 000102030405060708090a0b0c0d0e0f").expect("a key"),
    };
    let incarnation = delivery::ExporterState::next(None, delivery::Ledger([7; 16]));
    let mut failover = Failover::new(config, incarnation, 1);
    failover.handle_connected(Carrier::OneStream, false);
    let now = std::time::Instant::now();
    let (mut octets, mut records) = (Vec::new(), 0_u32);
    counted(bencher, |flow| {
        octets.clear();
        let template = encoder.encode(flow, &mut octets);
        let class = classifier.classify(template, &octets);
        failover.push(class, template, &octets).expect("room");
        records += 1;
        if records.is_multiple_of(256) {
            while let Some(message) = failover.poll_transmit(now, 0) {
                let token = message.token.expect("a message of a class that may lose records");
                failover.handle_sent(now, token, transport::Outcome::Delivered);
                black_box(message);
            }
        }
    });
}

fn counted(bencher: Bencher<'_, '_>, mut take: impl FnMut(&FlowRecord)) {
    bencher.counter(ItemsCount::new(FLOWS.len())).bench_local(|| FLOWS.iter().for_each(&mut take));
}
