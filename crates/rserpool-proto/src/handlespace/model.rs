//! Selections beside a plain model: all elements in one list, sorted for each selection (RFC 5356 sections 5.1.2 and
//! 5.2.2).

use super::tests::{element, handle};
use super::*;
use crate::Random;
use crate::wire::{Load, Policy};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
struct Element {
    pe: PeId,
    load: u64,
    degradation: u32,
    turn: u64,
    aside: bool,
}

#[derive(Default)]
struct Model {
    elements: Vec<Element>,
    turns: u64,
}

impl Model {
    fn register(&mut self, pe: PeId, load: u32, degradation: u32) {
        let load = u64::from(load);
        if let Some(known) = self.elements.iter_mut().find(|element| element.pe == pe) {
            *known = Element { load, degradation, ..*known };
        } else {
            self.elements.push(Element { pe, load, degradation, turn: self.turns, aside: false });
            self.turns += 1;
        }
    }

    fn set_aside(&mut self, pe: PeId, aside: bool) {
        self.elements.iter_mut().filter(|element| element.pe == pe).for_each(|element| element.aside = aside);
    }

    fn select(&mut self, count: usize, wanted: impl Fn(PeId) -> bool) -> Vec<PeId> {
        self.elements.sort_unstable_by_key(|element| (element.load, element.turn));
        let aside = !self.elements.iter().any(|element| !element.aside && wanted(element.pe));
        let mut queue: Vec<&mut Element> =
            self.elements.iter_mut().filter(|element| element.aside == aside).collect();
        let alone = queue.get(1).is_none_or(|second| second.load != queue[0].load);
        let mut chosen: Vec<_> = queue.iter_mut().filter(|element| wanted(element.pe)).take(count).collect();
        for (nth, element) in chosen.iter_mut().enumerate() {
            let before = element.load;
            element.load = u64::from(u32::MAX).min(before + u64::from(element.degradation));
            if nth == 0 && !(alone && element.load == before) {
                element.turn = self.turns;
                self.turns += 1;
            }
        }
        chosen.iter().map(|element| element.pe).collect()
    }
}

/// Registers, removes, sets aside and selects as the numbers say, here and in the model.
fn follow(
    steps: Vec<(u8, u16, u32)>,
    first: u32,
    loads: u32,
    degradations: &[u32],
) -> Result<(), TestCaseError> {
    let mut space = Handlespace::new(Limits::default());
    let (mut model, mut random) = (Model::default(), Random::new(1));
    let registrations = (0..first).map(|nth| (0, nth.to_le_bytes()[0].into(), nth.wrapping_mul(0x9e37_79b9)));
    for (step, pick, value) in registrations.chain(steps) {
        let pe = PeId(u32::from(pick) + 1 + if step == 0 { value % 7 * 256 } else { 0 });
        let count = [0, 1, 2, 10, 10, 40, 400][usize::from(pick) % 7];
        match step {
            0 | 1 => {
                let (load, degradation) = (value % loads, degradations[value as usize % degradations.len()]);
                let policy =
                    Policy::LeastUsedDegradation { load: Load(load), degradation: Load(degradation) };
                prop_assert!(space.register(&handle(), element(pe.0, policy)).is_ok());
                model.register(pe, load, degradation);
            }
            2 => {
                space.deregister(&handle(), pe);
                model.elements.retain(|element| element.pe != pe);
            }
            3 => {
                space.pool_mut(&handle()).map(|pool| pool.set_aside(pe, value % 2 == 0));
                model.set_aside(pe, value % 2 == 0);
            }
            _ => {
                let wanted = |pe: PeId| !(value.is_multiple_of(4) && pe.0.is_multiple_of(5));
                let chosen = space.pool_mut(&handle()).map(|pool| pool.select(count, &mut random, wanted));
                prop_assert_eq!(chosen.unwrap_or_default(), model.select(count, wanted));
            }
        }
    }
    Ok(())
}

fn steps() -> impl Strategy<Value = Vec<(u8, u16, u32)>> {
    proptest::collection::vec((0..12_u8, 0..1_800_u16, any::<u32>()), 0..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn degraded_elements_are_chosen_as_a_plain_list_would(
        steps in steps(),
        first in 0..900_u32,
        loads in prop::sample::select(vec![1, 5, 3_000, u32::MAX]),
        degradations in prop::sample::select(vec![vec![0], vec![7], vec![0, 1, 40, 1_000], vec![1 << 20, 1 << 31]]),
    ) {
        follow(steps, first, loads, &degradations)?;
    }
}
