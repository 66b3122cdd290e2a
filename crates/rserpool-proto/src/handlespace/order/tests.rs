use super::*;
use proptest::prelude::*;

fn position(rank: u64, turn: u64) -> Position {
    let slot = u32::try_from(turn).unwrap();
    Position { rank, turn, slot, pe: PeId(slot) }
}

fn all(order: &Order) -> Vec<Position> {
    let mut all = Vec::new();
    order.visit(|position| {
        all.push(*position);
        ControlFlow::Continue(())
    });
    all
}

proptest! {
    #[test]
    fn whatever_is_inserted_and_removed_stays_in_order(
        steps in proptest::collection::vec((0..4_u64, any::<u16>(), 0..5_u8), 0..400),
        ranks in 1..200_u64,
    ) {
        let (mut order, mut expected) = (Order::default(), BTreeSet::new());
        let (mut removed, mut again) = (Vec::new(), Vec::new());
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
                let which = order.visit(|position| {
                    shown.push(*position);
                    if shown.len() < nth % 90 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                order.remove_shown(&which);
                let mut run = None;
                for head in shown {
                    prop_assert_eq!(expected.pop_first(), Some(head));
                    let moved = Position { rank: head.rank + further, ..head };
                    run = order.append(moved, run);
                    again.push(moved);
                }
                expected.extend(again.drain(..));
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
            prop_assert!(all(&order).iter().eq(&expected));
        }
    }
}

/// Positions in runs, in the buffer and in the tree.
fn spread(order: &Order) -> (Vec<usize>, usize, usize) {
    (order.runs.iter().map(|run| run.queue.len()).collect(), order.near.len(), order.tree.len())
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
    assert_eq!(spread(&order), (vec![100], 0, 0));
}

#[test]
fn those_moved_by_a_few_distances_leave_the_tree() {
    let mut order = Order::default();
    (0..1_000).for_each(|turn| order.insert(position(turn * 17 % 1_000, turn)));
    for turn in 1_000..50_000 {
        let head = *order.first().unwrap();
        order.remove(&head);
        order.append(position(head.rank + [50, 200, 1_000][head.slot as usize % 3], turn), None);
    }
    let (runs, near, tree) = spread(&order);
    assert_eq!((runs.len(), near, tree), (3, 0, 0), "{runs:?}");
}

#[test]
fn a_walk_goes_through_the_buffer_into_the_tree() {
    let mut order = Order::default();
    (0..300).rev().for_each(|rank| order.insert(position(rank, 300 - rank)));
    assert_eq!(
        all(&order).iter().map(|position| position.rank).collect::<Vec<_>>(),
        (0..300).collect::<Vec<_>>()
    );
    let (_, near, tree) = spread(&order);
    assert!(near > 0 && tree > 0);
    (0..300).for_each(|rank| order.remove(&position(rank, 300 - rank)));
    assert_eq!(order.first(), None);
}
