//! A piece of memory that holds records one after the other.

use std::ops::Range;

/// What is kept beside each record, in octets.
pub(super) const ENTRY_OCTETS: usize = size_of::<Entry>();

/// One record's place and name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    series: u32,
    /// Where the record ends in the chunk's data; it starts where the one before ends.
    end: u32,
    pub(super) template: u16,
    pub(super) gone: bool,
}

impl Entry {
    /// Index of its series.
    pub(super) const fn series(&self) -> usize {
        self.series as usize
    }
}

#[derive(Debug)]
pub(super) struct Chunk {
    first: u64,
    data: Vec<u8>,
    entries: Vec<Entry>,
    live: usize,
    /// Per series: its index and the numbers between which its records here lie.
    spans: Vec<(usize, Range<u64>)>,
}

impl Chunk {
    /// Returns an empty chunk whose first record will have position `first`, for some `size` octets of records of about
    /// this length. It has its memory from the start: pieces outgrown are holes in the heap.
    pub(super) fn new(first: u64, size: usize, length: usize) -> Self {
        let records = size / (ENTRY_OCTETS + length) + 1;
        let data = Vec::with_capacity(size.saturating_sub(records * ENTRY_OCTETS).max(length));
        Self { first, data, entries: Vec::with_capacity(records), live: 0, spans: Vec::new() }
    }

    /// Makes it an empty chunk whose first record will have position `first`; its memory stays.
    pub(super) fn reuse(mut self, first: u64) -> Self {
        self.data.clear();
        self.entries.clear();
        self.spans.clear();
        Self { first, live: 0, ..self }
    }

    pub(super) fn push(&mut self, series: usize, number: u64, template: u16, octets: &[u8]) {
        self.data.extend_from_slice(octets);
        let end = u32::try_from(self.data.len()).expect("chunks are below 1 MiB");
        let narrow = u32::try_from(series).expect("series are counted in memory");
        self.entries.push(Entry { number, series: narrow, end, template, gone: false });
        self.live += 1;
        match self.spans.iter_mut().find(|(known, _)| *known == series) {
            Some((_, span)) => *span = span.start.min(number)..span.end.max(number + 1),
            None => self.spans.push((series, number..number + 1)),
        }
    }

    pub(super) fn take_out(&mut self, index: usize) {
        self.entries[index].gone = true;
        self.live -= 1;
    }

    /// Tells whether records of the series with these numbers may be here.
    pub(super) fn spans(&self, series: usize, numbers: &Range<u64>) -> bool {
        let overlaps = |span: &Range<u64>| span.start < numbers.end && numbers.start < span.end;
        self.spans.iter().any(|(known, span)| *known == series && overlaps(span))
    }

    pub(super) fn record(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.entries[before].end);
        &self.data[start as usize..self.entries[index].end as usize]
    }

    pub(super) fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// Position of its first record.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// Position after its last record.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Octets used, by records that left included.
    pub(super) fn octets(&self) -> usize {
        self.data.len() + self.entries.len() * ENTRY_OCTETS
    }

    pub(super) const fn is_live(&self) -> bool {
        self.live > 0
    }
}
