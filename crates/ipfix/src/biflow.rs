//! Biflows (RFC 5103) as two uniflows: one record read as its forward and as its reverse flow.
//!
//! The forward view is the record without its reverse elements. In the reverse view a reverse element (enterprise 29305, or
//! CERT's with bit 14 set) stands under its forward number; source and destination, and the interfaces, change places;
//! counters and flags without a reverse are left out, as they are the forward direction's; everything else is said of
//! both. biflowDirection is in neither: these are no biflows. Times without a reverse are those of the whole biflow.

use crate::ie::{self, REVERSE_PEN};
use crate::{Field, FieldSpecifier, Record, Semantics, Template};

/// CERT marks the reverse of its elements by this bit of their numbers.
const CERT_PEN: u32 = 6871;
const CERT_REVERSE: u16 = 0x4000;

const BIFLOW_DIRECTION: (u32, u16) = (0, 239);
const INTERFACES: [(u16, u16); 3] = [(10, 14), (252, 253), (234, 235)];

/// How the records of one template are read as two uniflows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BiflowSplit {
    /// By field: as what it stands in the view, if at all.
    forward: Box<[Option<FieldSpecifier>]>,
    reverse: Box<[Option<FieldSpecifier>]>,
    /// Fields that count what went back.
    counters: Box<[usize]>,
}

impl BiflowSplit {
    /// Returns how to split records of this template; `None` if they are no biflows.
    #[must_use]
    pub fn of(template: &Template) -> Option<Self> {
        let fields = template.fields();
        let specifiers: Vec<_> = fields.iter().map(crate::PlanField::specifier).collect();
        if template.is_options() || specifiers.iter().all(|specifier| forward_of(*specifier).is_none()) {
            return None;
        }
        let has_reverse = |specifier: FieldSpecifier| {
            let mut reversed = specifiers.iter().filter_map(|other| forward_of(*other));
            reversed.any(|forward| (forward.pen, forward.id) == (specifier.pen, specifier.id))
        };
        let reverse_view = |specifier: FieldSpecifier| {
            if let Some(forward) = forward_of(specifier) {
                return Some(forward);
            }
            let one_way = matches!(
                ie::lookup(specifier.pen, specifier.id).map(|element| element.semantics),
                Some(Semantics::DeltaCounter | Semantics::TotalCounter | Semantics::Flags)
            );
            let is_left_out = is_direction(specifier) || has_reverse(specifier) || one_way;
            (!is_left_out).then(|| opposite(specifier).unwrap_or(specifier))
        };
        let counts = |specifier: FieldSpecifier| {
            let element = forward_of(specifier).and_then(|forward| ie::lookup(forward.pen, forward.id));
            element.is_some_and(|element| {
                matches!(element.semantics, Semantics::DeltaCounter | Semantics::TotalCounter)
            })
        };
        let is_forward =
            |specifier: &FieldSpecifier| forward_of(*specifier).is_none() && !is_direction(*specifier);
        Some(Self {
            forward: specifiers.iter().map(|specifier| Some(*specifier).filter(is_forward)).collect(),
            reverse: specifiers.iter().map(|specifier| reverse_view(*specifier)).collect(),
            counters: (0..specifiers.len()).filter(|&at| counts(specifiers[at])).collect(),
        })
    }

    /// Returns, by field, as what it stands in the forward flow, if at all.
    #[must_use]
    pub const fn forward_fields(&self) -> &[Option<FieldSpecifier>] {
        &self.forward
    }

    /// Returns, by field, as what it stands in the reverse flow, if at all.
    #[must_use]
    pub const fn reverse_fields(&self) -> &[Option<FieldSpecifier>] {
        &self.reverse
    }

    /// Whether anything went back: some reverse counter of the record is not 0, or it has none.
    #[must_use]
    pub fn has_reverse(&self, record: &Record<'_>) -> bool {
        let count = |&at: &usize| record.field(at).and_then(|field| field.value().as_unsigned());
        self.counters.is_empty() || self.counters.iter().any(|at| count(at) != Some(0))
    }

    /// Returns the fields of the forward flow, each with the element it stands for.
    pub fn forward<'a>(&self, record: &Record<'a>) -> impl Iterator<Item = (FieldSpecifier, Field<'a>)> {
        view(&self.forward, record)
    }

    /// Returns the fields of the reverse flow, each with the element it stands for; see [`Self::has_reverse`].
    pub fn reverse<'a>(&self, record: &Record<'a>) -> impl Iterator<Item = (FieldSpecifier, Field<'a>)> {
        view(&self.reverse, record)
    }
}

fn view<'a>(
    specifiers: &[Option<FieldSpecifier>],
    record: &Record<'a>,
) -> impl Iterator<Item = (FieldSpecifier, Field<'a>)> {
    let fields = specifiers.iter().zip(record.fields());
    fields.filter_map(|(specifier, field)| Some(((*specifier)?, field)))
}

fn is_direction(specifier: FieldSpecifier) -> bool {
    (specifier.pen, specifier.id) == BIFLOW_DIRECTION
}

/// Returns what a reverse element is the reverse of.
fn forward_of(specifier: FieldSpecifier) -> Option<FieldSpecifier> {
    match specifier.pen {
        REVERSE_PEN => Some(FieldSpecifier { pen: 0, ..specifier }),
        CERT_PEN if specifier.id & CERT_REVERSE != 0 => {
            Some(FieldSpecifier { id: specifier.id & !CERT_REVERSE, ..specifier })
        }
        _ => None,
    }
}

/// Returns the element that says of the other direction what this one says of its own.
fn opposite(specifier: FieldSpecifier) -> Option<FieldSpecifier> {
    let FieldSpecifier { pen: 0, id, .. } = specifier else { return None };
    for (one, other) in INTERFACES {
        if id == one || id == other {
            return Some(FieldSpecifier { id: if id == one { other } else { one }, ..specifier });
        }
    }
    let element = ie::lookup(0, id)?;
    let exchanges = [
        ("source", "destination"),
        ("destination", "source"),
        ("Source", "Destination"),
        ("Destination", "Source"),
    ];
    let (from, to) = exchanges.into_iter().find(|(from, _)| element.name.contains(from))?;
    let other = ie::by_name(&element.name.replace(from, to))?;
    (other.pen == 0 && other.data_type == element.data_type)
        .then_some(FieldSpecifier { id: other.id, ..specifier })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::ElementName;
    use crate::{CollectingConfig, CollectingSession, Header, TemplateRecord, Visitor};

    #[derive(Default)]
    struct Views(Vec<[String; 2]>);

    impl Visitor for Views {
        fn record(&mut self, record: &Record<'_>) {
            let split = BiflowSplit::of(record.template).unwrap();
            let show = |(specifier, field): (FieldSpecifier, Field<'_>)| {
                format!("{}={}", ElementName(specifier), field.value())
            };
            let forward: Vec<_> = split.forward(record).map(show).collect();
            let reverse: Vec<_> = split.reverse(record).map(show).collect();
            let reverse = if split.has_reverse(record) { reverse.join(" ") } else { String::new() };
            self.0.push([forward.join(" "), reverse]);
        }
    }

    /// Source and destination (of one octet each, to be short), ingressInterface, protocol, tcpControlBits, octets and
    /// packets with the octets' and packets' reverse, biflowDirection.
    const FIELDS: [(u32, u16, u16); 11] = [
        (0, 8, 4),
        (0, 12, 4),
        (0, 7, 2),
        (0, 11, 2),
        (0, 10, 1),
        (0, 4, 1),
        (0, 6, 1),
        (0, 1, 1),
        (REVERSE_PEN, 1, 1),
        (REVERSE_PEN, 2, 1),
        (0, 239, 1),
    ];

    fn views(fields: &[(u32, u16, u16)], record: &[u8]) -> [String; 2] {
        let fields = fields.iter().map(|&(pen, id, length)| FieldSpecifier { pen, id, length }).collect();
        let mut template = Vec::new();
        TemplateRecord { id: 300, scope_fields: 0, fields }.encode(&mut template);
        let set = |id: u16, body: &[u8]| {
            let length = u16::try_from(body.len() + 4).unwrap();
            [&id.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
        };
        let body = [set(2, &template), set(300, record)].concat();
        let length = u16::try_from(16 + body.len()).unwrap();
        let header = Header { length, export_time: 0, sequence: 0, domain: 1 };
        let mut views = Views::default();
        let mut session = CollectingSession::new(CollectingConfig::default());
        session.decode(0, &[&header.to_octets()[..], &body].concat(), &mut views).unwrap();
        views.0.remove(0)
    }

    #[test]
    fn a_biflow_is_two_uniflows_with_their_ends_exchanged() {
        let record = [192, 0, 2, 1, 198, 51, 100, 7, 0, 80, 1, 187, 3, 6, 27, 100, 50, 5, 1];
        let [forward, reverse] = views(&FIELDS, &record);
        assert_eq!(
            forward,
            "sourceIPv4Address=192.0.2.1 destinationIPv4Address=198.51.100.7 sourceTransportPort=80 \
             destinationTransportPort=443 ingressInterface=3 protocolIdentifier=6 tcpControlBits=27 octetDeltaCount=100"
        );
        assert_eq!(
            reverse,
            "destinationIPv4Address=192.0.2.1 sourceIPv4Address=198.51.100.7 destinationTransportPort=80 \
             sourceTransportPort=443 egressInterface=3 protocolIdentifier=6 octetDeltaCount=50 packetDeltaCount=5"
        );
    }

    #[test]
    fn a_biflow_by_which_nothing_went_back_is_one_uniflow() {
        let record = [192, 0, 2, 1, 198, 51, 100, 7, 0, 80, 1, 187, 3, 6, 27, 100, 0, 0, 1];
        assert_eq!(views(&FIELDS, &record)[1], "");
    }

    #[test]
    fn reverse_elements_of_cert_are_known_by_their_bit() {
        // CERT's initialTCPFlags and its reverse.
        let [forward, reverse] = views(&[(CERT_PEN, 14, 1), (CERT_PEN, 14 | CERT_REVERSE, 1)], &[2, 18]);
        assert_eq!((forward.as_str(), reverse.as_str()), ("initialTCPFlags=2", "initialTCPFlags=18"));
    }

    #[test]
    fn a_template_without_reverse_elements_is_no_biflow() {
        let record = TemplateRecord { id: 300, scope_fields: 0, fields: vec![FieldSpecifier::iana(1, 4)] };
        assert_eq!(BiflowSplit::of(&Template::compile(&record, 0)), None);
    }
}
