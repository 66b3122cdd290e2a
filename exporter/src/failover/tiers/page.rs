//! The message for the spool that is being filled: a session record, and the flow records whose numbers follow from it.

use delivery::{Series, SessionRecord};

use crate::export::Classes;
use crate::export::templates::session_record_id;
use crate::spooling::Appended;

/// Octets of a page from which on it is full: a message with it is synced as a whole, and damaged as a whole.
const FULL: usize = 32 << 10;
/// Identifier and length of a set.
const SET_HEADER: usize = 4;
/// Octets that a record brings with it at most: a set header, and a page with its session record.
const AROUND: usize = 2 * SET_HEADER + delivery::session_record::LENGTH;

/// Which record comes next on a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Run {
    series: Series,
    next_number: u64,
    in_memory: bool,
}

#[derive(Debug, Default)]
pub(super) struct Page {
    sets: Vec<u8>,
    run: Option<Run>,
    flow_records: u32,
    /// The open set: its template, and where it begins.
    set: Option<(u16, usize)>,
}

impl Page {
    /// Tells whether a page can hold a record of this length.
    pub(super) const fn can_hold(length: usize) -> bool {
        AROUND + length <= spool::MAX_SETS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flow_records == 0
    }

    /// Tells whether the record with this number, held in memory or not, can go on this page.
    pub(super) fn takes(&self, series: Series, number: u64, in_memory: bool, length: usize) -> bool {
        let follows = self.run.is_none_or(|run| run == Run { series, next_number: number, in_memory });
        follows && self.sets.len() < FULL && self.sets.len() + AROUND + length <= spool::MAX_SETS
    }

    /// Appends a record that the page [takes](Page::takes).
    pub(super) fn push(
        &mut self,
        series: Series,
        number: u64,
        in_memory: bool,
        template: u16,
        record: &[u8],
    ) {
        if self.run.is_none() {
            self.open_set(session_record_id(Classes::RELIABLE_STREAM));
            // Who finds it on disk does not know what was sent.
            let session = SessionRecord { series, first_number: number, possible_duplicate_until: u64::MAX };
            session.encode(&mut self.sets);
        }
        self.run = Some(Run { series, next_number: number + 1, in_memory });
        if self.set.is_none_or(|(open, _)| open != template) {
            self.open_set(template);
        }
        self.sets.extend_from_slice(record);
        self.flow_records += 1;
    }

    fn open_set(&mut self, id: u16) {
        self.close_set();
        self.set = Some((id, self.sets.len()));
        self.sets.extend(id.to_be_bytes());
        self.sets.extend([0; 2]);
    }

    fn close_set(&mut self) {
        if let Some((_, start)) = self.set.take() {
            let length = u16::try_from(self.sets.len() - start).expect("a page is shorter than a message");
            self.sets[start + 2..start + SET_HEADER].copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Returns the number behind that of the last record; 0 without records.
    pub(super) fn end_number(&self) -> u64 {
        self.run.map_or(0, |run| run.next_number)
    }

    /// Takes out the message; none without records. When it is made is left open.
    pub(super) fn finish(&mut self) -> Option<Appended> {
        let Run { in_memory, .. } = self.run.take()?;
        self.close_set();
        let flow_records = std::mem::take(&mut self.flow_records);
        let sets = std::mem::take(&mut self.sets);
        Some(Appended { sets, flow_records, export_time: 0, in_memory })
    }
}
