//! A set of numbers, held as half-open ranges.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Range;

/// A set of `u64` numbers below `u64::MAX`, held as disjoint half-open ranges that never touch.
///
/// Memory grows with the number of ranges, not of numbers. Appending to the highest range takes no allocation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RangeSet {
    /// start → end; `start < end`, and each end is below the next start.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Returns the empty set.
    pub const fn new() -> Self {
        Self { ranges: BTreeMap::new() }
    }

    /// Adds one number; returns whether it was new.
    pub fn insert(&mut self, number: u64) -> bool {
        if let Some(mut last) = self.ranges.last_entry()
            && *last.get() == number
        {
            *last.get_mut() = number.saturating_add(1);
            return true;
        }
        if self.contains(number) {
            return false;
        }
        self.insert_range(number..number.saturating_add(1));
        true
    }

    /// Adds a range (nothing when it is empty).
    pub fn insert_range(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // Every range that overlaps or touches the new one is swallowed by it, from the right.
        while let Some((&low, &high)) = self.ranges.range(..=end).next_back() {
            if high < start {
                break;
            }
            start = start.min(low);
            end = end.max(high);
            self.ranges.remove(&low);
        }
        self.ranges.insert(start, end);
    }

    /// Takes a range out.
    pub fn remove_range(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&low, &high)) = self.ranges.range(..range.end).next_back() {
            if high <= range.start {
                break;
            }
            self.ranges.remove(&low);
            if high > range.end {
                self.ranges.insert(range.end, high);
            }
            if low < range.start {
                self.ranges.insert(low, range.start);
                break;
            }
        }
    }

    /// Tells whether the number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, &end)| number < end)
    }

    /// Tells whether every number of the range is in the set (an empty range always is).
    pub fn covers(&self, range: Range<u64>) -> bool {
        range.is_empty()
            || self.ranges.range(..=range.start).next_back().is_some_and(|(_, &end)| range.end <= end)
    }

    /// Adds every number of `other`.
    pub fn union(&mut self, other: &Self) {
        for range in other.iter() {
            self.insert_range(range);
        }
    }

    /// Returns the numbers of `range` that are in the set, as ranges in ascending order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.ranges.range(..=range.start).next_back().map_or(range.start, |(&low, _)| low);
        let limit = range.end.max(first);
        self.ranges
            .range(first..limit)
            .map(move |(&low, &high)| low.max(range.start)..high.min(range.end))
            .filter(|part| !part.is_empty())
    }

    /// Returns the numbers of `range` that are not in the set, as ranges in ascending order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let end = range.end;
        let mut from = range.start;
        self.within(range)
            .chain(std::iter::once(end..end))
            .map(move |held| {
                let gap = from..held.start;
                from = held.end;
                gap
            })
            .filter(|gap| !gap.is_empty())
    }

    /// Returns the ranges in ascending order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.ranges.iter())
    }

    /// Returns how many numbers are in the set.
    pub fn count(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// Returns how many ranges the set takes: what its memory grows with.
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// Tells whether the set has no number.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns one past the highest number, 0 for the empty set.
    pub fn end(&self) -> u64 {
        self.ranges.last_key_value().map_or(0, |(_, &end)| end)
    }
}

/// The ranges of a [`RangeSet`], ascending.
#[derive(Debug)]
pub struct Iter<'a>(btree_map::Iter<'a, u64, u64>);

impl Iterator for Iter<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        self.0.next().map(|(&start, &end)| start..end)
    }
}

impl<'a> IntoIterator for &'a RangeSet {
    type Item = Range<u64>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        ranges.into_iter().for_each(|range| set.insert_range(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        InsertRange(Range<u64>),
        RemoveRange(Range<u64>),
    }

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0_u64..60, 0_u64..12).prop_map(|(start, length)| start..start + length)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u64..72).prop_map(Step::Insert),
            range().prop_map(Step::InsertRange),
            range().prop_map(Step::RemoveRange),
        ]
    }

    fn build(steps: &[Step]) -> (RangeSet, BTreeSet<u64>) {
        let (mut set, mut model) = (RangeSet::new(), BTreeSet::new());
        for step in steps.iter().cloned() {
            match step {
                Step::Insert(number) => assert_eq!(set.insert(number), model.insert(number)),
                Step::InsertRange(range) => {
                    set.insert_range(range.clone());
                    model.extend(range);
                }
                Step::RemoveRange(range) => {
                    set.remove_range(range.clone());
                    model.retain(|number| !range.contains(number));
                }
            }
        }
        (set, model)
    }

    fn numbers(ranges: impl Iterator<Item = Range<u64>>) -> Vec<u64> {
        ranges.flatten().collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(steps in prop::collection::vec(step(), 0..40), window in range()) {
            let (set, model) = build(&steps);
            prop_assert_eq!(numbers(set.iter()), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.count(), model.len() as u64);
            prop_assert_eq!(set.end(), model.last().map_or(0, |last| last + 1));
            prop_assert!((0..80).all(|number| set.contains(number) == model.contains(&number)));
            prop_assert_eq!(set.covers(window.clone()), window.clone().all(|number| model.contains(&number)));
            let (held, missing): (Vec<u64>, Vec<u64>) = window.clone().partition(|number| model.contains(number));
            prop_assert_eq!(numbers(set.within(window.clone())), held);
            prop_assert_eq!(numbers(set.gaps(window)), missing);
        }

        #[test]
        fn ranges_never_touch(steps in prop::collection::vec(step(), 0..40)) {
            let (set, _) = build(&steps);
            let ranges: Vec<_> = set.iter().collect();
            prop_assert!(ranges.iter().all(|range| range.start < range.end));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        }

        #[test]
        fn a_union_is_that_of_sets(
            left in prop::collection::vec(step(), 0..20),
            right in prop::collection::vec(step(), 0..20),
        ) {
            let ((left, left_model), (right, right_model)) = (build(&left), build(&right));
            let mut union = left;
            union.union(&right);
            prop_assert_eq!(numbers(union.iter()), left_model.union(&right_model).copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn numbers_in_order_take_one_range() {
        let mut set = RangeSet::new();
        assert!((0..10_000).all(|number| set.insert(number)));
        assert_eq!(set.range_count(), 1);
        assert!(!set.insert(9_999));
    }
}
