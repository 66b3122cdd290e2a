//! The end: what memory has goes to disk, for the next start.

use std::ops::Range;

use delivery::Retention;
use spool::Position;

use super::Tiers;
use super::page::Page;

impl Tiers {
    /// Puts everything on disk that is in memory alone. To be called at the end; the commands that follow are the last.
    /// Returns the position before which no message is needed.
    ///
    /// Where others have to make room, the first to do so are the copies of what is in memory: then all of memory is put
    /// behind them.
    pub(in crate::failover) fn spill(&mut self, retention: &Retention) -> Position {
        self.ended = true;
        self.evicted(self.evicted, 0);
        if !self.has_room_for(retention)
            && let Some(last) = self.copies.back()
        {
            self.released = last.message + 1;
            self.copies.clear();
        }
        let needed_from = self.needed_from(retention.oldest());
        let copies: Vec<Range<u64>> = self.copies.iter().map(|copy| copy.records.clone()).collect();
        for (position, identity, template, octets) in retention.records() {
            let behind = copies.partition_point(|records| records.end <= position);
            if copies.get(behind).is_none_or(|records| position < records.start)
                && Page::can_hold(octets.len())
            {
                let (series, number) = (identity.series(), identity.number);
                self.write(series, number, Some(position), false, (template, octets));
            }
        }
        self.finish_page();
        Position(needed_from)
    }

    /// Tells whether the disk takes all of memory without others making room; an eighth is left for what surrounds records.
    fn has_room_for(&self, retention: &Retention) -> bool {
        let used = self.counts.octets + self.queued_octets + self.config.capacity / 8;
        used + retention.held_octets() as u64 <= self.config.capacity
    }

    /// Returns the first message with a record that no collector has; `oldest` is the position of the first such record in
    /// memory. What is on disk alone comes behind all copies.
    fn needed_from(&self, oldest: u64) -> u64 {
        let on_disk_alone = self.copies.back().map_or(self.released, |copy| copy.message + 1);
        let rest = if self.counts.waiting > 0 { on_disk_alone } else { self.next };
        self.copies.iter().find(|copy| copy.records.end > oldest).map_or(rest, |copy| copy.message)
    }
}
