use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn position(rank: u64, turn: u64) -> Position {
    let slot = u32::try_from(turn).unwrap();
    Position { rank, turn, slot, pe: PeId(slot) }
}

fn all(order: &mut Order) -> Vec<Position> {
    let mut all = Vec::new();
    assert!(order.pick(usize::MAX, |_| true, &mut all));
    all
}

proptest! {
    #[test]
    fn whatever_is_inserted_and_removed_stays_in_order(
        steps in proptest::collection::vec((0..4_u64, any::<u16>(), 0..5_u8), 0..400),
        ranks in 1..200_u64,
    ) {
        let (mut order, mut expected) = (Order::default(), BTreeSet::new());
        let mut removed = Vec::new();
        for (turn, (further, pick, step)) in (0..).zip(steps) {
            let nth = usize::from(pick) % (expected.len() + 1);
            let picked: Option<Position> = expected.iter().nth(nth).copied();
            let place = position(u64::from(pick) * 7 % ranks, turn);
            if let Some(again) = removed.pop_if(|_| pick % 3 == 0) {
                order.insert(again);
                expected.insert(again);
            } else if let (1, Some(picked)) = (step, picked) {
                order.remove(&picked);
                expected.remove(&picked);
                removed.push(picked);
            } else if step == 3 && further > 0 {
                let mut shown = Vec::new();
                prop_assert!(order.pick(nth % 90, |_| true, &mut shown));
                let mut moved = Vec::new();
                for head in shown {
                    prop_assert_eq!(expected.pop_first(), Some(head));
                    // By one distance, or by several.
                    let further = if pick % 2 == 0 { further } else { further * (head.turn % 3) };
                    moved.push(Position { rank: head.rank + further, ..head });
                }
                order.move_picked(&moved);
                expected.extend(moved);
            } else if step == 2 && let Some(head) = expected.pop_first() {
                let moved = position(head.rank + further * 10, turn);
                order.remove(&head);
                order.append(moved, None);
                expected.insert(moved);
            } else {
                order.insert(place);
                expected.insert(place);
            }
            prop_assert_eq!(order.first(), expected.first());
            prop_assert!(all(&mut order).iter().eq(&expected));
        }
    }
}

/// Positions in runs, in the buffer and in the heap.
fn spread(mut order: Order) -> (Vec<usize>, usize, usize) {
    let far = std::iter::from_fn(|| order.far.pop()).count();
    (order.runs.iter().map(|run| run.queue.len()).collect(), order.near.len(), far)
}

#[test]
fn elements_that_take_turns_are_in_one_run() {
    let mut order = Order::default();
    (0..100).for_each(|turn| order.insert(position(0, turn)));
    for turn in 100..1_000 {
        let head = *order.first().unwrap();
        order.remove(&head);
        order.append(position(0, turn), None);
    }
    assert_eq!(spread(order), (vec![100], 0, 0));
}

#[test]
fn those_moved_by_a_few_distances_leave_the_heap() {
    let mut order = Order::default();
    (0..1_000).for_each(|turn| order.insert(position(turn * 17 % 1_000, turn)));
    for turn in 1_000..50_000 {
        let head = *order.first().unwrap();
        order.remove(&head);
        order.append(position(head.rank + [50, 200, 1_000][head.slot as usize % 3], turn), None);
    }
    let (runs, near, far) = spread(order);
    assert_eq!((runs.len(), near, far), (3, 0, 0), "{runs:?}");
}

#[test]
fn a_walk_goes_through_the_buffer_into_the_heap_as_far_as_it_must() {
    let reversed = |ranks: u64| {
        let mut order = Order::default();
        (0..ranks).rev().for_each(|rank| order.insert(position(rank, ranks - rank)));
        order
    };
    let (_, near, far) = spread(reversed(900));
    assert!(near > 0 && far > 0, "{near} {far}");
    let mut order = reversed(900);
    assert_eq!(
        all(&mut order).iter().map(|position| position.rank).collect::<Vec<_>>(),
        (0..900).collect::<Vec<_>>()
    );
    assert_eq!(spread(order).2, 0);
    let mut order = reversed(900);
    all(&mut order);
    (0..900).for_each(|rank| order.remove(&position(rank, 900 - rank)));
    assert_eq!(order.first(), None);
}

#[test]
fn what_a_walk_brought_near_goes_back_when_somebody_joins_or_leaves() {
    let walked = || {
        let mut order = Order::default();
        (0..1_000).for_each(|rank| order.insert(position(rank, rank)));
        all(&mut order);
        order
    };
    let mut joined = walked();
    joined.insert(position(5, 1_000));
    assert!(spread(joined).1 <= HIGH);
    let mut left = walked();
    left.remove(&position(500, 500));
    assert!(spread(left).1 <= HIGH);
}
