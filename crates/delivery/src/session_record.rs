//! The session record: which numbers the flow records after it have (docs/wire.md section 3).
//!
//! An options record with scope observationDomainId and private elements. This crate knows values, octets and the
//! field list; templates are the business of whoever builds messages.

use crate::identity::{Epoch, Ledger, Series};

/// The enterprise number of the private elements: the one that RFC 5612 sets aside for examples.
pub const PEN: u32 = 32473;
/// Element `observationDomainId` of IANA, the scope.
pub const OBSERVATION_DOMAIN_ID: u16 = 149;
/// Private element `ledger`: octetArray of 16 octets.
pub const LEDGER: u16 = 1;
/// Private element `epoch`: unsigned32.
pub const EPOCH: u16 = 2;
/// Private element `firstNumber`: unsigned64, the number of the next flow record on this stream and domain.
pub const FIRST_NUMBER: u16 = 3;
/// Private element `possibleDuplicateUntil`: unsigned64; numbers below it may have been sent in an earlier session.
pub const POSSIBLE_DUPLICATE_UNTIL: u16 = 4;

/// How many of [`FIELDS`], from the first, are scope fields.
pub const SCOPE_FIELDS: u16 = 1;
/// The fields of the options template in order: enterprise number (0: IANA), element id, length in octets.
pub const FIELDS: [(u32, u16, u16); 5] = [
    (0, OBSERVATION_DOMAIN_ID, 4),
    (PEN, LEDGER, 16),
    (PEN, EPOCH, 4),
    (PEN, FIRST_NUMBER, 8),
    (PEN, POSSIBLE_DUPLICATE_UNTIL, 8),
];
/// Octets of an encoded session record.
pub const LENGTH: usize = 40;

/// Tells whose numbers follow on a stream and domain, and from which number on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionRecord {
    /// The series of the flow records that follow.
    pub series: Series,
    /// The number of the next flow record on this stream and domain.
    pub first_number: u64,
    /// Flow records with a lower number may have been sent in an earlier session already; others were not.
    pub possible_duplicate_until: u64,
}

/// Why the fields of an options record are no session record although its template has the elements.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionRecordError {
    /// The record is not as long as its fields.
    #[error("octet {offset}: session record of {LENGTH} octets ends")]
    Truncated {
        /// Where the octets end.
        offset: usize,
    },
    /// A field's length is not the one of its type.
    #[error("element {element}: length {length} in a session record")]
    FieldLength {
        /// The element id.
        element: u16,
        /// The length found.
        length: usize,
    },
    /// An element of the session record is not in the record.
    #[error("session record without element {element}")]
    Missing {
        /// The element id.
        element: u16,
    },
    /// The scope names another observation domain than the message.
    #[error("session record for domain {scope} in a message of domain {message}")]
    Domain {
        /// The scope's value.
        scope: u32,
        /// The message header's Observation Domain ID.
        message: u32,
    },
}

impl SessionRecord {
    /// Tells whether a template with these (enterprise number, element id) pairs announces session records.
    pub fn is_announced_by(elements: impl IntoIterator<Item = (u32, u16)>) -> bool {
        let mut found = [false; FIELDS.len()];
        for element in elements {
            if let Some(at) = FIELDS.iter().position(|&(pen, id, _)| (pen, id) == element) {
                found[at] = true;
            }
        }
        found.iter().all(|&is_there| is_there)
    }

    /// Appends the record's octets, for a template with exactly [`FIELDS`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.series.domain.to_be_bytes());
        out.extend(self.series.ledger.0);
        out.extend(self.series.epoch.0.to_be_bytes());
        out.extend(self.first_number.to_be_bytes());
        out.extend(self.possible_duplicate_until.to_be_bytes());
    }

    /// Reads a record of a template with exactly [`FIELDS`], out of a message of `domain`.
    pub fn decode(domain: u32, octets: &[u8]) -> Result<Self, SessionRecordError> {
        let mut at = 0;
        let mut fields = [(0, 0, &octets[..0]); FIELDS.len()];
        for (field, (pen, id, length)) in fields.iter_mut().zip(FIELDS) {
            let end = at + usize::from(length);
            let value = octets.get(at..end).ok_or(SessionRecordError::Truncated { offset: octets.len() })?;
            *field = (pen, id, value);
            at = end;
        }
        Self::from_fields(domain, fields)
    }

    /// Reads a record from its fields (enterprise number, element id, octets) in any order, out of a message of `domain`.
    pub fn from_fields<'a>(
        domain: u32,
        fields: impl IntoIterator<Item = (u32, u16, &'a [u8])>,
    ) -> Result<Self, SessionRecordError> {
        let (mut scope, mut ledger, mut epoch, mut first, mut until) = (None, None, None, None, None);
        for (pen, id, octets) in fields {
            match (pen, id) {
                (0, OBSERVATION_DOMAIN_ID) => scope = Some(u32::from_be_bytes(sized(id, octets)?)),
                (PEN, LEDGER) => ledger = Some(Ledger(sized(id, octets)?)),
                (PEN, EPOCH) => epoch = Some(Epoch(u32::from_be_bytes(sized(id, octets)?))),
                (PEN, FIRST_NUMBER) => first = Some(u64::from_be_bytes(sized(id, octets)?)),
                (PEN, POSSIBLE_DUPLICATE_UNTIL) => until = Some(u64::from_be_bytes(sized(id, octets)?)),
                _ => {}
            }
        }
        let missing = |element| SessionRecordError::Missing { element };
        let scope = scope.ok_or(missing(OBSERVATION_DOMAIN_ID))?;
        if scope != domain {
            return Err(SessionRecordError::Domain { scope, message: domain });
        }
        let ledger = ledger.ok_or(missing(LEDGER))?;
        let epoch = epoch.ok_or(missing(EPOCH))?;
        Ok(Self {
            series: Series { ledger, epoch, domain },
            first_number: first.ok_or(missing(FIRST_NUMBER))?,
            possible_duplicate_until: until.ok_or(missing(POSSIBLE_DUPLICATE_UNTIL))?,
        })
    }
}

fn sized<const N: usize>(element: u16, octets: &[u8]) -> Result<[u8; N], SessionRecordError> {
    octets.try_into().map_err(|_| SessionRecordError::FieldLength { element, length: octets.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> SessionRecord {
        let ledger = "00112233445566778899aabbccddeeff".parse().unwrap();
        let series = Series { ledger, epoch: Epoch(3), domain: 7 };
        SessionRecord { series, first_number: 4711, possible_duplicate_until: 5000 }
    }

    #[test]
    fn the_octets_are_those_of_the_wire_document() {
        let mut octets = Vec::new();
        example().encode(&mut octets);
        let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(text, "0000000700112233445566778899aabbccddeeff0000000300000000000012670000000000001388");
        assert_eq!(octets.len(), LENGTH);
        assert_eq!(SessionRecord::decode(7, &octets), Ok(example()));
    }

    #[test]
    fn fields_are_accepted_in_any_order_and_beside_others() {
        let mut octets = Vec::new();
        example().encode(&mut octets);
        let fields = [
            (PEN, POSSIBLE_DUPLICATE_UNTIL, &octets[32..]),
            (0, 4, &octets[..1]),
            (PEN, EPOCH, &octets[20..24]),
            (PEN, LEDGER, &octets[4..20]),
            (PEN, FIRST_NUMBER, &octets[24..32]),
            (0, OBSERVATION_DOMAIN_ID, &octets[..4]),
        ];
        assert_eq!(SessionRecord::from_fields(7, fields), Ok(example()));
        assert!(SessionRecord::is_announced_by(fields.map(|(pen, id, _)| (pen, id))));
        assert!(!SessionRecord::is_announced_by(fields[1..].iter().map(|&(pen, id, _)| (pen, id))));
    }

    #[test]
    fn a_record_that_breaks_a_rule_is_refused() {
        let mut octets = Vec::new();
        example().encode(&mut octets);
        assert_eq!(
            SessionRecord::decode(7, &octets[..39]),
            Err(SessionRecordError::Truncated { offset: 39 })
        );
        assert_eq!(
            SessionRecord::decode(8, &octets),
            Err(SessionRecordError::Domain { scope: 7, message: 8 })
        );
        assert_eq!(
            SessionRecord::from_fields(7, [(PEN, EPOCH, &octets[..3])]),
            Err(SessionRecordError::FieldLength { element: EPOCH, length: 3 })
        );
        assert_eq!(
            SessionRecord::from_fields(7, [(0, OBSERVATION_DOMAIN_ID, &octets[..4])]),
            Err(SessionRecordError::Missing { element: LEDGER })
        );
    }
}
