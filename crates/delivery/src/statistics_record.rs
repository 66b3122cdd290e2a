//! The statistics record: what was sent on a stream whose records may get lost (docs/wire.md section 5).
//!
//! An options record on stream 0, at intervals and at the end, with scopes observationDomainId and the private
//! element `stream`. With it the collector's books close: what was sent and has not come is a gap, at the end too.

use crate::options_record::{OptionsRecordError, has_all, missing, sized};
use crate::session_record::{OBSERVATION_DOMAIN_ID, PEN};

/// Private element `stream`: unsigned16, the SCTP stream spoken of.
pub const STREAM: u16 = 7;
/// Private element `recordsSent`: unsigned64, flow records sent there in this transport session.
pub const RECORDS_SENT: u16 = 8;
/// Private element `recordsSettled`: unsigned64; of the first so many records sent it is known what became of them.
pub const RECORDS_SETTLED: u16 = 9;
/// Private element `recordsAbandoned`: unsigned64; of the records sent, how many were given up.
pub const RECORDS_ABANDONED: u16 = 10;
/// IANA element notSentFlowTotalCount: unsigned64, flow records of the class dropped before they were sent, since the
/// exporting process started.
pub const NOT_SENT: u16 = 166;

/// How many of [`FIELDS`], from the first, are scope fields.
pub const SCOPE_FIELDS: u16 = 2;
/// The fields of the options template in order: enterprise number (0: IANA), element id, length in octets.
pub const FIELDS: [(u32, u16, u16); 6] = [
    (0, OBSERVATION_DOMAIN_ID, 4),
    (PEN, STREAM, 2),
    (PEN, RECORDS_SENT, 8),
    (PEN, RECORDS_SETTLED, 8),
    (PEN, RECORDS_ABANDONED, 8),
    (0, NOT_SENT, 8),
];
/// Octets of an encoded statistics record.
pub const LENGTH: usize = 38;

/// What the exporter says of one stream and domain. Counts are of flow records, in this transport session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StatisticsRecord {
    /// Observation Domain ID.
    pub domain: u32,
    /// SCTP stream.
    pub stream: u16,
    /// Sent after the class record.
    pub sent: u64,
    /// Of the first so many, the exporter knows what became of them: acknowledged, or given up.
    pub settled: u64,
    /// Of those sent, given up. They may have arrived all the same.
    pub abandoned: u64,
    /// Dropped before they were sent, since the exporting process started.
    pub not_sent: u64,
}

impl StatisticsRecord {
    /// Tells whether a template with these (enterprise number, element id) pairs announces statistics records.
    pub fn is_announced_by(elements: impl IntoIterator<Item = (u32, u16)>) -> bool {
        has_all(elements, &FIELDS)
    }

    /// Appends the record's octets, for a template with exactly [`FIELDS`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.domain.to_be_bytes());
        out.extend(self.stream.to_be_bytes());
        for count in [self.sent, self.settled, self.abandoned, self.not_sent] {
            out.extend(count.to_be_bytes());
        }
    }

    /// Reads a record from its fields (enterprise number, element id, octets) in any order, out of a message of `domain`.
    ///
    /// Fails on a field of another length than its type has, a missing one, another domain, and on counts that
    /// contradict each other.
    pub fn from_fields<'a>(
        domain: u32,
        fields: impl IntoIterator<Item = (u32, u16, &'a [u8])>,
    ) -> Result<Self, OptionsRecordError> {
        let (mut scope, mut stream, mut sent, mut settled) = (None, None, None, None);
        let (mut abandoned, mut not_sent) = (None, None);
        for (pen, id, octets) in fields {
            let count = |to: &mut Option<u64>| -> Result<(), OptionsRecordError> {
                *to = Some(u64::from_be_bytes(sized(id, octets)?));
                Ok(())
            };
            match (pen, id) {
                (0, OBSERVATION_DOMAIN_ID) => scope = Some(u32::from_be_bytes(sized(id, octets)?)),
                (PEN, STREAM) => stream = Some(u16::from_be_bytes(sized(id, octets)?)),
                (PEN, RECORDS_SENT) => count(&mut sent)?,
                (PEN, RECORDS_SETTLED) => count(&mut settled)?,
                (PEN, RECORDS_ABANDONED) => count(&mut abandoned)?,
                (0, NOT_SENT) => count(&mut not_sent)?,
                _ => {}
            }
        }
        let scope = scope.ok_or(missing(OBSERVATION_DOMAIN_ID))?;
        if scope != domain {
            return Err(OptionsRecordError::Domain { scope, message: domain });
        }
        let record = Self {
            domain,
            stream: stream.ok_or(missing(STREAM))?,
            sent: sent.ok_or(missing(RECORDS_SENT))?,
            settled: settled.ok_or(missing(RECORDS_SETTLED))?,
            abandoned: abandoned.ok_or(missing(RECORDS_ABANDONED))?,
            not_sent: not_sent.ok_or(missing(NOT_SENT))?,
        };
        for (element, value) in [(RECORDS_SETTLED, record.settled), (RECORDS_ABANDONED, record.abandoned)] {
            if value > record.sent {
                return Err(OptionsRecordError::Value { element, value });
            }
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: StatisticsRecord =
        StatisticsRecord { domain: 7, stream: 2, sent: 0x100, settled: 0xff, abandoned: 9, not_sent: 3 };

    fn fields(octets: &[u8]) -> Vec<(u32, u16, &[u8])> {
        let mut at = 0;
        let cut = FIELDS.map(|(pen, id, length)| {
            let field = &octets[at..at + usize::from(length)];
            at += usize::from(length);
            (pen, id, field)
        });
        cut.into_iter().rev().collect()
    }

    #[test]
    fn the_octets_are_those_of_the_wire_document() {
        let mut octets = Vec::new();
        EXAMPLE.encode(&mut octets);
        let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let counts = "000000000000010000000000000000ff00000000000000090000000000000003";
        assert_eq!(text, format!("000000070002{counts}"));
        assert_eq!(octets.len(), LENGTH);
        assert_eq!(StatisticsRecord::from_fields(7, fields(&octets)), Ok(EXAMPLE));
        let elements = FIELDS.map(|(pen, id, _)| (pen, id));
        assert!(StatisticsRecord::is_announced_by(elements));
        assert!(!StatisticsRecord::is_announced_by(elements[..5].iter().copied()));
    }

    #[test]
    fn a_record_that_breaks_a_rule_is_refused() {
        let read = |record: StatisticsRecord, domain| {
            let mut octets = Vec::new();
            record.encode(&mut octets);
            StatisticsRecord::from_fields(domain, fields(&octets))
        };
        assert_eq!(read(EXAMPLE, 8), Err(OptionsRecordError::Domain { scope: 7, message: 8 }));
        let settled = StatisticsRecord { settled: 0x101, ..EXAMPLE };
        assert_eq!(read(settled, 7), Err(OptionsRecordError::Value { element: 9, value: 0x101 }));
        let abandoned = StatisticsRecord { abandoned: 0x101, ..EXAMPLE };
        assert_eq!(read(abandoned, 7), Err(OptionsRecordError::Value { element: 10, value: 0x101 }));
        let short = StatisticsRecord::from_fields(7, [(PEN, STREAM, &[0_u8][..])]);
        assert_eq!(short, Err(OptionsRecordError::FieldLength { element: 7, length: 1 }));
        assert_eq!(StatisticsRecord::from_fields(7, []), Err(missing(OBSERVATION_DOMAIN_ID)));
    }
}
