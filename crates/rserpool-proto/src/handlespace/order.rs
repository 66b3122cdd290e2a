//! Elements in the order in which they are chosen.
//!
//! Whoever was chosen goes behind others of about the same place: such positions are appended to one of a few sorted
//! runs, where that fits, and leave it at its front. All others are in a heap, and the first of them in a buffer before
//! it, as far as anybody looked, so that choosing touches the heap once for many elements.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::PeId;
use heap::Heap;

mod heap;

/// Sorted runs, at most. A policy needs one for each distance by which it moves those chosen: Weighted Round Robin with
/// weights up to 10 has six.
const RUNS: usize = 8;
/// The buffer is filled up to so many positions when it has fewer than `LOW`; when it has more than `HIGH`, and one
/// joins or leaves, all but so many go back.
const FILLED: usize = 64;
const LOW: usize = 16;
const HIGH: usize = 256;

/// One element in order. With the identifier at hand, walking along the order touches nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) rank: u64,
    pub(super) turn: u64,
    pub(super) slot: u32,
    pub(super) pe: PeId,
}

/// The slot of a position that was taken out of the middle of a run.
const GONE: u32 = u32::MAX;

impl Position {
    /// No two elements of a pool have the same turn.
    fn key(&self) -> u128 {
        u128::from(self.rank) << 64 | u128::from(self.turn)
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Position) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Position) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Position) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Position {}

/// Positions that were appended in order.
#[derive(Debug, Default)]
struct Run {
    /// Its ends are never gone.
    queue: VecDeque<Position>,
    gone: usize,
}

impl Run {
    /// Where a position is, or was and is gone. What is gone here may have come back elsewhere.
    fn find(&self, position: &Position, gone: bool) -> Option<usize> {
        let covers = self.queue.front()? <= position && position <= self.queue.back()?;
        let index = if covers { self.queue.binary_search(position).ok()? } else { return None };
        Some(index).filter(|&index| (self.queue[index].slot == GONE) == gone)
    }

    fn pop(&mut self) {
        self.queue.pop_front();
        self.tidy();
    }

    /// Takes gone positions off the ends, and all when most are gone.
    fn tidy(&mut self) {
        if self.gone == 0 {
            return;
        }
        while self.queue.front().is_some_and(|first| first.slot == GONE) {
            self.queue.pop_front();
            self.gone -= 1;
        }
        while self.queue.back().is_some_and(|last| last.slot == GONE) {
            self.queue.pop_back();
            self.gone -= 1;
        }
        if self.gone > self.queue.len() / 2 {
            self.queue.retain(|position| position.slot != GONE);
            self.gone = 0;
        }
    }
}

/// Positions in order; the first is the head.
#[derive(Debug, Default)]
pub(super) struct Order {
    runs: Vec<Run>,
    /// Before everything that is far, sorted, and with fewer than `LOW` only if nothing is.
    near: VecDeque<Position>,
    far: Heap,
    /// How many of each run, and of the buffer, [`Order::pick`] has passed last, those that are gone included.
    passed: [usize; RUNS + 1],
}

/// The next position of a run, or of what is not in a run.
#[derive(Clone, Copy)]
struct Cursor {
    key: u128,
    /// `RUNS` for the buffer.
    run: usize,
    index: usize,
}

impl Order {
    /// Adds a position anywhere.
    pub(super) fn insert(&mut self, position: Position) {
        let equals = |run: &Run| {
            run.queue.back().is_some_and(|last| last.rank == position.rank && last.turn < position.turn)
        };
        if let Some(run) = self.runs.iter_mut().find(|run| equals(run)) {
            return run.queue.push_back(position);
        }
        for run in self.runs.iter_mut().filter(|run| run.gone > 0) {
            if let Some(index) = run.find(&position, true) {
                // It was there before, and comes back with its turn.
                run.queue[index] = position;
                run.gone -= 1;
                return;
            }
        }
        if self.is_empty() {
            self.append(position, None);
            return;
        }
        self.insert_sorted(position);
    }

    /// Adds the position of an element that was chosen: to this run if it ends before the position, or to the one that
    /// ends last before it. Returns the run.
    pub(super) fn append(&mut self, position: Position, run: Option<usize>) -> Option<usize> {
        if let Some(known) = run
            && let Some(run) = self.runs.get_mut(known)
            && run.queue.back().is_some_and(|last| *last < position)
        {
            run.queue.push_back(position);
            return Some(known);
        }
        let mut best: Option<(usize, u128)> = None;
        let key = position.key();
        for (nth, run) in self.runs.iter().enumerate() {
            let last = run.queue.back().map_or(0, Position::key);
            if (last < key || run.queue.is_empty()) && best.is_none_or(|(_, best)| best < last) {
                best = Some((nth, last));
            }
        }
        let Some(nth) = best.map(|(nth, _)| nth).or((self.runs.len() < RUNS).then_some(self.runs.len()))
        else {
            self.insert_sorted(position);
            return None;
        };
        if nth == self.runs.len() {
            self.runs.push(Run::default());
        }
        self.runs[nth].queue.push_back(position);
        Some(nth)
    }

    fn is_empty(&self) -> bool {
        self.near.is_empty() && self.runs.iter().all(|run| run.queue.is_empty())
    }

    fn insert_sorted(&mut self, position: Position) {
        self.spill();
        match self.near.back() {
            Some(last) if position < *last => {
                let index = self.near.partition_point(|other| *other < position);
                self.near.insert(index, position);
            }
            _ if self.far.is_empty() && self.near.len() < FILLED => self.near.push_back(position),
            _ => self.far.push(position),
        }
    }

    pub(super) fn remove(&mut self, position: &Position) {
        // Whose turn is over is at the head.
        if let Some(run) = self.runs.iter_mut().find(|run| run.queue.front() == Some(position)) {
            return run.pop();
        }
        if self.near.back().is_some_and(|last| position <= last)
            && let Ok(index) = self.near.binary_search(position)
        {
            self.near.remove(index);
            self.spill();
            return self.refill();
        }
        if self.far.remove(position.slot) {
            return;
        }
        for run in &mut self.runs {
            if let Some(index) = run.find(position, false) {
                run.queue[index].slot = GONE;
                run.gone += 1;
                return run.tidy();
            }
        }
    }

    /// Keeps the buffer short, which walks may have made long.
    fn spill(&mut self) {
        if self.near.len() > HIGH {
            self.near.drain(FILLED..).for_each(|position| self.far.push(position));
        }
    }

    fn refill(&mut self) {
        if self.near.len() < LOW {
            self.bring_near();
        }
    }

    /// Returns whether there were more.
    fn bring_near(&mut self) -> bool {
        let more = std::iter::from_fn(|| self.far.pop());
        let before = self.near.len();
        self.near.extend(more.take(FILLED - LOW));
        self.near.len() > before
    }

    pub(super) fn first(&self) -> Option<&Position> {
        let heads = self.runs.iter().filter_map(|run| run.queue.front());
        heads.chain(self.near.front()).min()
    }

    /// Whether no other position has the head's rank.
    pub(super) fn head_is_alone(&self) -> bool {
        let Some(head) = self.first() else { return false };
        let equals = |queue: &VecDeque<Position>| {
            if queue.front().is_none_or(|first| first.rank != head.rank) {
                return 0;
            }
            let second = (1..queue.len()).map(|nth| &queue[nth]).find(|position| position.slot != GONE);
            1 + usize::from(second.is_some_and(|second| second.rank == head.rank))
        };
        let in_runs: usize = self.runs.iter().map(|run| equals(&run.queue)).sum();
        in_runs + equals(&self.near) == 1
    }

    /// Appends the first `count` positions that are wanted. Returns whether these are the very first.
    pub(super) fn pick(
        &mut self,
        count: usize,
        mut wanted: impl FnMut(PeId) -> bool,
        picked: &mut Vec<Position>,
    ) -> bool {
        let mut cursors = [Cursor { key: u128::MAX, run: RUNS, index: 0 }; RUNS + 1];
        let (mut sources, mut passed_over) = (0, false);
        self.passed = [0; RUNS + 1];
        for run in (0..self.runs.len()).chain([RUNS]) {
            if let Some(first) = self.rest(run, 0).first() {
                cursors[sources] = Cursor { key: first.key(), run, index: 0 };
                sources += 1;
            }
        }
        while sources > 0 && picked.len() < count {
            let (mut least, mut limit) = (0, u128::MAX);
            for (nth, cursor) in cursors.iter().enumerate().take(sources).skip(1) {
                if cursor.key < cursors[least].key {
                    limit = cursors[least].key;
                    least = nth;
                } else {
                    limit = limit.min(cursor.key);
                }
            }
            // Up to where another one comes first.
            let Cursor { run, mut index, .. } = cursors[least];
            let next = loop {
                let rest = self.rest(run, index);
                let some = &rest[..rest.len().min(count - picked.len())];
                let within = match some.last() {
                    Some(last) if last.key() > limit => {
                        some.iter().take_while(|next| next.key() <= limit).count()
                    }
                    _ => some.len(),
                };
                let leave = |position: &Position| position.slot == GONE || !wanted(position.pe);
                let gap = some[..within].iter().position(leave);
                picked.extend_from_slice(&some[..gap.unwrap_or(within)]);
                passed_over |= gap.is_some_and(|gap| some[gap].slot != GONE);
                index += gap.map_or(within, |gap| gap + 1);
                match self.rest(run, index).first().map(Position::key) {
                    Some(next) if next > limit || picked.len() == count => break Some(next),
                    Some(_) => {}
                    None if run == RUNS && picked.len() < count && self.bring_near() => {}
                    None => break None,
                }
            };
            self.passed[run] = index;
            match next {
                Some(key) => cursors[least] = Cursor { key, run, index },
                None => {
                    sources -= 1;
                    cursors[least] = cursors[sources];
                }
            }
        }
        !passed_over
    }

    /// Moves all that [`Order::pick`] has just picked, the very first ones, which is cheaper than one by one.
    pub(super) fn move_picked(&mut self, mut to: &[Position]) {
        self.remove_picked();
        let mut run = None;
        while let Some(&first) = to.first() {
            run = self.append(first, run);
            let mut together = 1;
            if let Some(nth) = run {
                together += to.windows(2).take_while(|two| two[0] < two[1]).count();
                self.runs[nth].queue.extend(&to[1..together]);
            }
            to = &to[together..];
        }
    }

    fn remove_picked(&mut self) {
        for (run, &count) in self.runs.iter_mut().zip(&self.passed) {
            if count > 0 {
                let passed = run.queue.drain(..count);
                if run.gone > 0 {
                    run.gone -= passed.filter(|position| position.slot == GONE).count();
                    run.tidy();
                } else {
                    drop(passed);
                }
            }
        }
        self.near.drain(..self.passed[RUNS]);
        self.refill();
    }

    /// What lies together in memory of a run, or of the buffer, from an index on.
    fn rest(&self, run: usize, index: usize) -> &[Position] {
        let queue = self.runs.get(run).map_or(&self.near, |run| &run.queue);
        let (front, back) = queue.as_slices();
        front
            .get(index..)
            .filter(|rest| !rest.is_empty())
            .or(back.get(index.saturating_sub(front.len())..))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
