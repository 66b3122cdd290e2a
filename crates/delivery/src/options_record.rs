//! What the class record and the statistics record have in common: options records of private elements.

/// Why the fields of an options record are not what its template announces.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsRecordError {
    /// A field's length is not the one of its type.
    #[error("element {element}: length {length}")]
    FieldLength {
        /// The element id.
        element: u16,
        /// The length found.
        length: usize,
    },
    /// An element is not in the record.
    #[error("no element {element}")]
    Missing {
        /// The element id.
        element: u16,
    },
    /// The scope names another observation domain than the message.
    #[error("domain {scope} in a message of domain {message}")]
    Domain {
        /// The scope's value.
        scope: u32,
        /// The message header's Observation Domain ID.
        message: u32,
    },
    /// A value has no meaning.
    #[error("element {element}: value {value}")]
    Value {
        /// The element id.
        element: u16,
        /// The value found.
        value: u64,
    },
}

pub(crate) fn sized<const N: usize>(element: u16, octets: &[u8]) -> Result<[u8; N], OptionsRecordError> {
    octets.try_into().map_err(|_| OptionsRecordError::FieldLength { element, length: octets.len() })
}

pub(crate) fn missing(element: u16) -> OptionsRecordError {
    OptionsRecordError::Missing { element }
}

/// Tells whether a template with these elements has all of `fields`.
pub(crate) fn has_all(elements: impl IntoIterator<Item = (u32, u16)>, fields: &[(u32, u16, u16)]) -> bool {
    let mut found = 0_u32;
    for element in elements {
        if let Some(at) = fields.iter().position(|&(pen, id, _)| (pen, id) == element) {
            found |= 1 << at;
        }
    }
    found.count_ones() as usize == fields.len()
}
