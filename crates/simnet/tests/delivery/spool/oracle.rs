//! What the spool must hold: every message that it took, followed by position, and what was told of it.

use std::collections::BTreeMap;
use std::ops::Range;

use delivery::RangeSet;
use exporter::spooling::{Appended, Event, Worker};
use ipfix::Header;
use spool::{Cursor, Medium, Spool};

use crate::message::{Item, Reader, STREAM, identity};

/// A message that the spool took.
#[derive(Clone, Debug)]
struct Message {
    /// Its records.
    names: Range<u64>,
    in_memory: bool,
}

#[derive(Default)]
pub(crate) struct Oracle {
    /// By position: what this start of the exporter may still need.
    messages: BTreeMap<u64, Message>,
    next: u64,
    /// Messages before it are in memory, or were.
    returned: u64,
    /// Messages before it were told to be on disk.
    reported: u64,
    /// Of the messages that made room last: records that are nowhere else.
    dropping: u64,
    /// Records that were told to be on disk, in any start.
    pub(crate) synced: RangeSet,
    /// Records that made room for newer ones, and so are not on disk.
    pub(crate) evicted: RangeSet,
    /// Those of them that were nowhere else.
    pub(crate) dropped: RangeSet,
}

impl Oracle {
    /// Reads what a start of the exporter finds; returns its records, and those that are there more than once.
    pub(super) fn open<M: Medium>(&mut self, spool: &Spool<M>) -> (RangeSet, RangeSet) {
        let (mut found, mut doubles) = (RangeSet::new(), RangeSet::new());
        self.messages.clear();
        let mut cursor = Cursor::default();
        while let Some(read) = spool.read(&mut cursor).unwrap() {
            let names = names_of(read.sets);
            assert_eq!(names.end - names.start, u64::from(read.flow_records), "records are counted");
            for name in names.clone() {
                if !found.insert(name) {
                    doubles.insert(name);
                }
            }
            self.messages.insert(read.position.0, Message { names, in_memory: false });
        }
        self.next = spool.synced().0;
        assert_eq!(self.messages.len() as u64, self.next, "all that was found can be read");
        (self.returned, self.reported, self.dropping) = (0, self.next, 0);
        self.synced.union(&found);
        found.iter().for_each(|names| self.evicted.remove_range(names));
        (found, doubles)
    }

    /// A message is handed to the spool; returns its records.
    pub(super) fn append(&mut self, message: &Appended) -> Range<u64> {
        let names = names_of(&message.sets);
        assert_eq!(names.end - names.start, u64::from(message.flow_records), "records are counted");
        self.synced.remove_range(names.clone());
        self.evicted.remove_range(names.clone());
        let in_memory = message.in_memory;
        self.messages.insert(self.next, Message { names: names.clone(), in_memory });
        self.next += 1;
        names
    }

    /// The spool has taken the message: it may have given up the oldest ones.
    pub(super) fn appended<M: Medium>(&mut self, spool: &Spool<M>, made_room: bool) {
        assert_eq!(spool.end().0, self.next, "no message is lost on its way");
        if made_room {
            let mut cursor = Cursor::default();
            let oldest = spool.read(&mut cursor).unwrap();
            self.evict(oldest.map_or(spool.synced().0, |message| message.position.0));
        }
        if let Some((&position, Message { in_memory: true, .. })) = self.messages.last_key_value() {
            self.returned = position + 1;
        }
    }

    fn evict(&mut self, until: u64) {
        let rest = self.messages.split_off(&until);
        for (position, Message { names, in_memory }) in std::mem::replace(&mut self.messages, rest) {
            self.evicted.insert_range(names.clone());
            if !in_memory && position >= self.returned {
                self.dropping += names.end - names.start;
                self.dropped.insert_range(names);
            }
        }
    }

    /// The spool tells something, which is on its way to the exporter.
    pub(super) fn told(&mut self, event: &Event) {
        match event {
            Event::Dropped { flow_records, .. } => {
                assert_eq!(*flow_records, std::mem::take(&mut self.dropping), "what made room is counted");
            }
            Event::Returned { messages, .. } => {
                for message in messages {
                    let position = message.position.0;
                    assert!(position >= self.returned, "in order, and once");
                    assert_eq!(names_of(&message.sets), self.messages[&position].names, "as it was taken");
                    self.returned = position + 1;
                }
            }
            Event::Synced { .. } | Event::Freed { .. } | Event::Failing { .. } | Event::Unread { .. } => {}
        }
    }

    /// Every drop was told.
    pub(super) fn check(&self) {
        assert_eq!(self.dropping, 0, "what made room is told");
    }

    /// The exporter knows that everything before `until` is on disk.
    pub(crate) fn reported(&mut self, until: u64) {
        for (_, message) in self.messages.range(self.reported..until.max(self.reported)) {
            self.synced.insert_range(message.names.clone());
        }
        self.reported = self.reported.max(until);
    }

    /// Nothing before `until` is needed any more; returns the records of which that is said.
    pub(super) fn release(&mut self, until: u64) -> Vec<Range<u64>> {
        let rest = self.messages.split_off(&until);
        std::mem::replace(&mut self.messages, rest).into_values().map(|message| message.names).collect()
    }
}

/// Returns the records of a message by its session record, after a look at each.
fn names_of(sets: &[u8]) -> Range<u64> {
    let mut reader = Reader::new();
    reader.read(
        STREAM,
        &framed(&exporter::spooling::templates(exporter::export::FlowEncoder::new().templates())),
    );
    let mut names: Option<Range<u64>> = None;
    for item in reader.read(STREAM, &framed(sets)) {
        match item {
            Item::Session { record, .. } => {
                assert!(names.is_none(), "one session record, before the records");
                let first = crate::message::name(record.series, record.first_number);
                names = Some(first..first);
            }
            Item::Flow { name, .. } => {
                let end = &mut names.as_mut().expect("numbers are known").end;
                assert_eq!(identity(name), identity(*end), "numbered as the exporter did");
                *end += 1;
            }
            Item::Lossy | Item::Other => panic!("nothing else is spooled"),
        }
    }
    names.expect("a session record")
}

fn framed(sets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(Header::LENGTH + sets.len()).unwrap();
    let header = Header { length, export_time: 0, sequence: 0, domain: crate::exporter::SERIES.domain };
    let mut octets = header.to_octets().to_vec();
    octets.extend_from_slice(sets);
    octets
}

/// Tells which segment is the oldest, by where it ends.
pub(super) fn oldest_end<M: Medium>(worker: &Worker<M>) -> Option<u64> {
    worker.spool().oldest_end().map(|position| position.0)
}
