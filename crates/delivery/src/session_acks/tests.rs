use std::time::Duration;

use super::*;
use crate::identity::{Epoch, Ledger};

const SERIES: Series = Series { ledger: Ledger([1; 16]), epoch: Epoch(1), domain: 5 };

#[expect(clippy::disallowed_methods, reason = "tests need some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

fn asked(now: Instant) -> SessionAcks {
    let mut acks = SessionAcks::new();
    acks.ask(now);
    acks
}

/// Notes a batch with text; returns its ticket.
fn receive(acks: &mut SessionAcks, numbers: Range<u64>) -> u64 {
    acks.wait_for([(SERIES, numbers)], true, false).batch
}

/// The ranges that one cookie tells.
fn told(acks: &mut SessionAcks, now: Instant) -> Vec<Range<u64>> {
    let cookie = acks.cookie_now(now, 1).unwrap();
    cookie.entries.into_iter().map(|entry| entry.numbers).collect()
}

/// Every second number, durable.
fn acks_with_holes(now: Instant, ranges: u64) -> SessionAcks {
    let mut acks = asked(now);
    let numbers = (0..ranges).map(|at| (SERIES, 2 * at..2 * at + 1));
    let ticket = acks.wait_for(numbers, true, false);
    acks.collect(Some(ticket.batch), 0);
    acks
}

#[test]
fn nothing_is_told_before_a_session_record_asks() {
    let now = start();
    let mut acks = SessionAcks::new();
    let ticket = receive(&mut acks, 0..5);
    acks.collect(Some(ticket), 0);
    assert_eq!((acks.poll_timeout(), acks.cookie_now(now, 1)), (None, None));
    acks.ask(now);
    assert_eq!(acks.poll_timeout(), Some(now));
    let entries = vec![Entry { series: SERIES, numbers: 0..5 }];
    assert_eq!(acks.cookie(now, 7), Some(Cookie { incarnation: 7, state: State::Ok, entries }));
    assert_eq!(acks.cookie(now, 7), None);
}

#[test]
fn numbers_are_told_once_their_batch_is_synced() {
    let now = start();
    let mut acks = asked(now);
    let (first, second) = (receive(&mut acks, 40..50), receive(&mut acks, 50..60));
    assert_eq!((first, second), (1, 2));
    acks.collect(Some(0), 0);
    assert_eq!(told(&mut acks, now), []);
    acks.collect(Some(first), 0);
    assert_eq!(told(&mut acks, now), vec![40..50]);
    assert!(!acks.is_settled());
    acks.collect(Some(second), 0);
    assert_eq!(told(&mut acks, now), vec![40..60]);
    assert!(acks.is_settled());
}

#[test]
fn refused_numbers_are_told_once_their_letter_is_written() {
    let now = start();
    let mut acks = asked(now);
    receive(&mut acks, 0..5);
    let ticket = acks.wait_for([(SERIES, 5..8)], false, true);
    assert_eq!(ticket, Ticket { batch: 1, letter: 1 }, "a batch without text has the ticket before it");
    acks.collect(Some(1), 0);
    assert_eq!(told(&mut acks, now), vec![0..5]);
    acks.collect(Some(1), 1);
    assert_eq!(told(&mut acks, now), vec![0..8]);
}

#[test]
fn without_a_durable_output_nothing_is_acknowledged() {
    let now = start();
    let mut acks = asked(now);
    receive(&mut acks, 0..5);
    acks.collect(None, 0);
    assert!(acks.is_settled());
    assert_eq!(told(&mut acks, now), []);
}

#[test]
fn a_collector_that_has_stopped_reading_goes_on_to_say_so() {
    let now = start();
    let mut acks = asked(now);
    told(&mut acks, now);
    assert_eq!(acks.poll_timeout(), None);
    acks.set_state(State::Slow);
    let later = now + Duration::from_secs(1);
    assert_eq!(acks.cookie(later, 1).unwrap().state, State::Slow);
    assert_eq!(acks.poll_timeout(), Some(later + Duration::from_secs(1)));
    acks.set_state(State::Ok);
    assert_eq!(acks.cookie(later + Duration::from_secs(1), 1).unwrap().state, State::Ok);
    assert_eq!(acks.poll_timeout(), None);
}

#[test]
fn every_series_has_its_own_ranges() {
    let now = start();
    let mut acks = asked(now);
    let old = Series { epoch: Epoch(0), ..SERIES };
    let other = Series { domain: 6, ..SERIES };
    acks.wait_for([(SERIES, 3..4), (other, 3..4), (old, 3..4)], true, false);
    acks.collect(Some(1), 0);
    let entries = acks.cookie_now(now, 1).unwrap().entries;
    assert_eq!(entries.iter().map(|entry| entry.series).collect::<Vec<_>>(), [old, SERIES, other]);
}

#[test]
fn ranges_that_do_not_fit_into_one_cookie_take_turns() {
    let now = start();
    let mut acks = acks_with_holes(now, 1_500);
    let first = told(&mut acks, now);
    assert_eq!(first.len(), MAX_ENTRIES);
    assert!(acks.poll_timeout().is_some(), "there is more to tell");
    let second = told(&mut acks, now);
    assert_eq!(first.len() + second.len(), 1_500);
    assert_eq!(second[0].start, first.last().unwrap().start + 2);
    assert_eq!(acks.poll_timeout(), None);
}

#[test]
fn ranges_that_grow_together_between_turns_are_all_told() {
    let now = start();
    let mut acks = acks_with_holes(now, 1_500);
    told(&mut acks, now);
    let ticket = receive(&mut acks, 0..2_000);
    acks.collect(Some(ticket), 0);
    let rest = told(&mut acks, now);
    assert_eq!((rest.first(), rest.len()), (Some(&(0..2_001)), 500));
    assert!(acks.poll_timeout().is_some(), "the round's first part has changed");
    assert_eq!(told(&mut acks, now), rest);
    assert_eq!(acks.poll_timeout(), None);
}

#[test]
fn ranges_that_become_one_below_those_told_are_told_again() {
    let now = start();
    let mut acks = acks_with_holes(now, 1_500);
    let first = told(&mut acks, now);
    let ticket = receive(&mut acks, 1..100);
    acks.collect(Some(ticket), 0);
    let second = told(&mut acks, now);
    assert_eq!(second[0].start, first.last().unwrap().start + 2, "none is skipped");
    assert_eq!(told(&mut acks, now)[0], 0..101);
}

#[test]
fn a_cookie_that_was_not_sent_is_made_again() {
    let now = start();
    let mut acks = acks_with_holes(now, 1_500);
    let first = told(&mut acks, now);
    acks.repeat();
    assert_eq!(acks.poll_timeout(), Some(now + Duration::from_millis(200)));
    assert_eq!(told(&mut acks, now), first);
}

#[test]
fn a_restarted_association_has_asked_for_nothing_and_received_nothing() {
    let now = start();
    let mut acks = asked(now);
    receive(&mut acks, 0..5);
    acks.restart();
    assert_eq!(acks.cookie_now(now, 1), None);
    acks.ask(now);
    assert_eq!(receive(&mut acks, 5..6), 2, "tickets go on");
    acks.collect(Some(2), 0);
    assert_eq!(told(&mut acks, now), vec![5..6]);
}

#[test]
fn ranges_beyond_the_limit_are_forgotten_and_later_ones_told() {
    let now = start();
    let mut acks = acks_with_holes(now, 60_000);
    told(&mut acks, now);
    let more = (60_000..70_000).map(|at| (SERIES, 2 * at..2 * at + 1));
    let ticket = acks.wait_for(more, true, false);
    acks.collect(Some(ticket.batch), 0);
    let ticket = receive(&mut acks, 0..5);
    acks.collect(Some(ticket), 0);
    assert_eq!(told(&mut acks, now), vec![0..5]);
}
