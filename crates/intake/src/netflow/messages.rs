//! IPFIX messages being made of one datagram: more than one where absolute times make records longer.

use ipfix::Header;

/// Messages back to back.
#[derive(Debug, Default)]
pub(super) struct Messages {
    octets: Vec<u8>,
    /// Where each finished one ends.
    ends: Vec<usize>,
    /// Of all of them, but for its length.
    header: Option<Header>,
    /// Where the one being made starts.
    start: usize,
    /// Where the set being filled starts.
    set: Option<usize>,
}

/// Octets of a set's header.
const SET_HEADER: usize = 4;

/// Octets that fit in one set.
pub(super) const MAX_SET: usize = 65_535 - Header::LENGTH - SET_HEADER;

impl Messages {
    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
        (self.header, self.start, self.set) = (None, 0, None);
    }

    /// Begins the messages of a datagram.
    pub(super) fn begin(&mut self, export_time: u32, sequence: u32, domain: u32) {
        self.clear();
        self.header = Some(Header { length: 0, export_time, sequence, domain });
    }

    /// Begins a set; one without content is none.
    pub(super) fn set(&mut self, id: u16) {
        self.close();
        if self.octets.len() == self.start {
            self.octets.resize(self.start + Header::LENGTH, 0);
        }
        self.set = Some(self.octets.len());
        self.octets.extend_from_slice(&id.to_be_bytes());
        self.octets.extend_from_slice(&[0, 0]);
    }

    /// Returns where to append `length` octets, at most [`MAX_SET`], to the set: if they do not fit, it goes on in the
    /// next message.
    pub(super) fn room(&mut self, length: usize) -> &mut Vec<u8> {
        let used = self.octets.len() - self.start;
        if let Some(set) = self.set.filter(|_| used + length > usize::from(u16::MAX)) {
            let id = u16::from_be_bytes([self.octets[set], self.octets[set + 1]]);
            self.finish();
            self.set(id);
        }
        &mut self.octets
    }

    /// Finishes what was begun.
    pub(super) fn finish(&mut self) {
        self.close();
        let length = self.octets.len() - self.start;
        if let Some(header) = self.header
            && length > Header::LENGTH
        {
            let length = u16::try_from(length).unwrap_or(u16::MAX);
            let header = Header { length, ..header }.to_octets();
            self.octets[self.start..self.start + Header::LENGTH].copy_from_slice(&header);
            self.ends.push(self.octets.len());
            self.start = self.octets.len();
        } else {
            self.octets.truncate(self.start);
        }
    }

    /// The finished messages.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.octets[start..end])
    }

    fn close(&mut self) {
        let Some(set) = self.set.take() else { return };
        let length = self.octets.len() - set;
        if length == SET_HEADER {
            self.octets.truncate(set);
        } else {
            let length = u16::try_from(length).unwrap_or(u16::MAX);
            self.octets[set + 2..set + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
}
