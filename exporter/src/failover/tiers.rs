//! Class `reliable` in two tiers: memory, and behind it the spool on disk.
//!
//! A record is on the disk before it is sent where `durability` asks for it; otherwise the disk takes what memory has no
//! room for. Records come back in the order of their numbers: as long as some are on disk alone, new ones go there, too. A
//! message on disk holds either copies of what is in memory, released when no collector needs them any more, or records
//! that memory has yet to take.
//!
//! Sans-IO: [`Tiers::poll_command`] says what the spool is to do, [`Tiers::handle_event`] takes what it tells. Where the
//! disk fails, records go through memory alone, as without a spool, until it works again.

mod ending;
mod page;
mod returning;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use delivery::retention::PushError;
use delivery::{ExporterState, Retention, Series};
use ipfix::TemplateRecord;
use spool::Position;

use crate::export::Templates;
use crate::spooling::{self, Command, Event, Returned};

use page::Page;
use returning::Returning;

/// Octets handed to the disk and not synced, at most: what memory takes beside retention. An eighth of a small spool.
const QUEUE: u64 = 8 << 20;

/// When class `reliable` is on the exporter's disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Durability {
    /// When memory is full, and at the end.
    #[default]
    Memory,
    /// Before it is sent.
    Spool,
}

/// The spool as the exporter has opened it.
#[derive(Clone, Copy, Debug)]
pub struct SpoolConfig {
    /// When records go there.
    pub durability: Durability,
    /// Its limit in octets.
    pub capacity: u64,
    /// How long a record waits to be synced at most.
    pub interval: Duration,
    /// Messages that an earlier start has left.
    pub messages: u64,
    /// Flow records in them.
    pub flow_records: u64,
}

/// The spool's books, beside retention's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SpoolCounts {
    /// Flow records that an earlier start had left.
    pub recovered: u64,
    /// Flow records that went to the spool.
    pub spooled: u64,
    /// Flow records that are there and not in memory.
    pub waiting: u64,
    /// Octets of the spool at the last sync.
    pub octets: u64,
    /// Flow records of this start with this number and lower ones are on disk, or delivered.
    pub synced_numbers: u64,
    /// Flow records dropped because the spool was full.
    pub full: u64,
    /// Flow records dropped because they could not be read back.
    pub unreadable: u64,
}

/// A message on disk whose records are in memory, too.
#[derive(Clone, Debug)]
struct Copy {
    message: u64,
    /// Their positions in retention.
    records: Range<u64>,
}

/// A message that is handed over and not synced.
#[derive(Clone, Copy, Debug)]
struct Queued {
    message: u64,
    octets: u64,
    /// Behind the number of its last record.
    end_number: u64,
}

#[derive(Debug)]
pub(super) struct Tiers {
    config: SpoolConfig,
    page: Page,
    /// Since when the page waits.
    waits_since: Option<Instant>,
    commands: VecDeque<Command>,
    /// Position of the page.
    next: u64,
    /// Messages before it are on disk.
    synced: u64,
    /// Those that are handed over and are not, and their octets.
    queue: VecDeque<Queued>,
    queued_octets: u64,
    copies: VecDeque<Copy>,
    /// What [`Retention`] had let go when copies were looked at last.
    let_go: u64,
    /// No message before this position is needed.
    released: u64,
    /// No message before this position is on disk: they made room.
    evicted: u64,
    /// [`Tiers::spill`] was called: nobody takes records back.
    ended: bool,
    /// Behind the last record of class `reliable` that should be on disk before it is sent and is not; a position.
    undurable: u64,
    /// An answer to [`Command::Return`] is on its way.
    asked: bool,
    /// Came back, and has not found room.
    returned: VecDeque<Returned>,
    /// Nothing that is synced has yet to come back.
    drained: bool,
    /// Why the disk does not work, while it does not.
    failing: Option<String>,
    counts: SpoolCounts,
    returning: Returning,
}

impl Tiers {
    pub(super) fn new(config: SpoolConfig, owner: ExporterState, domain: u32, templates: Templates) -> Self {
        let SpoolConfig { messages, flow_records, .. } = config;
        Self {
            config,
            page: Page::default(),
            waits_since: None,
            commands: VecDeque::new(),
            next: messages,
            synced: messages,
            queue: VecDeque::new(),
            queued_octets: 0,
            copies: VecDeque::new(),
            let_go: 0,
            released: 0,
            evicted: 0,
            ended: false,
            undurable: 0,
            asked: false,
            returned: VecDeque::new(),
            drained: messages == 0,
            failing: None,
            counts: SpoolCounts { recovered: flow_records, waiting: flow_records, ..SpoolCounts::default() },
            returning: Returning::new(owner, domain, templates),
        }
    }

    pub(super) const fn counts(&self) -> &SpoolCounts {
        &self.counts
    }

    /// Returns why the disk does not work, while it does not.
    pub(super) fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// Returns the templates of other versions, in the order in which they came up.
    pub(super) fn foreign_templates(&self) -> &[TemplateRecord] {
        self.returning.foreign()
    }

    /// Takes over templates that were learned since, before the first record by one of them.
    pub(super) fn follow_templates(&mut self, templates: &Templates) {
        self.returning.follow_templates(templates);
        if let Some(Command::Templates(_)) = self.commands.back() {
            self.commands.pop_back();
        }
        self.commands.push_back(Command::Templates(spooling::templates(templates)));
    }

    /// Tells whether the disk takes records.
    pub(super) fn is_open(&self) -> bool {
        self.failing.is_none() && self.queued_octets < self.queue_limit()
    }

    fn queue_limit(&self) -> u64 {
        QUEUE.min(self.config.capacity / 8)
    }

    /// Tells whether a batch of records can be taken without loss where memory has no room for it.
    pub(super) fn has_room(&self) -> bool {
        // The queue stands for what is on its way, a batch, and the beginning of a segment.
        self.is_open() && self.counts.octets + 2 * self.queue_limit() < self.config.capacity
    }

    /// Takes a record of this start. `fits`: memory has room for it.
    ///
    /// Fails when neither memory nor disk take it.
    pub(super) fn push(
        &mut self,
        retention: &mut Retention,
        fits: bool,
        domain: u32,
        template: u16,
        record: &[u8],
    ) -> Result<(), PushError> {
        let is_open = self.is_open() && Page::can_hold(record.len());
        let in_memory = fits && (self.counts.waiting == 0 || !is_open);
        let durable = self.config.durability == Durability::Spool;
        let position = retention.end();
        if !is_open || in_memory && !durable {
            retention.push(domain, template, record)?;
            self.undurable = position + 1;
            return Ok(());
        }
        let series = self.returning.series(domain);
        if in_memory {
            let number = retention.push(domain, template, record)?;
            self.write(series, number, Some(position), true, (template, record));
            self.hold(retention);
        } else {
            let number = retention.number_spooled(domain);
            self.counts.waiting += 1;
            self.write(series, number, None, false, (template, record));
        }
        Ok(())
    }

    /// Puts a record on the page; `position` is where retention has it, too. `in_memory`: it need not come back.
    fn write(
        &mut self,
        series: Series,
        number: u64,
        position: Option<u64>,
        in_memory: bool,
        (template, record): (u16, &[u8]),
    ) {
        if !self.page.takes(series, number, in_memory, record.len()) {
            self.finish_page();
        }
        self.page.push(series, number, in_memory, template, record);
        self.counts.spooled += 1;
        let Some(position) = position else { return };
        match self.copies.back_mut().filter(|copy| copy.message == self.next) {
            Some(copy) => copy.records.end = position + 1,
            None => self.copies.push_back(Copy { message: self.next, records: position..position + 1 }),
        }
    }

    fn finish_page(&mut self) {
        self.waits_since = None;
        let end_number = self.page.end_number();
        let Some(message) = self.page.finish() else { return };
        let octets = message.sets.len() as u64;
        self.queue.push_back(Queued { message: self.next, octets, end_number });
        self.queued_octets += octets;
        self.commands.push_back(Command::Append(message));
        self.next += 1;
    }

    /// Lets nothing be sent that is to be on disk before and is not.
    fn hold(&self, retention: &mut Retention) {
        let durable = self.config.durability == Durability::Spool && self.failing.is_none();
        let first = self.copies.partition_point(|copy| copy.message < self.synced);
        let unsynced = self.copies.get(first).filter(|_| durable);
        retention.hold_from(unsynced.map_or(u64::MAX, |copy| copy.records.start));
    }

    /// Returns what the spool is to do next; `export_time` is the wall clock, in seconds since the Unix epoch.
    pub(super) fn poll_command(&mut self, now: Instant, export_time: u32) -> Option<Command> {
        if !self.page.is_empty() {
            let since = *self.waits_since.get_or_insert(now);
            if since + self.config.interval <= now {
                self.finish_page();
            }
        }
        let mut command = self.commands.pop_front()?;
        if let Command::Append(message) = &mut command {
            message.export_time = export_time;
        }
        Some(command)
    }

    /// Returns when to call [`Tiers::poll_command`] again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waits_since.map(|since| since + self.config.interval)
    }

    /// Takes what the spool tells.
    pub(super) fn handle_event(&mut self, retention: &mut Retention, event: Event) {
        match event {
            Event::Synced { until, octets } => {
                self.failing = None;
                self.synced(retention, until.0);
                self.counts.octets = octets;
            }
            Event::Freed { octets } => self.counts.octets = octets,
            Event::Returned { messages, end } => {
                self.asked = false;
                self.drained = end;
                self.returned.extend(messages);
                if end && self.queue.is_empty() && self.page.is_empty() {
                    let here: u64 = self.returned.iter().map(|message| u64::from(message.flow_records)).sum();
                    self.give_up(self.counts.waiting - here);
                }
            }
            Event::Dropped { until, flow_records } => self.evicted(until.0, flow_records),
            Event::Failing { error } => {
                self.failing = Some(error);
                self.hold(retention);
            }
            Event::Unread { .. } => {}
        }
    }

    fn synced(&mut self, retention: &mut Retention, until: u64) {
        self.synced = until;
        let all_durable = retention.oldest() >= self.undurable;
        while let Some(queued) = self.queue.front()
            && queued.message < until
        {
            if all_durable {
                self.counts.synced_numbers = queued.end_number;
            }
            self.queued_octets -= queued.octets;
            self.queue.pop_front();
        }
        self.drained = self.counts.waiting == 0;
        // Copies that were let go before they were synced can leave now.
        self.let_go = u64::MAX;
        self.hold(retention);
    }

    /// Messages before `until` made room, with so many records that are nowhere else. What memory has of them is not on disk
    /// any more; what came back and found no room there is lost at the end.
    fn evicted(&mut self, until: u64, flow_records: u64) {
        self.evicted = until;
        self.released = self.released.max(until);
        while let Some(copy) = self.copies.front().filter(|copy| copy.message < until) {
            self.undurable = self.undurable.max(copy.records.end);
            self.copies.pop_front();
        }
        let mut lost = flow_records;
        while self.ended
            && let Some(message) = self.returned.front().filter(|message| message.position.0 < until)
        {
            lost += u64::from(message.flow_records);
            self.returned.pop_front();
        }
        // Beyond that are records of memory, put on a disk that has not room for all of memory.
        self.counts.waiting = self.counts.waiting.saturating_sub(lost);
        self.counts.full += lost;
    }

    /// Counts records that cannot come back.
    fn give_up(&mut self, records: u64) {
        self.counts.waiting -= records;
        self.counts.unreadable += records;
    }

    /// Lets go of copies that no collector needs any more.
    pub(super) fn release(&mut self, retention: &Retention) {
        let counts = retention.counts();
        let let_go = counts.covered + counts.dropped;
        if std::mem::replace(&mut self.let_go, let_go) == let_go {
            return;
        }
        let oldest = retention.oldest();
        let mut until = None;
        while let Some(copy) = self.copies.front()
            && copy.message < self.synced
            && copy.records.end <= oldest
        {
            self.released = copy.message + 1;
            until = Some(Position(self.released));
            self.copies.pop_front();
        }
        self.commands.extend(until.map(Command::Release));
    }

    /// Returns the octets of memory that the next message from disk takes; asks for more when there is none.
    pub(super) fn wanted(&mut self) -> Option<usize> {
        if self.returned.is_empty() && !self.drained && !self.asked {
            self.asked = true;
            self.commands.push_back(Command::Return);
        }
        let Returned { sets, flow_records, .. } = self.returned.front()?;
        Some(sets.len() + Retention::cost(0) * *flow_records as usize)
    }

    /// Puts the next message from disk into memory, which has room for it.
    pub(super) fn take_back(&mut self, retention: &mut Retention) {
        let Some(message) = self.returned.pop_front() else { return };
        let (start, records) = (retention.end(), u64::from(message.flow_records));
        let restored = self.returning.restore(&message, retention);
        match message.position.0 {
            gone if gone < self.evicted => self.undurable = retention.end(),
            message => self.copies.push_back(Copy { message, records: start..retention.end() }),
        }
        self.counts.waiting -= restored;
        self.give_up(records - restored);
    }
}
