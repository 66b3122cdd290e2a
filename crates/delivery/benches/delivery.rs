//! What delivery costs per record at each end, beside the plain copy of the same records.

use delivery::books::Limits;
use delivery::cookie::Entry;
use delivery::retention::Outgoing;
use delivery::{Books, Epoch, Holdings, Intake, Journal, Ledger, Retention, Series, SessionRecord, Verdict};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const RECORDS: u64 = 100_000;
const RECORD: [u8; 80] = [7; 80];
const SERIES: Series = Series { ledger: Ledger([1; 16]), epoch: Epoch(1), domain: 0 };
/// Records between two cookies, or two syncs.
const BATCH: u64 = 5_000;

fn main() {
    divan::main();
}

#[divan::bench]
fn copy(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let mut out = Vec::with_capacity(1 << 20);
        for _ in 0..RECORDS {
            if out.len() + RECORD.len() > out.capacity() {
                out.clear();
            }
            out.extend_from_slice(black_box(&RECORD));
        }
        out
    });
}

#[divan::bench]
fn exporter_retains_sends_and_covers(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let mut retention = Retention::new(SERIES.ledger, SERIES.epoch, 64 << 20);
        let session = retention.open_session();
        let mut octets_sent = 0;
        for number in 1..=RECORDS {
            retention.push(0, 256, black_box(&RECORD)).unwrap();
            while let Some(outgoing) = retention.next(session) {
                if let Outgoing::Record { octets, .. } = outgoing {
                    octets_sent += octets.len();
                }
            }
            if number % BATCH == 0 {
                retention.cover(session, &[Entry { series: SERIES, numbers: 0..number - BATCH / 2 }]);
            }
        }
        octets_sent
    });
}

#[divan::bench]
fn collector_numbers_and_commits(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let mut books = Books::new(Limits::default(), vec![Holdings::new()]);
        let (mut intake, mut journal) = (Intake::new(), Journal::default());
        let record = SessionRecord { series: SERIES, first_number: 0, possible_duplicate_until: 0 };
        intake.session_record(1, 0, &record).unwrap();
        for sequence in 1..=u32::try_from(RECORDS).unwrap() {
            if let Verdict::New(identity) = intake.record(&mut books, 1, 0, black_box(sequence)).unwrap() {
                journal.note(identity);
            }
            if u64::from(sequence) % BATCH == 0 {
                let batch = journal.take_pending();
                journal.commit(&batch);
                books.commit(0, &batch);
                black_box(intake.cookie_entries(&books));
            }
        }
        books
    });
}
