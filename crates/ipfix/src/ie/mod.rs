//! The information elements (RFC 7012): IANA's registry, RFC 5103's reverse elements (PEN 29305) and
//! some enterprises' own. The data is in `registry/*.csv`; the build script turns it into one sorted table.

mod data_type;
mod description;

pub use data_type::{DataType, Semantics};
pub use description::{DescriptionError, ElementDescription};

include!(concat!(env!("OUT_DIR"), "/elements.rs"));

/// Private Enterprise Number of reverse elements (RFC 5103 section 6.1).
pub const REVERSE_PEN: u32 = 29305;

/// One information element as its registry describes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InformationElement {
    /// Private Enterprise Number; 0 for IANA's elements.
    pub pen: u32,
    /// Element identifier, 1 to 32767.
    pub id: u16,
    /// Name in the registry's spelling, for example `octetDeltaCount`.
    pub name: &'static str,
    /// Abstract data type (RFC 7012 section 3.1).
    pub data_type: DataType,
    /// Data type semantics (RFC 7012 section 3.2).
    pub semantics: Semantics,
    /// Unit, or empty.
    pub units: &'static str,
    /// Whether the registry advises against the element's use.
    pub deprecated: bool,
}

/// Returns the element with this number, if a registry here has it. `pen` is 0 for IANA.
#[must_use]
pub fn lookup(pen: u32, id: u16) -> Option<&'static InformationElement> {
    let at = ELEMENTS.binary_search_by_key(&(pen, id), |element| (element.pen, element.id)).ok()?;
    Some(&ELEMENTS[at])
}

/// Returns the element with this name in the registry's spelling; IANA's where several enterprises use it.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static InformationElement> {
    let at = BY_NAME.partition_point(|&at| ELEMENTS[usize::from(at)].name < name);
    let element = &ELEMENTS[usize::from(*BY_NAME.get(at)?)];
    (element.name == name).then_some(element)
}

/// Returns every known element, ordered by enterprise number and identifier.
#[must_use]
pub fn all() -> &'static [InformationElement] {
    &ELEMENTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iana_elements_are_found_by_number_and_by_name() {
        let element = lookup(0, 1).unwrap();
        assert_eq!((element.name, element.data_type), ("octetDeltaCount", DataType::Unsigned64));
        assert_eq!((element.semantics, element.units), (Semantics::DeltaCounter, "octets"));
        assert_eq!(by_name("octetDeltaCount"), Some(element));
        assert_eq!(by_name("octetDeltaCoun"), None);
        assert_eq!(lookup(0, 0), None);
        assert_eq!(lookup(0, 105), None, "a range of numbers assigned for NetFlow v9 is no element");
    }

    #[test]
    fn every_element_is_found_by_its_number_and_name() {
        for element in all() {
            assert_eq!(lookup(element.pen, element.id), Some(element));
            assert_eq!(by_name(element.name).unwrap().name, element.name);
        }
    }

    #[test]
    fn a_reverse_element_exists_only_where_the_element_has_a_direction() {
        assert_eq!(lookup(REVERSE_PEN, 1).unwrap().name, "reverseOctetDeltaCount");
        assert_eq!(lookup(REVERSE_PEN, 149), None, "observationDomainId");
        assert_eq!(lookup(6871, 14 | 0x4000).unwrap().name, "reverseInitialTCPFlags");
        assert_eq!(lookup(REVERSE_PEN, 41), None, "exportedMessageTotalCount is a process statistic");
    }

    #[test]
    fn enterprise_elements_are_known() {
        assert_eq!(lookup(8057, 2).unwrap().name, "DNSName");
        assert_eq!(lookup(6871, 110).unwrap().data_type, DataType::String);
    }
}
