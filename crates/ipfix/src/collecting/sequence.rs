//! Sequence numbers per stream and observation domain, and what they show missing (RFC 7011 section 3.1).
//!
//! * The first message only sets the position. Those that it overtook were before it and are no jump back.
//! * A jump, forward or back, is believed when a second message continues it. A forward jump is a loss; a jump
//!   back is a restart of the exporter, unless the message fills a gap found before: then it is late.
//! * After a data set without a template the position is not known; the next message sets it.

use std::collections::BTreeMap;

use super::Summary;
use super::counting::{Habit, Span};

/// How far after a jump's message the next may start and still confirm it: more records than one message holds,
/// so that losing every second message is seen as that. Also how many records the first message may overtake, until as
/// many have come behind it.
const CONFIRMATION_WINDOW: u32 = 1 << 16;

/// Gaps remembered for late messages.
const MAX_GAPS: usize = 8;

#[derive(Debug)]
pub(super) struct Sequences {
    positions: BTreeMap<(u16, u32), Position>,
    max: usize,
}

#[derive(Debug, Default)]
struct Position {
    habit: Habit,
    /// Sequence number the next message should have; `None` if not known.
    next: Option<u32>,
    jump: Option<Span>,
    /// What the first message may have overtaken.
    overtaken: Option<Span>,
    gaps: Vec<Span>,
    /// Records told lost while the way of counting is in doubt: taken back if it turns out another.
    doubtful: u32,
    ignored: bool,
}

impl Sequences {
    pub(super) const fn new(max: usize) -> Self {
        Self { positions: BTreeMap::new(), max }
    }

    pub(super) fn clear(&mut self) {
        self.positions.clear();
    }

    /// Follows this pair no longer.
    pub(super) fn ignore(&mut self, stream: u16, domain: u32) {
        if let Some(position) = self.positions.get_mut(&(stream, domain)) {
            *position = Position { ignored: true, ..Position::default() };
        }
    }

    /// Follows a message whose records `summary` has counted.
    pub(super) fn advance(&mut self, stream: u16, summary: &mut Summary) {
        let key = (stream, summary.domain);
        if self.positions.len() >= self.max && !self.positions.contains_key(&key) {
            summary.sequence_untracked = true;
            return;
        }
        let position = self.positions.entry(key).or_default();
        if position.ignored {
            return;
        }
        let (message, recounted) = position.habit.read(summary);
        if recounted {
            summary.late = std::mem::take(&mut position.doubtful);
            position.next = None;
            position.jump = None;
            position.gaps.clear();
        }
        position.advance(message, summary);
        position.doubtful =
            if position.habit.in_doubt() { position.doubtful.saturating_add(summary.lost) } else { 0 };
        if summary.no_template_sets > 0 {
            position.next = None;
            position.jump = None;
        }
    }

    pub(super) fn settle(&mut self) -> u64 {
        self.positions.values_mut().map(|position| u64::from(position.settle())).sum()
    }
}

impl Position {
    fn advance(&mut self, message: Span, summary: &mut Summary) {
        self.follow(message, summary);
        let next = self.next.unwrap_or(message.end);
        let is_near = |first: &Span| next.wrapping_sub(first.end) < CONFIRMATION_WINDOW;
        self.overtaken = self.overtaken.filter(is_near);
    }

    fn follow(&mut self, message: Span, summary: &mut Summary) {
        let Some(next) = self.next else {
            let start = message.start.wrapping_sub(CONFIRMATION_WINDOW);
            self.overtaken = Some(Span { start, end: message.start });
            self.next = Some(message.end);
            return;
        };
        if message.start == next {
            self.next = Some(message.end);
            // What looked like a jump came only early: it continues here.
            if let Some(early) = self.jump.take().filter(|jump| jump.start == message.end) {
                self.next = Some(early.end);
            }
            return;
        }
        summary.out_of_sequence = true;
        if self.overtaken.is_some_and(|overtaken| overtaken.contains(message)) {
            return;
        }
        if self.fill_gap(message) {
            summary.late = summary.late.saturating_add(message.length());
            return;
        }
        let Some(jump) = self.jump.filter(|jump| message.start.wrapping_sub(jump.end) < CONFIRMATION_WINDOW)
        else {
            self.jump = Some(message);
            return;
        };
        match forward(next, jump.start) {
            Some(lost) => {
                summary.lost = lost;
                self.remember(Span { start: next, end: jump.start });
            }
            None => {
                summary.restarted = true;
                self.overtaken = None;
                self.gaps.clear();
            }
        }
        self.next = Some(if jump.end == message.start { message.end } else { jump.end });
        self.jump = (jump.end != message.start).then_some(message);
    }

    /// Takes `message` out of the gap it lies in. Returns whether it lies in one.
    fn fill_gap(&mut self, message: Span) -> bool {
        let Some(at) = self.gaps.iter().position(|gap| gap.contains(message)) else { return false };
        let gap = self.gaps.swap_remove(at);
        self.remember(Span { start: gap.start, end: message.start });
        self.remember(Span { start: message.end, end: gap.end });
        true
    }

    fn remember(&mut self, gap: Span) {
        if gap.start == gap.end {
            return;
        }
        if self.gaps.len() >= MAX_GAPS {
            self.gaps.remove(0);
        }
        self.gaps.push(gap);
    }

    fn settle(&mut self) -> u32 {
        let (Some(next), Some(jump)) = (self.next, self.jump.take()) else { return 0 };
        self.next = Some(jump.end);
        forward(next, jump.start).unwrap_or(0)
    }
}

/// Returns how far `to` is ahead of `from`, if it is: by less than half of the sequence numbers.
fn forward(from: u32, to: u32) -> Option<u32> {
    let distance = to.wrapping_sub(from);
    (distance < 1 << 31).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

    /// Feeds messages as (sequence, records) and returns each one's (lost, late, restarted).
    fn follow(messages: &[(u32, u32)]) -> Vec<(u32, u32, bool)> {
        let mut sequences = Sequences::new(1);
        let follow = |&(sequence, records): &(u32, u32)| {
            let header = Header { length: 16, export_time: 0, sequence, domain: 1 };
            let mut summary = Summary { records, ..Summary::new(&header) };
            sequences.advance(0, &mut summary);
            (summary.lost, summary.late, summary.restarted)
        };
        messages.iter().map(follow).collect()
    }

    const NOTHING: (u32, u32, bool) = (0, 0, false);

    #[test]
    fn the_first_message_only_sets_the_position() {
        assert_eq!(follow(&[(700, 10), (710, 5), (715, 1)]), [NOTHING; 3]);
    }

    #[test]
    fn a_forward_jump_is_a_loss_once_a_second_message_continues_it() {
        assert_eq!(
            follow(&[(0, 10), (30, 10), (40, 10), (50, 1)]),
            [NOTHING, NOTHING, (20, 0, false), NOTHING]
        );
    }

    #[test]
    fn a_forward_jump_that_nothing_continues_is_no_loss() {
        assert_eq!(follow(&[(0, 10), (9_000_000, 10), (10, 10), (20, 10)]), [NOTHING; 4]);
    }

    #[test]
    fn losing_every_second_message_counts_each_gap_once() {
        let lost = follow(&[(0, 10), (20, 10), (40, 10), (60, 10), (70, 10)]);
        assert_eq!(lost.iter().map(|told| told.0).sum::<u32>(), 30);
    }

    #[test]
    fn two_swapped_messages_are_no_loss() {
        assert_eq!(follow(&[(0, 10), (20, 10), (10, 10), (30, 10)]), [NOTHING; 4]);
    }

    #[test]
    fn a_first_message_that_overtook_others_is_no_loss() {
        assert_eq!(follow(&[(20, 10), (0, 10), (10, 10), (30, 10), (40, 10), (50, 10)]), [NOTHING; 6]);
        // As far as it may overtake them, and around zero.
        let far = follow(&[(CONFIRMATION_WINDOW - 20, 10), (u32::MAX - 19, 10), (u32::MAX - 9, 10), (0, 9)]);
        assert_eq!(far, [NOTHING; 4]);
    }

    #[test]
    fn a_restart_to_where_the_first_message_was_is_told_once_the_exporter_has_gone_on() {
        let sent = (0..8).map(|at| (30_000 + at * 10_000, 10_000));
        let messages: Vec<_> = sent.chain([(0, 10), (10, 10), (20, 10)]).collect();
        assert_eq!(follow(&messages)[8..], [NOTHING, (0, 0, true), NOTHING]);
        // Although every second message gets lost: at last 10,000 records.
        let messages: Vec<_> =
            (0..8).map(|at| (30_000 + at * 20_000, 10_000)).chain([(0, 10), (10, 10)]).collect();
        assert_eq!(follow(&messages)[9], (0, 0, true));
    }

    #[test]
    fn a_message_filling_a_known_gap_is_late() {
        let told = follow(&[(0, 10), (30, 10), (40, 10), (10, 10), (50, 10), (20, 10)]);
        assert_eq!(told[2..], [(20, 0, false), (0, 10, false), NOTHING, (0, 10, false)]);
    }

    #[test]
    fn a_restart_is_no_loss() {
        let told = follow(&[(1_000_000, 10), (0, 10), (10, 10), (20, 10)]);
        assert_eq!(told, [NOTHING, NOTHING, (0, 0, true), NOTHING]);
    }

    #[test]
    fn a_duplicate_message_changes_nothing() {
        assert_eq!(follow(&[(0, 10), (10, 10), (10, 10), (20, 10)]), [NOTHING; 4]);
    }

    #[test]
    fn sequence_numbers_wrap() {
        assert_eq!(follow(&[(u32::MAX - 9, 10), (0, 10), (20, 10), (30, 10)])[3], (10, 0, false));
    }

    #[test]
    fn an_exporter_that_counts_its_own_records_in_seems_to_lose_none() {
        let sizes = [15, 23, 14, 14, 20, 3, 25, 25, 25, 1];
        let mut sent = 0;
        let messages = sizes.map(|records| {
            sent += records;
            (sent, records)
        });
        assert_eq!(follow(&messages), [NOTHING; 10]);
    }

    #[test]
    fn a_loss_of_an_exporter_that_counts_its_own_records_in_is_told() {
        let told = follow(&[(15, 15), (38, 23), (52, 14), (72, 10), (80, 8), (83, 3)]);
        assert_eq!(told, [NOTHING, NOTHING, NOTHING, NOTHING, (10, 0, false), NOTHING]);
    }

    #[test]
    fn a_loss_told_while_the_way_of_counting_was_in_doubt_is_taken_back() {
        let told = follow(&[(10, 10), (22, 12), (34, 12), (46, 12), (49, 3), (59, 10)]);
        let sum = |told: &[(u32, u32, bool)]| {
            told.iter().map(|told| i64::from(told.0) - i64::from(told.1)).sum::<i64>()
        };
        assert_eq!((sum(&told[..4]), sum(&told)), (2, 0), "{told:?}");
    }

    #[test]
    fn one_loss_that_looks_like_another_way_of_counting_is_told() {
        let told = follow(&[(0, 10), (12, 12), (24, 12), (36, 12), (48, 5), (53, 10)]);
        assert_eq!(
            told.iter().map(|told| (told.0, told.1)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
            (2, 0)
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn whatever_numbers_come_nothing_overflows(messages: Vec<(u32, u16)>) {
            let messages: Vec<_> = messages.into_iter().map(|(at, records)| (at, records.into())).collect();
            follow(&messages);
        }

        #[test]
        fn what_is_lost_is_told_exactly(received: Vec<(bool, u8)>) {
            let mut next = 0_u32;
            let mut messages = Vec::new();
            // The first three and the last two arrive, of sizes that leave no doubt how they are counted.
            let frame = [(true, 7), (true, 9), (true, 5)];
            for (arrives, records) in frame.into_iter().chain(received).chain([(true, 8), (true, 6)]) {
                if arrives {
                    messages.push((next, records.into()));
                }
                next += u32::from(records);
            }
            let arrived: u32 = messages.iter().map(|message| message.1).sum();
            let told: i64 = follow(&messages).iter().map(|told| i64::from(told.0) - i64::from(told.1)).sum();
            proptest::prop_assert_eq!(told, i64::from(next - arrived));
        }
    }

    #[test]
    fn settling_tells_a_last_unconfirmed_gap_once() {
        let mut sequences = Sequences::new(4);
        for sequence in [0, 30] {
            let header = Header { length: 16, export_time: 0, sequence, domain: 1 };
            let mut summary = Summary { records: 10, ..Summary::new(&header) };
            sequences.advance(0, &mut summary);
        }
        assert_eq!(sequences.settle(), 20);
        assert_eq!(sequences.settle(), 0);
    }

    #[test]
    fn streams_and_domains_beyond_the_limit_are_not_followed() {
        let mut sequences = Sequences::new(1);
        let untracked = [(0, 1), (0, 2), (1, 1), (0, 1)].map(|(stream, domain)| {
            let header = Header { length: 16, export_time: 0, sequence: 0, domain };
            let mut summary = Summary::new(&header);
            sequences.advance(stream, &mut summary);
            summary.sequence_untracked
        });
        assert_eq!(untracked, [false, true, true, false]);
    }
}
