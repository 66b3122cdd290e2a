//! What the fuzz target `netflow` does with octets, and the tests of mutated datagrams with those of plain seeds.

use ipfix::{CollectingConfig, CollectingSession, DecodeError, Record, Transport, Visitor};

use crate::netflow::{Reader, Source, Version};

/// Seconds for which templates live.
const LIFETIME: u32 = 1_800;
/// Templates of one source that are brought once more; all would take long.
const REPEATED: usize = 16;

#[derive(Default)]
struct Octets {
    records: usize,
    octets: usize,
}

impl Visitor for Octets {
    fn record(&mut self, record: &Record<'_>) {
        self.records += 1;
        self.octets += record.fields().map(|field| field.octets().len()).sum::<usize>();
    }
}

/// One of the sources that datagrams are from, of one version.
struct Story {
    source: Source,
    session: CollectingSession,
}

impl Story {
    fn new() -> Self {
        let config = CollectingConfig { transport: Transport::Udp, ..CollectingConfig::default() };
        Self { source: Source::default(), session: CollectingSession::new(config) }
    }

    /// Reads one datagram, of which only certain things may come. Returns the records, if it was not refused.
    fn datagram(
        &mut self,
        reader: &mut Reader,
        datagram: &[u8],
        received: u32,
        again: bool,
    ) -> Option<usize> {
        let checked = reader.check(datagram).is_ok();
        let read = reader.read(&mut self.source, datagram, (received, LIFETIME), again);
        assert_eq!(read.is_ok(), checked, "a check says what reading does");
        if read.is_err() {
            assert_eq!((reader.messages().count(), reader.unknown(datagram).count()), (0, 0));
            return None;
        }
        let (mut octets, mut made) = (Octets::default(), 0);
        for message in reader.messages() {
            made += message.len();
            let decoded = self.session.decode(0, message, &mut octets);
            // Records of variable length are the exporter's; all else is made here.
            let fine = Version::of(datagram) == Version::V9
                && matches!(decoded, Err(DecodeError::FieldLength { .. } | DecodeError::List { .. }));
            assert!(decoded.is_ok() || fine, "{decoded:?}");
        }
        // Times become twice as long, elements of enterprises too, and records have a template of ours.
        assert!(made <= 3 * datagram.len() + 1_024, "{made} octets of {}", datagram.len());
        let unknown: usize = reader.unknown(datagram).map(|(_, set)| set.len() - 20).sum();
        assert!(unknown <= datagram.len(), "{unknown} octets wait of {}", datagram.len());
        Some(octets.records)
    }

    /// Each template of version 9 comes once more as it was, as after a restart.
    fn repeat(&self, reader: &mut Reader) {
        for (domain, template) in self.session.templates().take(REPEATED) {
            let record = template.to_record();
            let Some(datagram) = self.source.v9_template(domain, &record) else { continue };
            let mut again = Self::new();
            assert_eq!(again.datagram(reader, &datagram, 0, true), Some(0), "{record:?}");
            let repeated: Vec<_> =
                again.session.templates().map(|(domain, it)| (domain, it.to_record())).collect();
            assert_eq!(repeated, [(domain, record)]);
        }
    }
}

/// Reads a story of datagrams from two sources: of each an octet that says from which, whether it had been held back and how long after
/// the one before it comes, its length in two octets, and the datagram. Returns how many were not refused, and their records.
pub(crate) fn datagrams(mut octets: &[u8]) -> (usize, usize) {
    let mut stories = [0; 6].map(|_| Story::new());
    let (mut reader, mut received, mut sums) = (Reader::new(), 0_u32, (0, 0));
    while let Some((&[what, high, low], rest)) = octets.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (datagram, rest) = rest.split_at(length);
        octets = rest;
        received = received.saturating_add(u32::from(what >> 2) * 60);
        let version = match Version::of(datagram) {
            Version::V5 => 0,
            Version::V7 => 1,
            Version::V9 => 2,
            Version::Ipfix => continue,
        };
        let story = &mut stories[version + 3 * usize::from(what & 1)];
        if let Some(records) = story.datagram(&mut reader, datagram, received, what & 2 != 0) {
            sums = (sums.0 + 1, sums.1 + records);
        }
    }
    stories.iter().for_each(|story| story.repeat(&mut reader));
    sums
}
