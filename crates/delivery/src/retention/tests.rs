use std::ops::Range;
use std::time::Duration;

use super::*;
use crate::cookie::Entry as CookieEntry;

const LEDGER: Ledger = Ledger([7; 16]);
const SERIES: Series = Series { ledger: LEDGER, epoch: Epoch(2), domain: 0 };

fn retention() -> Retention {
    Retention::new(LEDGER, Epoch(2), 1 << 20)
}

fn filled(records: u64) -> Retention {
    let mut retention = retention();
    (0..records).for_each(|number| assert_eq!(retention.push(0, 300, &number.to_be_bytes()), Ok(number)));
    retention
}

fn entry(numbers: Range<u64>) -> CookieEntry {
    CookieEntry { series: SERIES, numbers }
}

/// Everything that the session sends, in short: `[first..until)` for a session record, else the number.
fn send(retention: &mut Retention, session: SessionId) -> Vec<String> {
    let mut sent = Vec::new();
    while let Some(outgoing) = retention.next(session) {
        sent.push(match outgoing {
            Outgoing::SessionRecord(SessionRecord { series, first_number, possible_duplicate_until }) => {
                format!("{}/{}:{first_number}<{possible_duplicate_until}", series.epoch, series.domain)
            }
            Outgoing::Record { identity, replayed, .. } => {
                format!("{}{}", identity.number, if replayed { "r" } else { "" })
            }
        });
    }
    sent
}

fn balance(retention: &Retention) -> bool {
    let Counts { pushed, covered, dropped, retained, .. } = retention.counts();
    pushed == covered + dropped + retained
}

#[expect(clippy::disallowed_methods, reason = "tests need some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn a_session_record_precedes_the_records_of_a_session() {
    let mut retention = filled(3);
    let session = retention.open_session();
    assert_eq!(send(&mut retention, session), ["2/0:0<0", "0", "1", "2"]);
    retention.push(0, 300, b"more").unwrap();
    assert_eq!(send(&mut retention, session), ["3"]);
}

#[test]
fn records_come_back_with_their_template_and_octets() {
    let mut retention = retention();
    retention.push(0, 300, b"first").unwrap();
    retention.push(0, 301, b"").unwrap();
    let session = retention.open_session();
    retention.next(session);
    let record = |number, template, octets| {
        let identity = SERIES.identity(number);
        Some(Outgoing::Record { identity, template, octets, replayed: false })
    };
    assert_eq!(retention.next(session), record(0, 300, b"first"));
    assert_eq!(retention.next(session), record(1, 301, b""));
    assert_eq!(retention.next(session), None);
}

#[test]
fn a_failover_replays_what_no_cookie_covered_and_marks_it() {
    let mut retention = filled(6);
    let first = retention.open_session();
    send(&mut retention, first);
    assert_eq!(retention.cover(first, &[entry(0..2)]), Covered { records: 2, octets: 16 });
    retention.close_session(first);
    retention.push(0, 300, b"new").unwrap();
    let second = retention.open_session();
    assert_eq!(send(&mut retention, second), ["2/0:2<6", "2r", "3r", "4r", "5r", "6"]);
    assert_eq!(retention.counts().replayed, 4);
}

#[test]
fn holes_between_runs_get_a_session_record_each() {
    let mut retention = filled(8);
    let first = retention.open_session();
    send(&mut retention, first);
    retention.cover(first, &[entry(0..2), entry(4..6)]);
    let second = retention.open_session();
    assert_eq!(send(&mut retention, second), ["2/0:2<8", "2r", "3r", "2/0:6<8", "6r", "7r"]);
}

#[test]
fn domains_are_numbered_apart_and_replayed_in_the_order_they_came() {
    let mut retention = retention();
    for domain in [0, 1, 0, 1] {
        retention.push(domain, 300, b"record").unwrap();
    }
    let session = retention.open_session();
    assert_eq!(send(&mut retention, session), ["2/0:0<0", "0", "2/1:0<0", "0", "1", "1"]);
}

#[test]
fn spooled_records_keep_their_epoch() {
    let mut retention = retention();
    for number in [40, 41] {
        retention.restore(Epoch(1), 0, number, 300, b"old").unwrap();
    }
    retention.push(0, 300, b"new").unwrap();
    let session = retention.open_session();
    assert_eq!(send(&mut retention, session), ["1/0:40<42", "40r", "41r", "2/0:0<0", "0"]);
}

#[test]
fn records_that_were_spooled_for_want_of_room_go_on_where_they_were_numbered() {
    let mut retention = filled(2);
    assert_eq!((retention.number_spooled(0), retention.number_spooled(0)), (2, 3));
    let session = retention.open_session();
    assert_eq!(send(&mut retention, session), ["2/0:0<0", "0", "1"]);
    for number in [2, 3] {
        retention.return_spooled(0, number, 300, b"again").unwrap();
    }
    assert_eq!(retention.push(0, 300, b"new"), Ok(4));
    assert_eq!(send(&mut retention, session), ["2", "3", "4"], "they were never sent");
    assert!(balance(&retention));
}

#[test]
fn what_is_not_in_the_spool_yet_is_not_sent() {
    let mut retention = filled(4);
    retention.hold_from(2);
    let session = retention.open_session();
    assert_eq!(send(&mut retention, session), ["2/0:0<0", "0", "1"]);
    retention.hold_from(3);
    assert_eq!(send(&mut retention, session), ["2"]);
    retention.hold_from(u64::MAX);
    assert_eq!(send(&mut retention, session), ["3"]);
}

#[test]
fn the_oldest_record_is_the_first_that_nobody_has() {
    let mut retention = filled(5);
    assert_eq!((retention.oldest(), retention.end()), (0, 5));
    let session = retention.open_session();
    send(&mut retention, session);
    retention.cover(session, &[entry(1..3)]);
    assert_eq!(retention.oldest(), 0);
    retention.cover(session, &[entry(0..1)]);
    assert_eq!(retention.oldest(), 3);
    retention.cover(session, &[entry(3..5)]);
    assert_eq!((retention.oldest(), retention.end()), (5, 5));
}

#[test]
fn another_options_record_in_between_costs_a_session_record() {
    let mut retention = filled(1);
    let session = retention.open_session();
    send(&mut retention, session);
    retention.end_run(session, 0);
    retention.push(0, 300, b"more").unwrap();
    assert_eq!(send(&mut retention, session), ["2/0:1<1", "1"]);
}

#[test]
fn only_numbers_that_were_sent_in_the_session_are_believed() {
    let mut retention = filled(4);
    let (first, second) = (retention.open_session(), retention.open_session());
    assert_eq!(retention.cover(first, &[entry(0..4)]), Covered::default());
    retention.next(first);
    retention.next(first);
    assert_eq!(retention.cover(second, &[entry(0..4)]), Covered::default());
    let foreign = Series { ledger: Ledger([8; 16]), ..SERIES };
    let foreign = CookieEntry { series: foreign, numbers: 0..4 };
    assert_eq!(retention.cover(first, &[foreign]), Covered::default());
    assert_eq!(retention.cover(first, &[entry(0..4)]).records, 1);
    retention.close_session(first);
    assert_eq!(retention.cover(first, &[entry(0..4)]), Covered::default());
}

#[test]
fn a_record_covered_through_one_session_is_not_in_flight_on_another() {
    let mut retention = filled(4);
    let (first, second) = (retention.open_session(), retention.open_session());
    send(&mut retention, first);
    send(&mut retention, second);
    assert_eq!((retention.in_flight(first), retention.in_flight(second)), (32, 32));
    retention.cover(first, &[entry(1..3)]);
    assert_eq!((retention.in_flight(first), retention.in_flight(second)), (16, 16));
    assert_eq!(retention.cover(second, &[entry(0..4)]).records, 2);
    assert_eq!((retention.in_flight(first), retention.in_flight(second)), (0, 0));
}

#[test]
fn a_full_retention_says_so_and_takes_more_once_covered() {
    let mut retention = Retention::new(LEDGER, Epoch(2), 10_000);
    let mut taken = 0;
    while retention.push(0, 300, &[0; 76]).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 100);
    assert_eq!(retention.push(0, 300, &[0; 76]), Err(PushError::Full { held: 10_000, limit: 10_000 }));
    let session = retention.open_session();
    send(&mut retention, session);
    retention.cover(session, &[entry(0..50)]);
    assert_eq!(retention.push(0, 300, &[0; 76]), Ok(100));
    assert!(retention.held_octets() <= 10_000 && balance(&retention));
}

#[test]
fn a_record_no_message_can_carry_is_refused() {
    let mut retention = retention();
    let length = MAX_RECORD + 1;
    assert_eq!(retention.push(0, 300, &vec![0; length]), Err(PushError::TooLong { length }));
    assert_eq!(retention.push(0, 300, &vec![0; MAX_RECORD]), Ok(0));
}

#[test]
fn dropping_makes_room_and_is_counted() {
    let mut retention = Retention::new(LEDGER, Epoch(2), 10_000);
    let session = retention.open_session();
    while retention.push(0, 300, &[0; 76]).is_ok() {}
    let dropped = retention.drop_oldest();
    assert_eq!((dropped, retention.counts().dropped), (40, 40));
    assert!(balance(&retention));
    assert_eq!(send(&mut retention, session)[..2], ["2/0:40<0", "40"]);
}

#[test]
fn without_cookies_records_go_once_the_hold_back_is_over() {
    let mut retention = filled(2);
    let (now, hold_back) = (start(), HoldBack::within(1 << 20));
    let session = retention.open_session();
    send(&mut retention, session);
    let mark = retention.mark(session).unwrap();
    retention.push(0, 300, b"later").unwrap();
    send(&mut retention, session);
    retention.handle_transport_acknowledged(session, mark, now);
    let almost = now + Duration::from_millis(29_999);
    assert_eq!(retention.cover_by_hold_back(session, almost, hold_back).records, 0);
    let over = now + Duration::from_secs(30);
    assert_eq!(retention.cover_by_hold_back(session, over, hold_back).records, 2);
    assert_eq!(retention.counts().retained, 1, "the last record is not acknowledged");
}

#[test]
fn the_hold_back_is_bounded_in_octets_too() {
    let mut retention = retention();
    let (now, hold_back) = (start(), HoldBack { time: Duration::from_secs(30), octets: 100 });
    let session = retention.open_session();
    for at in 0..10 {
        retention.push(0, 300, &[0; 50]).unwrap();
        send(&mut retention, session);
        let mark = retention.mark(session).unwrap();
        retention.handle_transport_acknowledged(session, mark, now + Duration::from_secs(at));
    }
    let covered = retention.cover_by_hold_back(session, now + Duration::from_secs(9), hold_back);
    assert_eq!(covered, Covered { records: 8, octets: 400 });
}

mod against_a_model {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push { domain: u32, length: usize },
        Open,
        Close { session: usize },
        Send { session: usize, records: usize },
        Cover { session: usize, domain: u32, numbers: Range<u64> },
        Drop,
    }

    fn step() -> impl Strategy<Value = Step> {
        let session = 0_usize..3;
        prop_oneof![
            6 => (0_u32..2, 0_usize..900).prop_map(|(domain, length)| Step::Push { domain, length }),
            1 => Just(Step::Open),
            1 => session.clone().prop_map(|session| Step::Close { session }),
            4 => (session.clone(), 1_usize..9).prop_map(|(session, records)| Step::Send { session, records }),
            3 => (session, 0_u32..2, 0_u64..40, 1_u64..20).prop_map(|(session, domain, start, length)| {
                Step::Cover { session, domain, numbers: start..start + length }
            }),
            1 => Just(Step::Drop),
        ]
    }

    /// Records by position: (domain, number, length); the last field says whether it is still here.
    type Records = Vec<(u32, u64, usize, bool)>;

    fn identities(records: &Records) -> Vec<(u32, u64)> {
        records.iter().filter(|record| record.3).map(|record| (record.0, record.1)).collect()
    }

    fn send_all(retention: &mut Retention, session: SessionId, limit: usize) -> Vec<(u32, u64)> {
        let mut sent = Vec::new();
        let mut next = std::collections::BTreeMap::new();
        while sent.len() < limit {
            match retention.next(session) {
                Some(Outgoing::SessionRecord(record)) => {
                    next.insert(record.series.domain, record.first_number);
                }
                Some(Outgoing::Record { identity, octets, .. }) => {
                    if let Some(number) = next.get_mut(&identity.domain) {
                        assert_eq!(*number, identity.number, "the session record tells the number");
                        *number += 1;
                    }
                    assert!(octets.iter().all(|&octet| u64::from(octet) == identity.number % 251));
                    sent.push((identity.domain, identity.number));
                }
                None => break,
            }
        }
        sent
    }

    proptest! {
        #[test]
        fn sessions_see_all_that_is_left_in_order(steps in prop::collection::vec(step(), 0..120)) {
            let mut retention = Retention::new(LEDGER, Epoch(2), 1 << 16);
            let mut records = Records::new();
            let mut sessions: Vec<(SessionId, BTreeSet<(u32, u64)>)> = Vec::new();
            let mut gone = 0;
            for step in steps {
                match step {
                    Step::Push { domain, length } => {
                        let number = records.iter().filter(|record| record.0 == domain).count() as u64;
                        let octet = u8::try_from(number % 251).unwrap();
                        match retention.push(domain, 256, &vec![octet; length]) {
                            Ok(given) => {
                                prop_assert_eq!(given, number);
                                records.push((domain, number, length, true));
                            }
                            Err(error) => prop_assert!(matches!(error, PushError::Full { .. }), "{}", error),
                        }
                    }
                    Step::Open if sessions.len() < 3 => sessions.push((retention.open_session(), BTreeSet::new())),
                    Step::Close { session } if session < sessions.len() => {
                        retention.close_session(sessions.remove(session).0);
                    }
                    Step::Send { session, records: limit } => {
                        if let Some((id, sent)) = sessions.get_mut(session) {
                            sent.extend(send_all(&mut retention, *id, limit));
                        }
                    }
                    Step::Cover { session, domain, numbers } => {
                        let Some((id, sent)) = sessions.get(session) else { continue };
                        let told = CookieEntry { series: Series { domain, ..SERIES }, numbers: numbers.clone() };
                        let mut expected = Covered::default();
                        for record in records.iter_mut().filter(|record| record.3) {
                            let is_told = record.0 == domain && numbers.contains(&record.1);
                            if is_told && sent.contains(&(record.0, record.1)) {
                                record.3 = false;
                                expected.records += 1;
                                expected.octets += record.2 as u64;
                            }
                        }
                        gone += expected.records;
                        prop_assert_eq!(retention.cover(*id, &[told]), expected);
                    }
                    Step::Drop => {
                        let mut dropped = retention.drop_oldest();
                        gone += dropped;
                        for record in records.iter_mut().filter(|record| record.3) {
                            if dropped > 0 {
                                record.3 = false;
                                dropped -= 1;
                            }
                        }
                    }
                    Step::Open | Step::Close { .. } => {}
                }
                let left = records.iter().filter(|record| record.3);
                let octets: usize = left.clone().map(|record| record.2).sum();
                let counts = retention.counts();
                prop_assert!(balance(&retention) && retention.held_octets() <= retention.limit());
                prop_assert_eq!((counts.retained, counts.retained_octets), (left.count() as u64, octets as u64));
                prop_assert_eq!(counts.covered + counts.dropped, gone);
                for (id, sent) in &sessions {
                    let flying = records.iter().filter(|record| record.3 && sent.contains(&(record.0, record.1)));
                    prop_assert_eq!(retention.in_flight(*id), flying.map(|record| record.2 as u64).sum::<u64>());
                }
            }
            let last = retention.open_session();
            prop_assert_eq!(send_all(&mut retention, last, usize::MAX), identities(&records));
        }
    }
}
