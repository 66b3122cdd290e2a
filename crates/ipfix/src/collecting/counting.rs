//! What an exporter's sequence numbers count. RFC 7011 section 3.1: the Data Records before the message. Some
//! (softflowd 1.1) count the message's own records in and leave options records out; read by the RFC, every
//! change in message size would look like a loss or a restart.

use super::Summary;

/// How many messages must fit the other way of counting alone, none the believed one alone between them,
/// before it is believed.
const CONVINCING: u8 = 2;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Counting {
    /// Data Records before the message.
    #[default]
    Before,
    /// Data Records up to and with the message, options records left out.
    Including,
}

/// Sequence numbers from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) const fn length(self) -> u32 {
        self.end.wrapping_sub(self.start)
    }

    /// Whether all of `part` is in it, and begins in it.
    pub(super) const fn contains(self, part: Self) -> bool {
        let from_start = part.start.wrapping_sub(self.start);
        from_start < self.length() && part.length() <= self.length() - from_start
    }
}

/// The way one exporter counts on one stream and domain.
#[derive(Debug, Default)]
pub(super) struct Habit {
    counting: Counting,
    /// Sequence number and Data Records of the last message, if all its records could be counted.
    last: Option<(u32, u32)>,
    /// Messages that fit the other way of counting alone since the last that fits the believed one alone.
    contrary: u8,
}

impl Habit {
    /// Returns the numbers of a message's records, and whether it convinces that the exporter
    /// counts otherwise than believed before.
    pub(super) fn read(&mut self, summary: &Summary) -> (Span, bool) {
        let sequence = summary.sequence;
        let changed = self.last.is_some_and(|(last, records)| {
            let before = sequence == last.wrapping_add(records);
            let including = sequence == last.wrapping_add(summary.records);
            self.weigh(before, including)
        });
        self.last = (summary.no_template_sets == 0).then_some((sequence, summary.data_records()));
        let span = match self.counting {
            Counting::Before => Span { start: sequence, end: sequence.wrapping_add(summary.data_records()) },
            Counting::Including => Span { start: sequence.wrapping_sub(summary.records), end: sequence },
        };
        (span, changed)
    }

    /// Whether some message lately speaks for the other way of counting.
    pub(super) const fn in_doubt(&self) -> bool {
        self.contrary > 0
    }

    /// Takes in which ways of counting a message fits. Returns whether the other way is believed from now on.
    fn weigh(&mut self, before: bool, including: bool) -> bool {
        let (believed, other) = match self.counting {
            Counting::Before => (before, including),
            Counting::Including => (including, before),
        };
        match (believed, other) {
            (true, false) => self.contrary = 0,
            (false, true) => self.contrary += 1,
            // Messages of one size fit both; after a loss, neither.
            (true, true) | (false, false) => {}
        }
        if self.contrary < CONVINCING {
            return false;
        }
        self.contrary = 0;
        self.counting = match self.counting {
            Counting::Before => Counting::Including,
            Counting::Including => Counting::Before,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds messages as (sequence, records, sets without template) and returns whether any changes the reading.
    fn changes(messages: &[(u32, u32, u32)]) -> bool {
        let mut habit = Habit::default();
        let summary = |&(sequence, records, no_template_sets): &(u32, u32, u32)| Summary {
            sequence,
            records,
            no_template_sets,
            ..Summary::default()
        };
        messages.iter().map(summary).any(|summary| habit.read(&summary).1)
    }

    #[test]
    fn two_messages_that_fit_the_other_way_alone_are_believed() {
        assert!(changes(&[(10, 10, 0), (22, 12, 0), (27, 5, 0)]));
        assert!(changes(&[(10, 10, 0), (22, 12, 0), (34, 12, 0), (39, 5, 0)]));
    }

    #[test]
    fn a_message_that_fits_the_believed_way_alone_ends_the_doubt() {
        assert!(!changes(&[(0, 10, 0), (12, 12, 0), (24, 5, 0), (29, 9, 0), (43, 14, 0), (57, 14, 0)]));
    }

    #[test]
    fn a_message_whose_records_could_not_all_be_counted_says_nothing_about_the_next() {
        assert!(!changes(&[(0, 10, 0), (10, 5, 1), (22, 12, 1), (39, 17, 0)]));
    }
}
