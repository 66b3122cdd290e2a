//! The class record: how reliable the flow records after it are (docs/wire.md section 9).
//!
//! An options record with scope observationDomainId and private elements, first on every stream whose records may get
//! lost. This crate knows values, octets and the field list; templates are the business of whoever builds messages.

use std::fmt;

use crate::options_record::{OptionsRecordError, has_all, missing, sized};
use crate::session_record::{OBSERVATION_DOMAIN_ID, PEN};

/// Private element `reliabilityClass`: unsigned8, see [`Reliability`].
pub const RELIABILITY_CLASS: u16 = 5;
/// Private element `reliabilityClassName`: string, the exporter's name for the class.
pub const CLASS_NAME: u16 = 6;

/// How many of [`FIELDS`], from the first, are scope fields.
pub const SCOPE_FIELDS: u16 = 1;
/// The fields of the options template in order: enterprise number (0: IANA), element id, length in octets (65535:
/// variable).
pub const FIELDS: [(u32, u16, u16); 3] =
    [(0, OBSERVATION_DOMAIN_ID, 4), (PEN, RELIABILITY_CLASS, 1), (PEN, CLASS_NAME, u16::MAX)];
/// Octets of a name at most; a longer one is cut by whoever encodes it.
pub const MAX_NAME: usize = 254;

/// How hard the records of a class are delivered.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Reliability {
    /// Retained until they are durable.
    Reliable = 0,
    /// Retransmitted, but given up for a higher class (RFC 7496 section 3.2).
    Priority = 1,
    /// Given up after some retransmissions (RFC 7496 section 3.1).
    Limited = 2,
    /// Given up after some time (RFC 3758 section 4).
    Timed = 3,
    /// Never retransmitted.
    Unreliable = 4,
}

impl Reliability {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Reliable, Self::Priority, Self::Limited, Self::Timed, Self::Unreliable];

    /// Returns the word for it in configuration, documents and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Priority => "priority",
            Self::Limited => "limited",
            Self::Timed => "timed",
            Self::Unreliable => "unreliable",
        }
    }
}

impl fmt::Display for Reliability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Tells the class of the flow records that follow on a stream and domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClassRecord {
    /// Observation Domain ID.
    pub domain: u32,
    /// What may happen to them.
    pub reliability: Reliability,
    /// The exporter's name for the class.
    pub name: String,
}

impl ClassRecord {
    /// Tells whether a template with these (enterprise number, element id) pairs announces class records.
    pub fn is_announced_by(elements: impl IntoIterator<Item = (u32, u16)>) -> bool {
        has_all(elements, &FIELDS)
    }

    /// Appends the record's octets, for a template with exactly [`FIELDS`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.domain.to_be_bytes());
        out.push(self.reliability as u8);
        let name = self.name.as_bytes();
        let name = &name[..name.len().min(MAX_NAME)];
        #[expect(clippy::cast_possible_truncation, reason = "cut to 254 octets")]
        out.push(name.len() as u8);
        out.extend(name);
    }

    /// Reads a record from its fields (enterprise number, element id, octets) in any order, out of a message of `domain`.
    pub fn from_fields<'a>(
        domain: u32,
        fields: impl IntoIterator<Item = (u32, u16, &'a [u8])>,
    ) -> Result<Self, OptionsRecordError> {
        let (mut scope, mut reliability, mut name) = (None, None, None);
        for (pen, id, octets) in fields {
            match (pen, id) {
                (0, OBSERVATION_DOMAIN_ID) => scope = Some(u32::from_be_bytes(sized(id, octets)?)),
                (PEN, RELIABILITY_CLASS) => {
                    let [value] = sized(id, octets)?;
                    let found = Reliability::ALL.get(usize::from(value)).copied();
                    let unknown = OptionsRecordError::Value { element: id, value: value.into() };
                    reliability = Some(found.ok_or(unknown)?);
                }
                (PEN, CLASS_NAME) if octets.len() > MAX_NAME => {
                    return Err(OptionsRecordError::FieldLength { element: id, length: octets.len() });
                }
                (PEN, CLASS_NAME) => name = Some(String::from_utf8_lossy(octets).into_owned()),
                _ => {}
            }
        }
        let scope = scope.ok_or(missing(OBSERVATION_DOMAIN_ID))?;
        if scope != domain {
            return Err(OptionsRecordError::Domain { scope, message: domain });
        }
        let reliability = reliability.ok_or(missing(RELIABILITY_CLASS))?;
        Ok(Self { domain, reliability, name: name.ok_or(missing(CLASS_NAME))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> ClassRecord {
        ClassRecord { domain: 7, reliability: Reliability::Timed, name: "rest".to_owned() }
    }

    /// The record's fields, as a template of [`FIELDS`] cuts them.
    fn fields(octets: &[u8]) -> [(u32, u16, &[u8]); 3] {
        [
            (PEN, CLASS_NAME, &octets[6..]),
            (0, OBSERVATION_DOMAIN_ID, &octets[..4]),
            (PEN, RELIABILITY_CLASS, &octets[4..5]),
        ]
    }

    #[test]
    fn the_octets_are_those_of_the_wire_document() {
        let mut octets = Vec::new();
        example().encode(&mut octets);
        assert_eq!(octets, [0, 0, 0, 7, 3, 4, b'r', b'e', b's', b't']);
        assert_eq!(ClassRecord::from_fields(7, fields(&octets)), Ok(example()));
        let elements = fields(&octets).map(|(pen, id, _)| (pen, id));
        assert!(
            ClassRecord::is_announced_by(elements)
                && !ClassRecord::is_announced_by(elements[1..].iter().copied())
        );
    }

    #[test]
    fn a_record_that_breaks_a_rule_is_refused() {
        let mut octets = Vec::new();
        example().encode(&mut octets);
        let read = |octets: &[u8], domain| ClassRecord::from_fields(domain, fields(octets));
        assert_eq!(read(&octets, 8), Err(OptionsRecordError::Domain { scope: 7, message: 8 }));
        octets[4] = 5;
        assert_eq!(read(&octets, 7), Err(OptionsRecordError::Value { element: 5, value: 5 }));
        let long = [0; MAX_NAME + 1];
        let long = ClassRecord::from_fields(7, [(PEN, CLASS_NAME, &long[..])]);
        assert_eq!(long, Err(OptionsRecordError::FieldLength { element: 6, length: 255 }));
        assert_eq!(ClassRecord::from_fields(7, []), Err(missing(OBSERVATION_DOMAIN_ID)));
    }

    #[test]
    fn a_name_that_is_too_long_is_cut() {
        let mut octets = Vec::new();
        ClassRecord { name: "x".repeat(300), ..example() }.encode(&mut octets);
        assert_eq!((octets.len(), octets[5]), (4 + 1 + 1 + 254, 254));
    }
}
