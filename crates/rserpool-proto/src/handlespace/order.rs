//! Elements in the order in which they are chosen.
//!
//! Whoever was chosen goes behind others of about the same place: such positions are appended to one of a few sorted
//! runs, where that fits, and leave it at its front. All others are in a tree, and its first ones in a buffer before
//! it, so that choosing touches the tree once for many elements.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;

use crate::PeId;

/// Sorted runs, at most. A policy needs one for each distance by which it moves those chosen: Weighted Round Robin with
/// weights up to 10 has six.
const RUNS: usize = 8;
/// The buffer is filled up to so many positions when it has fewer than `LOW`, and halved when it has more than `HIGH`.
const FILLED: usize = 64;
const LOW: usize = 16;
const HIGH: usize = 128;

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
    /// Before everything in the tree, sorted, and empty only if the tree is.
    near: VecDeque<Position>,
    tree: BTreeSet<Position>,
}

/// The next position of a run, or of what is not in a run.
#[derive(Clone, Copy)]
struct Cursor {
    key: u128,
    /// `RUNS` for the buffer and the tree.
    run: usize,
    index: usize,
}

/// How many positions of each run, and of what is in no run, those that are gone included.
#[derive(Debug, Default)]
pub(super) struct Shown([usize; RUNS + 1]);

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
        match self.near.back() {
            Some(last) if position < *last => {
                let index = self.near.partition_point(|other| *other < position);
                self.near.insert(index, position);
                if self.near.len() > HIGH {
                    self.tree.extend(self.near.drain(FILLED..));
                }
            }
            _ if self.tree.is_empty() && self.near.len() < FILLED => self.near.push_back(position),
            _ => {
                self.tree.insert(position);
            }
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
            return self.refill();
        }
        for run in &mut self.runs {
            if let Some(index) = run.find(position, false) {
                run.queue[index].slot = GONE;
                run.gone += 1;
                return run.tidy();
            }
        }
        self.tree.remove(position);
    }

    fn refill(&mut self) {
        if self.near.len() < LOW && !self.tree.is_empty() {
            let more = std::iter::from_fn(|| self.tree.pop_first());
            self.near.extend(more.take(FILLED - LOW));
        }
    }

    pub(super) fn first(&self) -> Option<&Position> {
        let heads = self.runs.iter().filter_map(|run| run.queue.front());
        heads.chain(self.near.front()).min()
    }

    /// Whether no other position has the head's rank.
    pub(super) fn head_is_alone(&self) -> bool {
        let Some(head) = self.first() else { return false };
        let equal = |position: &&Position| position.rank == head.rank;
        let in_run = |run: &Run| {
            let live = run.queue.iter().filter(|position| position.slot != GONE);
            live.take(2).filter(equal).count()
        };
        let in_runs: usize = self.runs.iter().map(in_run).sum();
        in_runs + self.near.iter().take(2).filter(equal).count() == 1
    }

    /// Shows the positions in order, until it is told to stop. Returns which it has shown.
    pub(super) fn visit(&self, mut visit: impl FnMut(&Position) -> ControlFlow<()>) -> Shown {
        let mut cursors = [Cursor { key: u128::MAX, run: RUNS, index: 0 }; RUNS + 1];
        let (mut count, mut shown) = (0, Shown::default());
        for run in (0..self.runs.len()).chain([RUNS]) {
            if let Some(first) = self.rest(run, 0).first() {
                cursors[count] = Cursor { key: first.key(), run, index: 0 };
                count += 1;
            }
        }
        let mut beyond = None;
        while count > 0 {
            let (mut least, mut limit) = (0, u128::MAX);
            for (nth, cursor) in cursors.iter().enumerate().take(count).skip(1) {
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
                for position in rest {
                    if position.slot != GONE {
                        if position.key() > limit {
                            break;
                        }
                        shown.0[run] = index + 1;
                        if visit(position).is_break() {
                            return shown;
                        }
                    }
                    index += 1;
                }
                match self.rest(run, index).first() {
                    Some(next) if next.slot == GONE || next.key() <= limit => {}
                    Some(next) => break Some(next.key()),
                    None if run < RUNS => break None,
                    None => {
                        let beyond = beyond.get_or_insert_with(|| self.tree.iter().peekable());
                        while let Some(position) = beyond.next_if(|position| position.key() <= limit) {
                            index += 1;
                            shown.0[run] = index;
                            if visit(position).is_break() {
                                return shown;
                            }
                        }
                        break beyond.peek().map(|position| position.key());
                    }
                }
            };
            match next {
                Some(key) => cursors[least] = Cursor { key, run, index },
                None => {
                    count -= 1;
                    cursors[least] = cursors[count];
                }
            }
        }
        shown
    }

    /// Removes what [`Order::visit`] has shown, which is cheaper than one by one.
    pub(super) fn remove_shown(&mut self, shown: &Shown) {
        for (run, &count) in self.runs.iter_mut().zip(&shown.0) {
            let Some(before_last) = count.checked_sub(1) else { continue };
            if run.gone > 0 {
                run.gone -=
                    run.queue.iter().take(before_last).filter(|position| position.slot == GONE).count();
            }
            run.queue.drain(..count);
            run.tidy();
        }
        let others = shown.0[RUNS];
        if others > 0 {
            let near = others.min(self.near.len());
            self.near.drain(..near);
            for _ in near..others {
                self.tree.pop_first();
            }
            self.refill();
        }
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
