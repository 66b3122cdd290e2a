//! Type information (RFC 5610) for the private elements of docs/wire.md, so that any collector can name them.

use delivery::session_record::PEN;
use ipfix::{DataType, ElementDescription, RecordWriter, Semantics};

use super::{OptionsRecord, Template};

/// IANA's number of the unit "flows".
const FLOWS: u16 = 4;

/// Identifier, name, type, semantics, unit.
type Element = (u16, &'static str, DataType, Semantics, u16);

/// What an exporter sends under its enterprise number.
const ELEMENTS: [Element; 10] = [
    (1, "ledger", DataType::OctetArray, Semantics::Default, 0),
    (2, "epoch", DataType::Unsigned32, Semantics::Identifier, 0),
    (3, "firstNumber", DataType::Unsigned64, Semantics::Identifier, 0),
    (4, "possibleDuplicateUntil", DataType::Unsigned64, Semantics::Quantity, 0),
    (5, "reliabilityClass", DataType::Unsigned8, Semantics::Identifier, 0),
    (6, "reliabilityClassName", DataType::String, Semantics::Default, 0),
    (7, "stream", DataType::Unsigned16, Semantics::Identifier, 0),
    (8, "recordsSent", DataType::Unsigned64, Semantics::TotalCounter, FLOWS),
    (9, "recordsSettled", DataType::Unsigned64, Semantics::TotalCounter, FLOWS),
    (10, "recordsAbandoned", DataType::Unsigned64, Semantics::TotalCounter, FLOWS),
];

/// Returns the type records.
pub(super) fn records() -> impl Iterator<Item = OptionsRecord> {
    ELEMENTS.into_iter().map(|(id, name, data_type, semantics, units)| {
        let template = ElementDescription::template(Template::Type.id());
        let mut record = OptionsRecord { template, writer: RecordWriter::new() };
        ElementDescription { pen: PEN, id, data_type, semantics, units, name: name.into() }
            .encode(&mut record.writer);
        record
    })
}

#[cfg(test)]
mod tests {
    use delivery::{class_record, session_record, statistics_record};

    use super::*;

    #[test]
    fn every_private_element_that_is_sent_is_described_by_its_type() {
        let fields =
            session_record::FIELDS.iter().chain(&class_record::FIELDS).chain(&statistics_record::FIELDS);
        let private: Vec<_> = fields.filter(|field| field.0 == PEN).collect();
        assert_eq!(private.len(), ELEMENTS.len());
        for (&(_, id, length), element) in private.into_iter().zip(ELEMENTS) {
            let octets = match element.2 {
                DataType::Unsigned8 => 1,
                DataType::Unsigned16 => 2,
                DataType::Unsigned32 => 4,
                DataType::Unsigned64 => 8,
                _ => length,
            };
            assert_eq!((element.0, octets), (id, length), "{}", element.1);
        }
    }

    #[test]
    fn the_names_are_those_of_the_wire_document() {
        let document = include_str!("../../../../docs/wire.md");
        for (id, name, ..) in ELEMENTS {
            assert!(document.contains(&format!("| {id} | {name} |")), "{name}");
            assert_eq!(ipfix::ie::by_name(name), None, "who knows it would not believe that {id} is {name}");
        }
    }
}
