//! Decoding against the floor: how much slower than a plain copy of the fields is it to decode messages into
//! a visitor that touches every field? The last lines print the ratio; 1 is the floor, and 0.8 the bar.
//!
//! `IPFIX_CORPUS=FILE cargo bench -p ipfix` measures the messages of a file instead of generated ones.

mod corpus;
mod floor;

use std::hint::black_box;
use std::time::{Duration, Instant};

use corpus::Corpus;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use ipfix::{CollectingConfig, CollectingSession, Record, Value, Visitor};
use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, RecordWriter, TemplateRecord};

/// Shows allocations too: there is none per record.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
    print_ratios();
}

#[divan::bench]
fn floor_copy(bencher: Bencher<'_, '_>) {
    let corpus = Corpus::load();
    let bencher =
        bencher.counter(ItemsCount::new(corpus.records)).counter(BytesCount::new(corpus.octets.len()));
    bencher.bench(|| floor::copy(&corpus.octets));
}

#[divan::bench]
fn decode_touching_every_field(bencher: Bencher<'_, '_>) {
    let corpus = Corpus::load();
    let bencher =
        bencher.counter(ItemsCount::new(corpus.records)).counter(BytesCount::new(corpus.octets.len()));
    bencher.bench(|| decode(&corpus, Touch::default()));
}

#[divan::bench]
fn decode_into_the_floors_struct(bencher: Bencher<'_, '_>) {
    let corpus = Corpus::load();
    let bencher =
        bencher.counter(ItemsCount::new(corpus.records)).counter(BytesCount::new(corpus.octets.len()));
    bencher.bench(|| decode(&corpus, Dispatch::default()));
}

/// Encodes flow records field by field and packs them into messages.
#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    const RECORDS: u32 = 300_000;
    let fields = corpus::V4.iter().map(|&(id, length)| FieldSpecifier::iana(id, length)).collect();
    let template = TemplateRecord { id: 256, scope_fields: 0, fields };
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let mut session = ExportingSession::new(ExportingConfig { domain: 1, max_message: 1400 });
        session.define(1, template.clone()).expect("a valid template");
        let mut writer = RecordWriter::new();
        for number in 0..RECORDS {
            writer.clear();
            for &(_, length) in black_box(&corpus::V4) {
                writer.unsigned(number.into(), length);
            }
            session.record(1, 256, writer.octets(), 0).expect("a record of the template");
            while let Some(out) = session.poll_message() {
                black_box(out);
            }
        }
    });
}

fn decode<V: Visitor>(corpus: &Corpus, mut visitor: V) -> V {
    let mut session = CollectingSession::new(CollectingConfig::default());
    for message in corpus.messages() {
        session.decode(0, message, &mut visitor).expect("the corpus is well formed");
    }
    visitor
}

/// Adds up every field's value.
#[derive(Default)]
struct Touch {
    records: u64,
    sum: u64,
}

impl Visitor for Touch {
    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        self.records += 1;
        for field in record.fields() {
            let value = match field.value() {
                Value::Unsigned(value) | Value::Milliseconds(value) => value,
                Value::Ipv4(address) => address.to_bits().into(),
                #[expect(clippy::cast_possible_truncation, reason = "a sum to be looked at by no one")]
                Value::Ipv6(address) => address.to_bits() as u64,
                Value::Octets(octets) => octets.first().copied().unwrap_or(0).into(),
                Value::String(text) => text.0.len() as u64,
                other => {
                    black_box(other);
                    0
                }
            };
            self.sum = self.sum.wrapping_add(value);
        }
    }
}

/// Does what the floor does: every field into a struct, by its element.
#[derive(Default)]
struct Dispatch {
    records: Vec<floor::Flow>,
    count: u64,
    sum: u64,
}

impl Visitor for Dispatch {
    #[inline]
    fn message(&mut self, _header: &ipfix::Header) {
        black_box(&self.records);
        self.records.clear();
    }

    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        let mut flow = floor::Flow::default();
        for field in record.fields() {
            flow.set(&field);
        }
        self.count += u64::from(!record.template.is_options());
        self.sum = self.sum.wrapping_add(flow.check());
        self.records.push(flow);
    }
}

/// Interleaves the three, so that whatever else the machine does hits all, and compares the fastest rounds.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn print_ratios() {
    let corpus = Corpus::load();
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    let mut best = [Duration::MAX; 3];
    for _ in 0..15 {
        let rounds = [
            time(&mut || {
                black_box(floor::copy(&corpus.octets));
            }),
            time(&mut || {
                black_box(decode(&corpus, Touch::default()).sum);
            }),
            time(&mut || {
                black_box(decode(&corpus, Dispatch::default()).sum);
            }),
        ];
        best = std::array::from_fn(|at| best[at].min(rounds[at]));
    }
    let (records, sum) = floor::copy(&corpus.octets);
    let dispatched = decode(&corpus, Dispatch::default());
    assert_eq!((dispatched.count, dispatched.sum), (records, sum), "both read the same values");
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = |time: Duration| records as f64 / time.as_secs_f64() / 1e6;
    let ratio = |time: Duration| best[0].as_secs_f64() / time.as_secs_f64();
    println!("floor copy                     {:6.2} M records/s", rate(best[0]));
    println!(
        "decode, touching every field   {:6.2} M records/s   ratio {:.2}",
        rate(best[1]),
        ratio(best[1])
    );
    println!(
        "decode, into the floor's struct{:6.2} M records/s   ratio {:.2}",
        rate(best[2]),
        ratio(best[2])
    );
}
