//! What delivery costs per record at each end, beside the plain copy of the same records.

use delivery::cookie::Entry;
use delivery::retention::Outgoing;
use delivery::{Epoch, Holdings, Journal, Ledger, Numberings, Retention, Series, SessionAcks, SessionRecord};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const RECORDS: u64 = 100_000;
const RECORD: [u8; 80] = [7; 80];
const SERIES: Series = Series { ledger: Ledger([1; 16]), epoch: Epoch(1), domain: 0 };
/// Records between two cookies, or two syncs.
const BATCH: u64 = 5_000;
/// Records in one message.
const MESSAGE: usize = 20;

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
fn collector_numbers_takes_and_tells(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let (mut numberings, mut acks) = (Numberings::new(), SessionAcks::new());
        let mut journal = Journal::new(Holdings::new());
        let record = SessionRecord { series: SERIES, first_number: 0, possible_duplicate_until: 0 };
        numberings.select(1, 0);
        numberings.session_record(0, &record).unwrap();
        for first in (1..=u32::try_from(RECORDS).unwrap()).step_by(MESSAGE) {
            numberings.select(1, 0);
            let mut numbers = 0..0;
            for sequence in first..first + u32::try_from(MESSAGE).unwrap() {
                let number = numberings.record(black_box(sequence)).unwrap().number;
                numbers = if numbers.is_empty() { number..number + 1 } else { numbers.start..number + 1 };
            }
            let ticket = acks.wait_for([(SERIES, numbers.clone())], true, false);
            journal.take(SERIES, numbers);
            journal.note(0, ticket.batch);
            if u64::from(first) % BATCH < MESSAGE as u64 {
                let synced = journal.sync_point().tickets().next().map(|(_, ticket)| ticket);
                acks.collect(synced, 0);
            }
        }
        (journal, acks)
    });
}
