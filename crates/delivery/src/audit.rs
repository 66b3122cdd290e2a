//! Checks what collectors wrote against what an exporter made: nothing missing, repeats counted.

use std::ops::Range;

use crate::holdings::Holdings;
use crate::identity::{Identity, Series};

/// Reads identities, of all outputs of a pool in any order, and tells repeats and gaps. Memory grows with ranges.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    seen: Holdings,
    repeats: u64,
}

impl Audit {
    /// Returns an audit that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one record; returns whether it is the first with its identity (to be kept when files are merged).
    pub fn read(&mut self, identity: Identity) -> bool {
        let is_first = self.seen.insert(identity);
        self.repeats += u64::from(!is_first);
        is_first
    }

    /// Returns how many records were repeats of earlier ones.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Returns the distinct records read.
    pub fn seen(&self) -> &Holdings {
        &self.seen
    }

    /// Returns which numbers of `expected` in a series were not read.
    pub fn missing(&self, series: Series, expected: Range<u64>) -> Vec<Range<u64>> {
        match self.seen.ranges(series) {
            Some(ranges) => ranges.gaps(expected).collect(),
            None if expected.is_empty() => Vec::new(),
            None => vec![expected],
        }
    }

    /// Returns how many records were read that no `expected` range accounts for.
    pub fn unexpected(&self, expected: &[(Series, Range<u64>)]) -> u64 {
        let accounted: u64 = expected
            .iter()
            .filter_map(|(series, range)| Some(self.seen.ranges(*series)?.within(range.clone())))
            .flat_map(|parts| parts.map(|part| part.end - part.start))
            .sum();
        self.seen.count() - accounted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Epoch, Ledger};

    const SERIES: Series = Series { ledger: Ledger([1; 16]), epoch: Epoch(1), domain: 0 };

    #[test]
    fn missing_repeated_and_unexpected_records_are_told() {
        let mut audit = Audit::new();
        for number in [0, 1, 2, 4, 5, 1, 9] {
            audit.read(SERIES.identity(number));
        }
        assert_eq!(audit.repeats(), 1);
        assert_eq!(audit.missing(SERIES, 0..7), [3..4, 6..7]);
        assert_eq!(audit.unexpected(&[(SERIES, 0..7)]), 1);
        let other = Series { epoch: Epoch(2), ..SERIES };
        assert_eq!(audit.missing(other, 0..2), vec![0..2]);
    }
}
