use super::*;
use crate::books::Limits;
use crate::identity::{Epoch, Ledger};

const SERIES: Series = Series { ledger: Ledger([1; 16]), epoch: Epoch(1), domain: 5 };
const STREAM: u16 = 1;

fn books() -> Books {
    Books::new(Limits::default(), vec![Holdings::new()])
}

fn from(first_number: u64) -> SessionRecord {
    SessionRecord { series: SERIES, first_number, possible_duplicate_until: 0 }
}

fn holding(range: Range<u64>) -> Holdings {
    let mut holdings = Holdings::new();
    holdings.insert_range(SERIES, range);
    holdings
}

#[test]
fn the_record_after_the_session_record_has_the_first_number() {
    let (mut intake, mut books) = (Intake::new(), books());
    intake.session_record(STREAM, 17, &from(1000)).unwrap();
    assert_eq!(intake.record(&mut books, STREAM, 5, 18), Ok(Verdict::New(SERIES.identity(1000))));
    assert_eq!(intake.record(&mut books, STREAM, 5, 19), Ok(Verdict::New(SERIES.identity(1001))));
}

#[test]
fn a_gap_in_sequence_numbers_is_the_same_gap_in_numbers() {
    let (mut intake, mut books) = (Intake::new(), books());
    intake.session_record(STREAM, 0, &from(0)).unwrap();
    assert_eq!(intake.record(&mut books, STREAM, 5, 1), Ok(Verdict::New(SERIES.identity(0))));
    assert_eq!(intake.record(&mut books, STREAM, 5, 11), Ok(Verdict::New(SERIES.identity(10))));
    assert_eq!(intake.record(&mut books, STREAM, 5, 4), Ok(Verdict::New(SERIES.identity(3))));
    assert_eq!(intake.record(&mut books, STREAM, 5, 12), Ok(Verdict::New(SERIES.identity(11))));
}

#[test]
fn numbers_go_on_where_sequence_numbers_wrap() {
    let (mut intake, mut books) = (Intake::new(), books());
    intake.session_record(STREAM, u32::MAX - 1, &from(7)).unwrap();
    assert_eq!(intake.record(&mut books, STREAM, 5, u32::MAX), Ok(Verdict::New(SERIES.identity(7))));
    assert_eq!(intake.record(&mut books, STREAM, 5, 0), Ok(Verdict::New(SERIES.identity(8))));
    for step in 1..=4_u32 {
        let sequence = step.wrapping_mul(1 << 30).wrapping_sub(step);
        let number = 8 + u64::from(step) * (1 << 30) - u64::from(step);
        assert_eq!(intake.record(&mut books, STREAM, 5, sequence), Ok(Verdict::New(SERIES.identity(number))));
    }
}

#[test]
fn records_without_a_session_record_are_plain() {
    let (mut intake, mut books) = (Intake::new(), books());
    intake.session_record(STREAM, 0, &from(0)).unwrap();
    assert_eq!(intake.record(&mut books, 2, 5, 1), Ok(Verdict::Plain));
    assert_eq!(intake.record(&mut books, STREAM, 6, 1), Ok(Verdict::Plain));
    intake.end_run(STREAM, 5);
    assert_eq!(intake.record(&mut books, STREAM, 5, 1), Ok(Verdict::Plain));
}

#[test]
fn a_record_that_another_association_brought_is_a_duplicate() {
    let mut books = books();
    let (mut first, mut second) = (Intake::new(), Intake::new());
    first.session_record(STREAM, 0, &from(0)).unwrap();
    second.session_record(STREAM, 40, &from(1)).unwrap();
    for sequence in 1..=3 {
        first.record(&mut books, STREAM, 5, sequence).unwrap();
    }
    assert_eq!(second.record(&mut books, STREAM, 5, 41), Ok(Verdict::Duplicate(SERIES.identity(1))));
}

#[test]
fn cookies_tell_of_this_session_only_and_of_durable_records_only() {
    let mut books = Books::new(Limits::default(), vec![holding(0..50)]);
    let mut intake = Intake::new();
    intake.session_record(STREAM, 0, &from(40)).unwrap();
    assert_eq!(intake.cookie_entries(&books), []);
    assert!(!intake.is_uncovered(&books));
    for sequence in 1..=20 {
        intake.record(&mut books, STREAM, 5, sequence).unwrap();
    }
    assert_eq!(intake.cookie_entries(&books), [Entry { series: SERIES, numbers: 40..50 }]);
    assert!(intake.is_uncovered(&books));
    books.commit(0, &holding(50..60));
    assert_eq!(intake.cookie_entries(&books), [Entry { series: SERIES, numbers: 40..60 }]);
    assert!(!intake.is_uncovered(&books));
}

#[test]
fn an_epoch_and_a_domain_each_have_their_own_range() {
    let mut books = books();
    let mut intake = Intake::new();
    let old = Series { epoch: Epoch(0), ..SERIES };
    let other = Series { domain: 6, ..SERIES };
    let record = |series| SessionRecord { series, first_number: 3, possible_duplicate_until: 0 };
    intake.session_record(STREAM, 0, &record(old)).unwrap();
    intake.session_record(STREAM, 0, &record(other)).unwrap();
    assert_eq!(intake.record(&mut books, STREAM, 5, 1), Ok(Verdict::New(old.identity(3))));
    intake.session_record(STREAM, 2, &record(SERIES)).unwrap();
    assert_eq!(intake.record(&mut books, STREAM, 5, 3), Ok(Verdict::New(SERIES.identity(3))));
    assert_eq!(intake.record(&mut books, STREAM, 6, 1), Ok(Verdict::New(other.identity(3))));
    books.commit(0, &books.received().clone());
    let told: Vec<_> = intake.cookie_entries(&books).into_iter().map(|entry| entry.series).collect();
    assert_eq!(told, [old, SERIES, other]);
}

#[test]
fn ranges_that_do_not_fit_into_one_cookie_take_turns() {
    let (mut intake, mut books) = (Intake::new(), books());
    intake.session_record(STREAM, 0, &from(0)).unwrap();
    for sequence in (1..3000).step_by(2) {
        intake.record(&mut books, STREAM, 5, sequence).unwrap();
    }
    books.commit(0, &books.received().clone());
    let mut told = Holdings::new();
    for _ in 0..2 {
        let entries = intake.cookie_entries(&books);
        assert_eq!(entries.len(), cookie::MAX_ENTRIES);
        entries.into_iter().for_each(|entry| told.insert_range(entry.series, entry.numbers));
    }
    assert_eq!(&told, books.received());
}

#[test]
fn records_of_a_discarded_message_count_as_received() {
    let (mut intake, mut books) = (Intake::new(), books());
    intake.session_record(STREAM, 0, &from(0)).unwrap();
    intake.record(&mut books, STREAM, 5, 1).unwrap();
    assert_eq!(intake.refuse_until(&mut books, STREAM, 5, 5), Ok(Some((SERIES, 1..4))));
    assert_eq!(intake.refuse_until(&mut books, STREAM, 5, 5), Ok(None));
    assert_eq!(intake.record(&mut books, STREAM, 5, 5), Ok(Verdict::New(SERIES.identity(4))));
    assert_eq!(books.received(), &holding(0..5));
}

#[test]
fn a_sequence_number_from_before_the_session_record_is_refused() {
    let (mut intake, mut books) = (Intake::new(), books());
    intake.session_record(STREAM, 10, &from(100)).unwrap();
    let refused = Err(IntakeError::OutOfRange { sequence: 10 });
    assert_eq!(intake.record(&mut books, STREAM, 5, 10), refused);
    intake.session_record(STREAM, 10, &from(u64::MAX - 1)).unwrap();
    assert_eq!(intake.record(&mut books, STREAM, 5, 11), Ok(Verdict::New(SERIES.identity(u64::MAX - 1))));
    assert!(intake.record(&mut books, STREAM, 5, 12).is_err());
    intake.session_record(STREAM, 10, &from(u64::MAX)).unwrap();
    assert!(intake.record(&mut books, STREAM, 5, 11).is_err());
}

#[test]
fn repeats_are_told_as_possible_below_the_bound() {
    let (mut intake, mut books) = (Intake::new(), books());
    intake.session_record(STREAM, 0, &SessionRecord { possible_duplicate_until: 1, ..from(0) }).unwrap();
    intake.record(&mut books, STREAM, 5, 1).unwrap();
    assert!(intake.is_possible_duplicate(STREAM, SERIES.identity(0)));
    assert!(!intake.is_possible_duplicate(STREAM, SERIES.identity(1)));
}
