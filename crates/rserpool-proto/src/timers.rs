//! Deadlines by name, in order of time; equal deadlines fire in order of name, so that runs repeat.
//!
//! Most deadlines are put off again and again before they come: a keep-alive by each sign of life. Such a change costs
//! one look into a table: the place in the queue stays, and moves only when it comes to the front.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::hashing::Table;

/// Places in the queue beyond twice the running timers before those of stopped ones are cleared away.
const SLACK: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    by_name: Table<K, Timer>,
    /// The first place is that of the timer that fires first, at that time.
    queue: BinaryHeap<Reverse<(Instant, K)>>,
    running: usize,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    /// `None` when stopped.
    deadline: Option<Instant>,
    /// Its place in the queue, not after the deadline. Other places with its name mean nothing.
    place: Instant,
}

impl<K: Ord + Hash + Clone> Timers<K> {
    pub(crate) fn new() -> Timers<K> {
        Timers { by_name: Table::default(), queue: BinaryHeap::new(), running: 0 }
    }

    /// Starts or restarts the timer.
    pub(crate) fn set(&mut self, name: K, at: Instant) {
        let Some(timer) = self.by_name.get_mut(&name) else {
            self.by_name.insert(name.clone(), Timer { deadline: Some(at), place: at });
            self.running += 1;
            return self.enqueue(name, at);
        };
        self.running += usize::from(timer.deadline.is_none());
        timer.deadline = Some(at);
        let place = timer.place;
        if at < place {
            timer.place = at;
            self.enqueue(name, at);
        } else if at > place {
            self.settle_if_first(&name, place);
        }
    }

    pub(crate) fn stop(&mut self, name: &K) {
        let Some(timer) = self.by_name.get_mut(name) else { return };
        if timer.deadline.take().is_some() {
            self.running -= 1;
            let place = timer.place;
            self.settle_if_first(name, place);
        }
    }

    pub(crate) fn deadline(&self, name: &K) -> Option<Instant> {
        self.by_name.get(name)?.deadline
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes and returns the first timer that is due at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, name)) = self.queue.pop()?;
        self.by_name.remove(&name);
        self.running -= 1;
        self.settle();
        Some(name)
    }

    /// Moves every deadline by `delay` into the future.
    pub(crate) fn delay_all(&mut self, delay: Duration) {
        for timer in self.by_name.values_mut() {
            timer.deadline = timer.deadline.map(|deadline| deadline + delay);
        }
        self.clear_away();
    }

    fn enqueue(&mut self, name: K, at: Instant) {
        if self.queue.len() >= 2 * self.running + SLACK {
            // The new one is running, and so it gets its place here.
            return self.clear_away();
        }
        // Behind the first place nothing changes, and this one is right where it becomes the first.
        self.queue.push(Reverse((at, name)));
    }

    /// Gives the running timers their places anew, and forgets the others.
    fn clear_away(&mut self) {
        self.by_name.retain(|_, timer| timer.deadline.is_some());
        self.queue.clear();
        for (name, timer) in &mut self.by_name {
            let Some(deadline) = timer.deadline else { continue };
            timer.place = deadline;
            self.queue.push(Reverse((deadline, name.clone())));
        }
    }

    fn settle_if_first(&mut self, name: &K, place: Instant) {
        if self.queue.peek().is_some_and(|Reverse((at, first))| *at == place && first == name) {
            self.settle();
        }
    }

    /// Makes the first place that of the timer that fires first.
    fn settle(&mut self) {
        while let Some(mut first) = self.queue.peek_mut() {
            let Reverse((at, name)) = &mut *first;
            match self.by_name.get_mut(name).filter(|timer| timer.place == *at) {
                Some(Timer { deadline: Some(deadline), place }) => {
                    if *deadline == *place {
                        return;
                    }
                    *place = *deadline;
                    *at = *deadline;
                }
                Some(Timer { deadline: None, .. }) => {
                    self.by_name.remove(name);
                    PeekMut::pop(first);
                }
                None => {
                    PeekMut::pop(first);
                }
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Random;

    #[test]
    fn timers_fire_in_order_of_time_and_only_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::new();
        timers.set("b", at(2));
        timers.set("a", at(3));
        timers.set("c", at(1));
        timers.set("c", at(9));
        timers.stop(&"a");
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop(at(1)), None);
        assert_eq!(timers.pop(at(5)), Some("b"));
        assert_eq!(timers.pop(at(5)), None);
        timers.delay_all(Duration::from_secs(1));
        assert_eq!(timers.deadline(&"c"), Some(at(10)));
        assert_eq!(timers.pop(at(10)), Some("c"));
        assert_eq!(timers.next(), None);
    }

    /// What timers are: deadlines by name.
    fn first(model: &BTreeMap<u64, Instant>) -> Option<(Instant, u64)> {
        model.iter().map(|(&name, &at)| (at, name)).min()
    }

    #[test]
    fn any_sequence_of_changes_fires_what_is_due_in_order() {
        let (start, mut random) = (Instant::now(), Random::new(1));
        let mut below = |end: u64| random.next_u64() % end;
        let (mut timers, mut model, mut now) = (Timers::new(), BTreeMap::new(), start);
        for step in 0..100_000 {
            let name = below(40);
            // Few different times, so that many are equal.
            let at = now + Duration::from_millis(below(30) * 10);
            match below(20) {
                0..11 => {
                    timers.set(name, at);
                    model.insert(name, at);
                }
                11..16 => {
                    timers.stop(&name);
                    model.remove(&name);
                }
                16 if below(50) == 0 => {
                    let delay = Duration::from_millis(15);
                    timers.delay_all(delay);
                    model.values_mut().for_each(|at| *at += delay);
                }
                _ => {
                    now += Duration::from_millis(below(20));
                    while let Some(name) = timers.pop(now) {
                        assert_eq!(first(&model).map(|(_, name)| name), Some(name), "step {step}");
                        assert!(model.remove(&name).is_some_and(|at| at <= now));
                    }
                    assert!(first(&model).is_none_or(|(at, _)| at > now), "step {step}");
                }
            }
            assert_eq!(timers.next(), first(&model).map(|(at, _)| at), "step {step}");
            assert_eq!(timers.deadline(&name), model.get(&name).copied(), "step {step}");
        }
    }

    #[test]
    fn timers_that_were_stopped_take_no_room_for_long() {
        let start = Instant::now();
        let mut timers = Timers::new();
        let never = start + Duration::from_secs(1 << 30);
        timers.set(u32::MAX, start);
        for name in 0..10_000 {
            timers.set(name, never);
            timers.stop(&name);
            // An earlier place each time.
            timers.set(u32::MAX - 1, never - Duration::from_secs(u64::from(name)));
        }
        assert!(timers.queue.len() <= 2 * timers.running + SLACK + 1, "{}", timers.queue.len());
        assert!(timers.by_name.len() <= 2 * timers.running + SLACK + 1, "{}", timers.by_name.len());
        assert_eq!(timers.pop(start), Some(u32::MAX));
    }
}
