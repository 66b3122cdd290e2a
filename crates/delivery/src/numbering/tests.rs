use super::*;
use crate::identity::{Epoch, Ledger};

const SERIES: Series = Series { ledger: Ledger([1; 16]), epoch: Epoch(1), domain: 5 };
const STREAM: u16 = 1;

fn from(first_number: u64) -> SessionRecord {
    SessionRecord { series: SERIES, first_number, possible_duplicate_until: 0 }
}

/// Numberings after a session record with this sequence number.
fn numberings(sequence: u32, first_number: u64) -> Numberings {
    let mut numberings = Numberings::new();
    numberings.select(STREAM, 5);
    numberings.session_record(sequence, &from(first_number)).unwrap();
    numberings
}

fn number(numberings: &mut Numberings, sequence: u32) -> Option<u64> {
    numberings.record(sequence).map(|numbered| {
        assert_eq!((numbered.series, numbered.refused), (SERIES, None));
        numbered.number
    })
}

#[test]
fn the_record_after_the_session_record_has_the_first_number() {
    let mut numberings = numberings(17, 1000);
    assert_eq!(number(&mut numberings, 18), Some(1000));
    assert_eq!(number(&mut numberings, 19), Some(1001));
}

#[test]
fn a_gap_in_sequence_numbers_is_the_same_gap_in_numbers() {
    let mut numberings = numberings(0, 0);
    let numbers: Vec<_> = [1, 11, 4, 12].into_iter().map(|at| number(&mut numberings, at)).collect();
    assert_eq!(numbers, [Some(0), Some(10), Some(3), Some(11)]);
}

#[test]
fn numbers_go_on_where_sequence_numbers_wrap() {
    let mut numberings = numberings(u32::MAX - 1, 7);
    assert_eq!(number(&mut numberings, u32::MAX), Some(7));
    assert_eq!(number(&mut numberings, 0), Some(8));
    for step in 1..=4_u32 {
        let sequence = step.wrapping_mul(1 << 30).wrapping_sub(step);
        let expected = 8 + u64::from(step) * (1 << 30) - u64::from(step);
        assert_eq!(number(&mut numberings, sequence), Some(expected));
    }
}

#[test]
fn records_without_a_session_record_have_no_number() {
    let mut numberings = numberings(0, 0);
    for (stream, domain) in [(2, 5), (STREAM, 6)] {
        numberings.select(stream, domain);
        assert_eq!(numberings.record(1), None);
    }
    numberings.select(STREAM, 5);
    assert_eq!(number(&mut numberings, 1), Some(0));
    numberings.end();
    assert_eq!(numberings.record(2), None);
}

#[test]
fn every_stream_and_domain_has_its_own_numbering() {
    let mut numberings = numberings(0, 0);
    let other = Series { domain: 6, ..SERIES };
    numberings.select(STREAM, 6);
    numberings.session_record(40, &SessionRecord { series: other, ..from(3) }).unwrap();
    assert_eq!(numberings.record(41), Some(Numbered { series: other, number: 3, refused: None }));
    numberings.select(STREAM, 5);
    assert_eq!(number(&mut numberings, 1), Some(0));
    numberings.select(STREAM, 6);
    assert_eq!(numberings.record(42), Some(Numbered { series: other, number: 4, refused: None }));
}

#[test]
fn a_session_record_of_another_epoch_numbers_anew() {
    let mut numberings = numberings(0, 0);
    assert_eq!(number(&mut numberings, 1), Some(0));
    let later = Series { epoch: Epoch(2), ..SERIES };
    numberings.session_record(2, &SessionRecord { series: later, ..from(90) }).unwrap();
    assert_eq!(numberings.record(3), Some(Numbered { series: later, number: 90, refused: None }));
}

#[test]
fn the_gap_that_a_refused_message_left_counts_as_refused() {
    let mut numberings = numberings(0, 0);
    assert_eq!(number(&mut numberings, 1), Some(0));
    numberings.select(STREAM, 9);
    numberings.refuse_stream(STREAM);
    numberings.select(STREAM, 5);
    let closing = numberings.record(5);
    assert_eq!(closing, Some(Numbered { series: SERIES, number: 4, refused: Some(1..4) }));
    assert_eq!(number(&mut numberings, 9), Some(8), "a later gap is a loss");
    numberings.refuse_stream(STREAM);
    assert_eq!(number(&mut numberings, 10), Some(9), "a refusal without a gap counts nothing");
    assert_eq!(number(&mut numberings, 12), Some(11), "and explains no later gap");
}

#[test]
fn a_refusal_on_one_stream_explains_no_gap_on_another() {
    let mut numberings = numberings(0, 0);
    numberings.refuse_stream(2);
    assert_eq!(number(&mut numberings, 5), Some(4));
}

#[test]
fn a_session_record_forgets_the_refusal_before_it() {
    let mut numberings = numberings(0, 0);
    numberings.refuse();
    numberings.session_record(9, &from(20)).unwrap();
    assert_eq!(number(&mut numberings, 12), Some(22));
}

#[test]
fn a_sequence_number_from_before_the_session_record_has_no_number() {
    assert_eq!(numberings(10, 100).record(10), None);
}

#[test]
fn the_highest_number_is_below_the_end_of_all_ranges() {
    let mut numberings = numberings(10, u64::MAX - 1);
    assert_eq!(number(&mut numberings, 11), Some(u64::MAX - 1));
    assert_eq!(numberings.record(12), None);
    numberings.session_record(10, &from(u64::MAX)).unwrap();
    assert_eq!(numberings.record(11), None);
}

#[test]
fn the_table_does_not_grow_beyond_its_limit() {
    let mut numberings = Numberings::new();
    for domain in 0..u32::try_from(MAX_NUMBERINGS).unwrap() {
        numberings.select(STREAM, domain);
        numberings.session_record(0, &from(0)).unwrap();
    }
    numberings.select(STREAM, u32::MAX);
    assert_eq!(numberings.session_record(0, &from(0)), Err(TooMany));
    assert_eq!(numberings.record(1), None);
    numberings.select(STREAM, 5);
    numberings.session_record(7, &from(50)).unwrap();
    assert_eq!(number(&mut numberings, 8), Some(50));
}
