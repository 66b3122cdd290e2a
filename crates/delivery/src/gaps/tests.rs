use proptest::prelude::*;

use super::*;

/// A statistics record; everything sent is settled.
fn told(sent: u64, abandoned: u64) -> StatisticsRecord {
    StatisticsRecord { sent, settled: sent, abandoned, ..StatisticsRecord::default() }
}

fn counts(gaps: &Gaps) -> (u64, u64, u64) {
    let Counts { sent, received, lost, .. } = gaps.counts();
    (sent, received, lost)
}

#[test]
fn a_gap_is_lost_when_the_second_statistics_record_after_it_comes() {
    let mut gaps = Gaps::new(0);
    gaps.receive(1, 10);
    gaps.receive(21, 10);
    assert_eq!(counts(&gaps), (0, 20, 0), "it may still come");
    gaps.tell(&told(30, 10)).unwrap();
    assert_eq!(counts(&gaps), (30, 20, 0));
    gaps.tell(&told(30, 10)).unwrap();
    assert_eq!(counts(&gaps), (30, 20, 10));
    assert_eq!(gaps.counts().spurious(), Some(0));
}

#[test]
fn what_is_missing_is_neither_received_nor_lost_yet() {
    let mut gaps = Gaps::new(0);
    gaps.receive(11, 10);
    assert_eq!(gaps.missing(), 10, "by what came behind them");
    gaps.tell(&told(30, 0)).unwrap();
    assert_eq!(gaps.missing(), 20, "by what the exporter told");
    gaps.tell(&told(30, 0)).unwrap();
    assert_eq!((gaps.missing(), gaps.counts().lost), (0, 20));
    gaps.receive(1, 10);
    assert_eq!((gaps.missing(), gaps.counts().late), (0, 10));
    gaps.close();
    assert_eq!(gaps.missing(), 0);
}

#[test]
fn what_is_still_on_its_way_is_not_lost() {
    let mut gaps = Gaps::new(0);
    gaps.receive(11, 10);
    let half = StatisticsRecord { sent: 40, settled: 0, ..StatisticsRecord::default() };
    gaps.tell(&half).unwrap();
    gaps.tell(&half).unwrap();
    assert_eq!(counts(&gaps), (40, 10, 0));
    gaps.receive(1, 10);
    gaps.receive(21, 20);
    gaps.close();
    assert_eq!(counts(&gaps), (40, 40, 0), "records in any order are no loss");
}

#[test]
fn losses_at_both_ends_are_counted_at_the_end() {
    let mut gaps = Gaps::new(u32::MAX);
    gaps.receive(5, 10);
    gaps.tell(&told(20, 10)).unwrap();
    gaps.close();
    assert_eq!(counts(&gaps), (20, 10, 10));
    assert_eq!(gaps.counts().spurious(), Some(0));
}

#[test]
fn what_was_given_up_and_came_is_spurious() {
    let mut gaps = Gaps::new(0);
    gaps.receive(1, 8);
    gaps.tell(&told(10, 5)).unwrap();
    gaps.close();
    assert_eq!((counts(&gaps), gaps.counts().spurious()), ((10, 8, 2), Some(3)));
}

#[test]
fn without_the_last_statistics_record_what_was_sent_is_not_known() {
    let mut gaps = Gaps::new(0);
    gaps.tell(&told(4, 0)).unwrap();
    gaps.receive(1, 4);
    gaps.receive(7, 2);
    gaps.close();
    assert_eq!((counts(&gaps), gaps.counts().spurious()), ((4, 6, 2), None));
}

#[test]
fn a_record_that_comes_after_it_was_counted_as_lost_is_late() {
    let mut gaps = Gaps::new(0);
    gaps.receive(3, 2);
    gaps.tell(&told(4, 2)).unwrap();
    gaps.tell(&told(4, 2)).unwrap();
    gaps.receive(1, 2);
    gaps.close();
    let counts = gaps.counts();
    assert_eq!((counts.received, counts.lost, counts.late, counts.spurious()), (4, 2, 2, Some(2)));
}

#[test]
fn a_record_seen_twice_counts_once() {
    let mut gaps = Gaps::new(0);
    gaps.receive(1, 5);
    gaps.receive(3, 5);
    gaps.tell(&told(7, 0)).unwrap();
    gaps.close();
    assert_eq!(counts(&gaps), (7, 7, 0));
}

#[test]
fn statistics_that_cannot_be_change_nothing() {
    let mut gaps = Gaps::new(0);
    gaps.tell(&told(4, 2)).unwrap();
    for worse in [told(3, 2), told(4, 1), told(1 << 31, 2)] {
        assert!(gaps.tell(&worse).is_err());
    }
    assert_eq!((gaps.counts().sent, gaps.counts().abandoned), (4, 2));
}

#[test]
fn memory_is_bounded_whatever_gaps_there_are() {
    let mut gaps = Gaps::new(0);
    for message in 0..10_000 {
        gaps.receive(1 + 2 * message, 1);
        assert!(gaps.came.range_count() <= MAX_RANGES);
    }
    gaps.close();
    assert_eq!(counts(&gaps), (0, 10_000, 9_999));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_books_balance_whatever_is_lost_and_in_whatever_order_the_rest_comes(
        messages in prop::collection::vec((1_u32..30, any::<bool>(), 0_usize..20), 1..200),
        class_record: u32,
    ) {
        let mut at = class_record;
        let mut arriving = Vec::new();
        let mut sent = 0;
        for (place, (records, arrives, delay)) in messages.into_iter().enumerate() {
            if arrives {
                arriving.push((place + delay, at.wrapping_add(1), records));
            }
            at = at.wrapping_add(records);
            sent += u64::from(records);
        }
        arriving.sort_by_key(|(place, ..)| *place);
        let mut gaps = Gaps::new(class_record);
        let mut received = 0;
        for (_, sequence, records) in arriving {
            gaps.receive(sequence, records);
            received += u64::from(records);
        }
        gaps.tell(&told(sent, sent)).unwrap();
        gaps.close();
        prop_assert_eq!(counts(&gaps), (sent, received, sent - received));
        prop_assert_eq!(gaps.counts().spurious(), Some(received));
    }

    #[test]
    fn whatever_comes_nothing_overflows(messages: Vec<(u32, u16)>, told: Vec<(u64, u64)>) {
        let mut gaps = Gaps::new(7);
        for (message, told) in messages.iter().zip(told.iter().chain(std::iter::repeat(&(0, 0)))) {
            gaps.receive(message.0, message.1.into());
            let sent = told.0 / 2;
            let _ = gaps.tell(&StatisticsRecord { sent, settled: told.1.min(sent), ..StatisticsRecord::default() });
        }
        gaps.close();
        let _ = gaps.counts().spurious();
    }
}
