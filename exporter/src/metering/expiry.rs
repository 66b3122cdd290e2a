//! When to look at which flow: a timer wheel that is lazy.
//!
//! A packet does not touch the wheel: it only moves its flow's deadline further away, and the flow is put into
//! a later slot when the wheel comes to it. So expiry costs per flow and time-out, not per packet.

/// Slots of the wheel.
const SLOTS: usize = 256;
/// Ticks until a slot comes again.
const ROUND: u64 = SLOTS as u64;
const NONE: u32 = u32::MAX;

/// Flows, by their index in the table, in the order of their deadlines rounded up to a tick.
///
/// A flow with deadline `d` is over at any time later than `d`; its slot comes at tick `d / tick length + 1`, when that is certain.
pub(super) struct Wheel {
    heads: [u32; SLOTS],
    links: Vec<Links>,
    /// Nanoseconds of a tick.
    length: u64,
    /// The first tick whose slot was not emptied.
    tick: u64,
    /// When that tick is reached.
    due: u64,
    /// No slot that comes before this tick has flows.
    soonest: u64,
}

#[derive(Clone, Copy)]
struct Links {
    next: u32,
    previous: u32,
    slot: u32,
}

impl Wheel {
    /// Returns a wheel for deadlines at most `horizon` nanoseconds away.
    pub(super) fn new(horizon: u64) -> Self {
        // Not below a microsecond, so that the number of a tick stays far from overflow.
        let length = (horizon / (ROUND - 2) + 1).max(1_000);
        Self { heads: [NONE; SLOTS], links: Vec::new(), length, tick: 0, due: 0, soonest: 0 }
    }

    /// Tells whether any slot is to be looked at.
    #[inline]
    pub(super) const fn is_due(&self, now: u64) -> bool {
        now >= self.due
    }

    /// Adds a flow that is not in the wheel.
    pub(super) fn insert(&mut self, flow: u32, deadline: u64) {
        let tick = self.tick_of(deadline);
        self.soonest = self.soonest.min(tick);
        let slot = slot(tick);
        let head = self.heads[slot];
        #[expect(clippy::cast_possible_truncation, reason = "below SLOTS")]
        let links = Links { next: head, previous: NONE, slot: slot as u32 };
        let at = flow as usize;
        if at == self.links.len() {
            self.links.push(links);
        } else {
            self.links[at] = links;
        }
        if head != NONE {
            self.links[head as usize].previous = flow;
        }
        self.heads[slot] = flow;
    }

    /// Takes out a flow that is in the wheel.
    pub(super) fn remove(&mut self, flow: u32) {
        let Links { next, previous, slot } = self.links[flow as usize];
        if previous == NONE {
            self.heads[slot as usize] = next;
        } else {
            self.links[previous as usize].next = next;
        }
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
    }

    /// Takes out a flow whose slot has come. It may turn out not to be over; then it has to be inserted again.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<u32> {
        let current = now / self.length;
        // After one round every slot was seen.
        self.set_tick(self.tick.max(current.saturating_sub(ROUND)));
        while self.tick <= current {
            let head = self.heads[slot(self.tick)];
            if head != NONE {
                self.remove(head);
                return Some(head);
            }
            self.set_tick(self.tick + 1);
        }
        None
    }

    /// Takes out the flow whose slot comes next, with the tick at which it comes.
    pub(super) fn pop_next(&mut self) -> Option<(u32, u64)> {
        let tick = self.ticks().find(|&tick| self.heads[slot(tick)] != NONE)?;
        self.soonest = tick;
        let head = self.heads[slot(tick)];
        self.remove(head);
        Some((head, tick))
    }

    /// Returns the flows whose slots come next, in the order in which [`pop_next`](Self::pop_next) takes them out.
    pub(super) fn next(&self) -> impl Iterator<Item = u32> {
        let some = |flow: u32| (flow != NONE).then_some(flow);
        self.ticks().flat_map(move |tick| {
            std::iter::successors(some(self.heads[slot(tick)]), move |&flow| {
                some(self.links[flow as usize].next)
            })
        })
    }

    /// Returns the ticks of a round that may have flows.
    fn ticks(&self) -> std::ops::Range<u64> {
        self.tick.max(self.soonest)..self.tick + ROUND
    }

    /// Returns the tick at which a flow with `deadline` is looked at, within one round.
    pub(super) fn tick_of(&self, deadline: u64) -> u64 {
        (deadline / self.length + 1).clamp(self.tick, self.tick + ROUND - 1)
    }

    /// Goes on from another time, for instance an earlier one. Flows are in wrong slots then, but none
    /// ends early, and after one round all are right again.
    pub(super) fn rewind(&mut self, now: u64) {
        self.set_tick(now / self.length + 1);
        self.soonest = self.tick;
    }

    fn set_tick(&mut self, tick: u64) {
        self.tick = tick;
        self.due = tick.saturating_mul(self.length);
    }
}

const fn slot(tick: u64) -> usize {
    (tick % ROUND) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut due: Vec<u32> = std::iter::from_fn(|| wheel.pop_due(now)).collect();
        due.sort_unstable();
        due
    }

    #[test]
    fn a_flow_comes_after_its_deadline_and_within_one_tick() {
        let mut wheel = Wheel::new(254_000);
        assert_eq!(drain(&mut wheel, 1_000_000), [] as [u32; 0]);
        wheel.insert(0, 1_000_000 + 5_000);
        wheel.insert(1, 1_000_000 + 254_000);
        let tick = wheel.length;
        assert_eq!(drain(&mut wheel, 1_005_000), [] as [u32; 0]);
        assert_eq!(drain(&mut wheel, 1_005_001 + tick), [0]);
        assert_eq!(drain(&mut wheel, 1_254_000), [] as [u32; 0]);
        assert_eq!(drain(&mut wheel, 1_254_001 + tick), [1]);
    }

    #[test]
    fn a_flow_taken_out_does_not_come() {
        let mut wheel = Wheel::new(1_000);
        for flow in 0..3 {
            wheel.insert(flow, 500);
        }
        wheel.remove(1);
        assert_eq!(drain(&mut wheel, 2_000), [0, 2]);
    }

    #[test]
    fn what_comes_next_is_what_is_taken_out_next() {
        let mut wheel = Wheel::new(254_000);
        for (flow, deadline) in (0..).zip([90_000, 30_000, 200_000, 30_000, 5_000]) {
            wheel.insert(flow, deadline);
        }
        let mut taken = Vec::new();
        for round in 0..4 {
            let next: Vec<u32> = wheel.next().collect();
            assert_eq!(next.len(), 5 - round + usize::from(round > 2));
            let (flow, _) = wheel.pop_next().unwrap();
            assert_eq!(flow, next[0]);
            taken.push(flow);
            if round == 2 {
                // Before those that were passed over.
                wheel.insert(5, 1_000);
            }
        }
        assert_eq!(taken, [4, 3, 1, 5]);
    }

    #[test]
    fn a_jump_over_many_rounds_sees_every_slot() {
        let mut wheel = Wheel::new(1_000);
        for flow in 0..100 {
            wheel.insert(flow, u64::from(flow) * 10);
        }
        assert_eq!(drain(&mut wheel, u64::MAX).len(), 100);
    }

    #[test]
    fn after_a_rewind_every_flow_comes_within_one_round() {
        let mut wheel = Wheel::new(1_000);
        assert_eq!(drain(&mut wheel, 1_000_000), [] as [u32; 0]);
        wheel.insert(0, 1_000_500);
        wheel.rewind(10_000);
        let round = ROUND * wheel.length;
        assert_eq!(drain(&mut wheel, 10_000 + round), [0]);
    }
}
