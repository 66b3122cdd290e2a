//! Ranges of numbers per series: which records something holds.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::identity::{Identity, Series};
use crate::ranges::RangeSet;

/// A set of identities, held as ranges of numbers per series.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Holdings {
    series: BTreeMap<Series, RangeSet>,
}

impl Holdings {
    /// Returns the empty set.
    pub const fn new() -> Self {
        Self { series: BTreeMap::new() }
    }

    /// Adds one record; returns whether it was new.
    pub fn insert(&mut self, identity: Identity) -> bool {
        self.series.entry(identity.series()).or_default().insert(identity.number)
    }

    /// Adds a range of numbers.
    pub fn insert_range(&mut self, series: Series, range: Range<u64>) {
        if !range.is_empty() {
            self.series.entry(series).or_default().insert_range(range);
        }
    }

    /// Tells whether the record is in the set.
    pub fn contains(&self, identity: Identity) -> bool {
        self.ranges(identity.series()).is_some_and(|ranges| ranges.contains(identity.number))
    }

    /// Adds everything `other` holds.
    pub fn union(&mut self, other: &Self) {
        for (series, ranges) in other.iter() {
            self.series.entry(series).or_default().union(ranges);
        }
    }

    /// Returns the numbers held of one series; `None` when nothing was ever added to it.
    pub fn ranges(&self, series: Series) -> Option<&RangeSet> {
        self.series.get(&series)
    }

    /// Returns every series with its numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Series, &RangeSet)> {
        self.series.iter().map(|(&series, ranges)| (series, ranges))
    }

    /// Returns how many records the set has.
    pub fn count(&self) -> u64 {
        self.series.values().map(RangeSet::count).sum()
    }

    /// Returns how many ranges the set takes: what its memory grows with.
    pub fn range_count(&self) -> usize {
        self.series.values().map(RangeSet::range_count).sum()
    }
}
