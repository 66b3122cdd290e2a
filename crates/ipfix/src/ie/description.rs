//! Information Element type records (RFC 5610 section 3.9): an exporter says what its own elements are.
//!
//! What they say counts for one session and domain, never against a registry here (section 3.9), and never once two
//! records contradict each other. Names that are no plain words, or the name of an element somebody else defined, are
//! refused: they become keys of JSON.

use super::{DataType, InformationElement, REVERSE_PEN, Semantics, by_name, lookup};
use crate::{FieldSpecifier, Fields, RecordWriter, Template, TemplateRecord, VARIABLE, Value};

/// IANA's elements of a type record.
const INFORMATION_ELEMENT_ID: u16 = 303;
const DATA_TYPE: u16 = 339;
const NAME: u16 = 341;
const SEMANTICS: u16 = 344;
const UNITS: u16 = 345;
const PRIVATE_ENTERPRISE_NUMBER: u16 = 346;

/// Units by their numbers (IANA "IPFIX Information Element Units").
const UNIT_NAMES: [&str; 16] = [
    "none",
    "bits",
    "octets",
    "packets",
    "flows",
    "seconds",
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "4-octet words",
    "messages",
    "hops",
    "entries",
    "frames",
    "ports",
    "inferred",
];

/// The longest name taken. IANA's have 40 octets and fewer.
const MAX_NAME: usize = 64;

/// An enterprise's element as its exporter describes it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ElementDescription {
    /// Private Enterprise Number; not 0.
    pub pen: u32,
    /// Element identifier, 1 to 32767.
    pub id: u16,
    /// Abstract data type.
    pub data_type: DataType,
    /// Data type semantics.
    pub semantics: Semantics,
    /// Number of the unit (IANA "IPFIX Information Element Units"), 0 without one.
    pub units: u16,
    /// A letter, then letters, digits, `_`, `-` and `.`, 64 octets at most.
    pub name: Box<str>,
}

/// Why a type record is ignored.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The element's number, type or name is missing.
    #[error("a type record without number, type or name")]
    Incomplete,
    /// The element is IANA's, a reverse one, or in a registry here.
    #[error("element {pen}/{id} is not the exporter's to describe")]
    NotTheirs {
        /// Private Enterprise Number.
        pen: u32,
        /// Element identifier.
        id: u16,
    },
    /// The type or the semantics have no such number, or do not go together (section 3.10).
    #[error("data type {data_type} with semantics {semantics}")]
    Type {
        /// Number of the data type.
        data_type: u64,
        /// Number of the semantics.
        semantics: u64,
    },
    /// The name is no plain word, or too long, or another element's.
    #[error("a name that cannot be an element's")]
    Name,
}

impl ElementDescription {
    /// Returns the options template of type records under this id (section 3.9).
    #[must_use]
    pub fn template(id: u16) -> TemplateRecord {
        let fields = [
            (PRIVATE_ENTERPRISE_NUMBER, 4),
            (INFORMATION_ELEMENT_ID, 2),
            (DATA_TYPE, 1),
            (SEMANTICS, 1),
            (UNITS, 2),
            (NAME, VARIABLE),
        ];
        let fields = fields.map(|(id, length)| FieldSpecifier::iana(id, length)).to_vec();
        TemplateRecord { id, scope_fields: 2, fields }
    }

    /// Returns what a registry here knows of an enterprise's element. Semantics that do not go with its type are left out
    /// (section 3.10).
    #[must_use]
    pub fn of(element: &InformationElement) -> Self {
        let &InformationElement { pen, id, name, data_type, semantics, units, .. } = element;
        let semantics = if go_together(data_type, semantics) { semantics } else { Semantics::Default };
        let units = UNIT_NAMES.iter().position(|&name| name == units).unwrap_or(0);
        Self { pen, id, data_type, semantics, units: u16::try_from(units).unwrap_or(0), name: name.into() }
    }

    /// Appends the type record of [`Self::template`].
    pub fn encode(&self, writer: &mut RecordWriter) {
        writer.unsigned(self.pen.into(), 4).unsigned(self.id.into(), 2);
        writer.unsigned(self.data_type as u64, 1).unsigned(self.semantics as u64, 1);
        writer.unsigned(self.units.into(), 2).string(&self.name);
    }

    /// Whether records of this template may be type records: both numbers are scope, in either order.
    pub(crate) fn is_described_by(template: &Template) -> bool {
        let has = |id| template.position(0, id);
        let is_scope = |id| has(id).is_some_and(|at| at < usize::from(template.scope_fields()));
        is_scope(PRIVATE_ENTERPRISE_NUMBER)
            && is_scope(INFORMATION_ELEMENT_ID)
            && has(DATA_TYPE).is_some()
            && has(NAME).is_some()
    }

    /// Reads a type record by its fields; those it needs not are passed over.
    ///
    /// # Errors
    /// Fails if what it needs is missing, not the exporter's to say, or cannot be.
    pub fn from_fields(fields: Fields<'_>) -> Result<Self, DescriptionError> {
        let (mut pen, mut id, mut data_type, mut name) = (None, None, None, None);
        let (mut semantics, mut units) = (0, 0);
        for field in fields.filter(|field| field.pen() == 0) {
            match (field.id(), field.value()) {
                (PRIVATE_ENTERPRISE_NUMBER, Value::Unsigned(value)) => pen = u32::try_from(value).ok(),
                (INFORMATION_ELEMENT_ID, Value::Unsigned(value)) => id = u16::try_from(value & 0x7fff).ok(),
                (DATA_TYPE, Value::Unsigned(value)) => data_type = Some(value),
                (SEMANTICS, Value::Unsigned(value)) => semantics = value,
                (UNITS, Value::Unsigned(value)) => units = u16::try_from(value).unwrap_or(0),
                (NAME, Value::String(text)) => name = Some(text.0),
                _ => {}
            }
        }
        let (Some(pen), Some(id), Some(data_type), Some(name)) = (pen, id, data_type, name) else {
            return Err(DescriptionError::Incomplete);
        };
        if pen == 0 || pen == REVERSE_PEN || id == 0 || lookup(pen, id).is_some() {
            return Err(DescriptionError::NotTheirs { pen, id });
        }
        let wrong = DescriptionError::Type { data_type, semantics };
        let known = (DataType::from_number(data_type), Semantics::from_number(semantics));
        let (Some(data_type), Some(semantics)) = known else { return Err(wrong) };
        if !go_together(data_type, semantics) {
            return Err(wrong);
        }
        let name = valid_name(name).ok_or(DescriptionError::Name)?;
        Ok(Self { pen, id, data_type, semantics, units, name: name.into() })
    }

    /// Octets this takes in memory, about.
    pub(crate) fn memory(&self) -> usize {
        2 * size_of::<Self>() + self.name.len()
    }
}

fn valid_name(octets: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(octets).ok().filter(|name| name.len() <= MAX_NAME)?;
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet);
    let is_word = octets.first()?.is_ascii_alphabetic() && octets.iter().all(|&octet| plain(octet));
    (is_word && by_name(name).is_none()).then_some(name)
}

/// RFC 5610 section 3.10; for the lists of RFC 6313 section 10.2 semantics `list`.
fn go_together(data_type: DataType, semantics: Semantics) -> bool {
    match data_type {
        DataType::Unsigned8 | DataType::Unsigned16 | DataType::Unsigned32 | DataType::Unsigned64 => true,
        DataType::Signed8 | DataType::Signed16 | DataType::Signed32 | DataType::Signed64 => {
            semantics != Semantics::Flags
        }
        DataType::Float32 | DataType::Float64 => {
            !matches!(semantics, Semantics::Identifier | Semantics::Flags)
        }
        DataType::BasicList | DataType::SubTemplateList | DataType::SubTemplateMultiList => {
            matches!(semantics, Semantics::Default | Semantics::List)
        }
        DataType::OctetArray
        | DataType::Boolean
        | DataType::MacAddress
        | DataType::String
        | DataType::DateTimeSeconds
        | DataType::DateTimeMilliseconds
        | DataType::DateTimeMicroseconds
        | DataType::DateTimeNanoseconds
        | DataType::Ipv4Address
        | DataType::Ipv6Address
        | DataType::Unsigned256 => semantics == Semantics::Default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_a_registry_are_described_as_it_knows_them() {
        // CERT's silkFlowType and initialTCPFlags.
        let of = |id| ElementDescription::of(lookup(6871, id).unwrap());
        assert_eq!(&*of(14).name, "initialTCPFlags");
        assert!(go_together(of(14).data_type, of(14).semantics));
        let octets = super::super::all().iter().find(|element| element.units == "octets").unwrap();
        assert_eq!(ElementDescription::of(octets).units, 2);
        for element in super::super::all() {
            let described = ElementDescription::of(element);
            assert!(go_together(described.data_type, described.semantics), "{}", element.name);
        }
    }
}
