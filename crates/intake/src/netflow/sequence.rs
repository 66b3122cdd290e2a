//! Sequence numbers of version 9, which count datagrams (RFC 3954 section 5.1), and what they show missing.
//!
//! The rules are those of IPFIX here: the first datagram only sets the position; a jump is believed when a second
//! datagram continues it, forward as a loss, back as a restart; what fills a gap is late. Some exporters count flows, as in
//! version 5: where numbers step by the records of a datagram and not by one, nothing is concluded from them.

/// How far behind a jump the next datagram may be to confirm it.
const CONFIRMATION_WINDOW: u32 = 1 << 10;
/// Gaps remembered for late datagrams.
const MAX_GAPS: usize = 8;
/// Steps by records, none by one between them, after which they are what an exporter counts.
const CONVINCING: u8 = 2;

/// Where an exporter's numbers stand.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    next: Option<u32>,
    /// A number that was not the next one, until another confirms it.
    jump: Option<u32>,
    /// First number missing, and the first one that is not.
    gaps: Vec<(u32, u32)>,
    /// Number and records of the last datagram.
    last: Option<(u32, u32)>,
    contrary: u8,
}

/// What a number shows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Shown {
    pub(super) lost: u32,
    pub(super) late: u32,
}

impl Datagrams {
    /// Follows a datagram with `records` records, as its header says.
    pub(super) fn follow(&mut self, number: u32, records: u32) -> Shown {
        if let Some((last, before)) = self.last.replace((number, records)) {
            let step = number.wrapping_sub(last);
            if step == 1 {
                self.contrary = 0;
            } else if step > 1 && (step == before || step == records) {
                self.contrary = self.contrary.saturating_add(1);
            }
        }
        if self.contrary >= CONVINCING {
            (self.next, self.jump) = (None, None);
            self.gaps.clear();
            return Shown::default();
        }
        self.advance(number)
    }

    fn advance(&mut self, number: u32) -> Shown {
        let Some(next) = self.next else {
            self.next = Some(number.wrapping_add(1));
            return Shown::default();
        };
        if number == next {
            let after = number.wrapping_add(1);
            // What looked like a jump came only early.
            let early = self.jump.take().is_some_and(|jump| jump == after);
            self.next = Some(after.wrapping_add(u32::from(early)));
            return Shown::default();
        }
        if self.fill_gap(number) {
            return Shown { lost: 0, late: 1 };
        }
        let confirmed = self.jump.filter(|jump| {
            let behind = number.wrapping_sub(*jump);
            behind > 0 && behind < CONFIRMATION_WINDOW
        });
        let Some(jump) = confirmed else {
            self.jump = Some(number);
            return Shown::default();
        };
        let distance = jump.wrapping_sub(next);
        let lost = if distance < 1 << 31 { distance } else { 0 };
        if lost > 0 {
            self.remember((next, jump));
        } else {
            self.gaps.clear();
        }
        let after = jump.wrapping_add(1);
        self.jump = (number != after).then_some(number);
        self.next = Some(if number == after { number.wrapping_add(1) } else { after });
        Shown { lost, late: 0 }
    }

    /// Takes `number` out of the gap it lies in. Returns whether it lies in one.
    fn fill_gap(&mut self, number: u32) -> bool {
        let lies_in = |&(start, end): &(u32, u32)| number.wrapping_sub(start) < end.wrapping_sub(start);
        let Some(at) = self.gaps.iter().position(lies_in) else { return false };
        let (start, end) = self.gaps.swap_remove(at);
        self.remember((start, number));
        self.remember((number.wrapping_add(1), end));
        true
    }

    fn remember(&mut self, gap: (u32, u32)) {
        if gap.0 != gap.1 {
            if self.gaps.len() >= MAX_GAPS {
                self.gaps.remove(0);
            }
            self.gaps.push(gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds numbers of datagrams of two records each, and returns the sums of what was lost and late.
    fn follow(numbers: impl IntoIterator<Item = u32>) -> (u32, u32) {
        let mut datagrams = Datagrams::default();
        let shown = numbers.into_iter().map(|number| datagrams.follow(number, 30));
        shown.fold((0, 0), |sums, shown| (sums.0 + shown.lost, sums.1 + shown.late))
    }

    #[test]
    fn what_is_missing_is_told_once_a_second_datagram_continues() {
        assert_eq!(follow(0..100), (0, 0));
        assert_eq!(follow((0..10).chain(13..20)), (3, 0));
        assert_eq!(follow((0..10).chain([13])), (0, 0));
        assert_eq!(follow((0..100).step_by(2).chain(99..103)), (49, 0));
    }

    #[test]
    fn reordering_repeats_restarts_and_the_wrap_are_no_loss() {
        assert_eq!(follow([0, 2, 1, 3, 5, 4, 6]), (0, 0));
        assert_eq!(follow([0, 1, 1, 2, 2, 3]), (0, 0));
        assert_eq!(follow((90_000..90_010).chain(0..10)), (0, 0));
        assert_eq!(follow([u32::MAX - 1, u32::MAX, 0, 1, 2]), (0, 0));
        assert_eq!(follow([u32::MAX - 1, 1, 2, 3]), (2, 0));
    }

    #[test]
    fn what_comes_late_is_told() {
        assert_eq!(follow([0, 1, 4, 5, 2, 3, 6]), (2, 2));
    }

    #[test]
    fn one_number_out_of_nowhere_is_not_believed() {
        assert_eq!(follow([0, 1, 9_000_000, 2, 3]), (0, 0));
    }

    #[test]
    fn an_exporter_that_counts_flows_seems_to_lose_no_more_than_its_first() {
        assert_eq!(follow((0..3_000).step_by(30)), (0, 0));
    }
}
