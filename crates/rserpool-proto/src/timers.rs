//! Deadlines by name, in order of time; equal deadlines fire in order of name, so that runs repeat.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    due: BTreeSet<(Instant, K)>,
    by_name: BTreeMap<K, Instant>,
}

impl<K: Ord + Clone> Timers<K> {
    pub(crate) fn new() -> Timers<K> {
        Timers { due: BTreeSet::new(), by_name: BTreeMap::new() }
    }

    /// Starts or restarts the timer.
    pub(crate) fn set(&mut self, name: K, at: Instant) {
        if let Some(before) = self.by_name.insert(name.clone(), at) {
            self.due.remove(&(before, name.clone()));
        }
        self.due.insert((at, name));
    }

    pub(crate) fn stop(&mut self, name: &K) {
        if let Some(at) = self.by_name.remove(name) {
            self.due.remove(&(at, name.clone()));
        }
    }

    pub(crate) fn deadline(&self, name: &K) -> Option<Instant> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Removes and returns the first timer that is due at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, name) = self.due.pop_first()?;
        self.by_name.remove(&name);
        Some(name)
    }

    /// Moves every deadline by `delay` into the future.
    pub(crate) fn delay_all(&mut self, delay: Duration) {
        self.due = std::mem::take(&mut self.due).into_iter().map(|(at, name)| (at + delay, name)).collect();
        self.by_name.values_mut().for_each(|at| *at += delay);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
mod tests {
    use super::*;

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
}
