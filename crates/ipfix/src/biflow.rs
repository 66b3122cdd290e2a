//! Biflows (RFC 5103) as two uniflows: one record read as its forward and as its reverse flow.
//!
//! The forward view is the record without its reverse elements. In the reverse view a reverse element (enterprise 29305, or
//! CERT's with bit 14 set) stands under its forward number; source and destination, and the interfaces, change places;
//! counters and flags without a reverse are left out, as they are the forward direction's; everything else is said of
//! both. biflowDirection is in neither: these are no biflows. Times without a reverse are those of the whole biflow.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ie::{self, REVERSE_PEN};
use crate::record_writer::write_variable;
use crate::{FieldSpecifier, PlanField, Record, Semantics, Template, TemplateRecord};

/// What tells the serials of the views from those of templates, which count from 1.
const FORWARD_SERIAL: u64 = 1 << 63;
const REVERSE_SERIAL: u64 = 1 << 62;

/// CERT marks the reverse of its elements by this bit of their numbers.
const CERT_PEN: u32 = 6871;
const CERT_REVERSE: u16 = 0x4000;

const BIFLOW_DIRECTION: (u32, u16) = (0, 239);
const INTERFACES: [(u16, u16); 3] = [(10, 14), (252, 253), (234, 235)];

/// Which of a biflow's two flows a record is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The flow the biflow is named after; so is every record that is no biflow.
    Forward,
    /// What went back.
    Reverse,
}

/// Reads the records of one transport session as uniflows.
#[derive(Debug)]
pub struct BiflowSplitter {
    /// By [`Template::serial`]; `None` for templates of other records than biflows.
    splits: BTreeMap<u64, Option<Split>>,
    memory: usize,
    max_memory: usize,
    /// The record that is shown.
    octets: Vec<u8>,
}

/// How the records of one template are read as two uniflows.
#[derive(Clone, Debug)]
struct Split {
    forward: View,
    reverse: View,
    /// Fields that count what went back.
    counters: Box<[usize]>,
}

/// One of the two flows.
#[derive(Clone, Debug)]
struct View {
    template: Template,
    /// By field of the biflow: whether it is there.
    kept: Box<[bool]>,
}

impl BiflowSplitter {
    /// Octets of memory for what a template costs beside its views.
    const OVERHEAD: usize = 64;

    /// Returns a splitter that keeps what it derives from templates in so many octets of memory; beyond that it
    /// derives it again.
    #[must_use]
    pub const fn new(max_memory: usize) -> Self {
        Self { splits: BTreeMap::new(), memory: 0, max_memory, octets: Vec::new() }
    }

    /// Shows `visit` the record as it is, or, if it is a biflow, its forward flow, and then its reverse one if anything
    /// went back. These are records of templates of their own, with the biflow's Template ID and other serials, and not longer.
    pub fn split(&mut self, record: &Record<'_>, mut visit: impl FnMut(&Record<'_>, Direction)) {
        let serial = record.template.serial();
        if !self.splits.contains_key(&serial) {
            self.learn(serial, record.template);
        }
        let Some(Some(split)) = self.splits.get(&serial) else { return visit(record, Direction::Forward) };
        let mut show = |view: &View, direction| {
            view.write(&mut self.octets, record);
            visit(&Record { template: &view.template, octets: &self.octets, ..*record }, direction);
        };
        show(&split.forward, Direction::Forward);
        if split.has_reverse(record) {
            show(&split.reverse, Direction::Reverse);
        }
    }

    fn learn(&mut self, serial: u64, template: &Template) {
        let split = Split::of(template);
        let memory = Self::OVERHEAD + split.as_ref().map_or(0, Split::memory);
        if self.memory + memory > self.max_memory {
            self.splits.clear();
            self.memory = 0;
        }
        self.memory += memory;
        self.splits.insert(serial, split);
    }
}

impl Split {
    /// Returns how to split records of this template; `None` if they are no biflows, or have no forward flow.
    fn of(template: &Template) -> Option<Self> {
        let specifiers: Vec<_> = template.fields().iter().map(PlanField::specifier).collect();
        if template.is_options() || specifiers.iter().all(|specifier| forward_of(*specifier).is_none()) {
            return None;
        }
        let has_reverse = |specifier: FieldSpecifier| {
            let mut reversed = specifiers.iter().filter_map(|other| forward_of(*other));
            reversed.any(|forward| (forward.pen, forward.id) == (specifier.pen, specifier.id))
        };
        let forward_view = |specifier: FieldSpecifier| {
            (forward_of(specifier).is_none() && !is_direction(specifier)).then_some(specifier)
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
        Some(Self {
            forward: View::of(template, FORWARD_SERIAL, specifiers.iter().map(|it| forward_view(*it)))?,
            reverse: View::of(template, REVERSE_SERIAL, specifiers.iter().map(|it| reverse_view(*it)))?,
            counters: (0..specifiers.len()).filter(|&at| counts(specifiers[at])).collect(),
        })
    }

    /// Whether anything went back: some reverse counter of the record is not 0, or it has none.
    fn has_reverse(&self, record: &Record<'_>) -> bool {
        let count = |&at: &usize| record.field(at).and_then(|field| field.value().as_unsigned());
        self.counters.is_empty() || self.counters.iter().any(|at| count(at) != Some(0))
    }

    fn memory(&self) -> usize {
        let views = [&self.forward, &self.reverse].map(|view| view.template.memory() + view.kept.len());
        size_of::<Self>() + views.iter().sum::<usize>() + size_of_val(&*self.counters)
    }
}

impl View {
    /// Returns the view whose fields are `shown`: of each field as what it stands there, if at all. `None` if its records
    /// would be empty.
    fn of(
        template: &Template,
        serial: u64,
        shown: impl Iterator<Item = Option<FieldSpecifier>>,
    ) -> Option<Self> {
        let shown: Vec<_> = shown.collect();
        let fields = shown.iter().copied().flatten().collect();
        let record = TemplateRecord { id: template.id(), scope_fields: 0, fields };
        let told = |pen, id| {
            let mut described = template.described().iter().map(|(_, description)| description);
            described.find(|told| (told.pen, told.id) == (pen, id)).map(Arc::clone)
        };
        let template = Template::compile_with(&record, template.serial() | serial, told);
        (template.shortest_record() > 0)
            .then(|| Self { template, kept: shown.iter().map(Option::is_some).collect() })
    }

    /// Writes the view's record into `octets`.
    fn write(&self, octets: &mut Vec<u8>, record: &Record<'_>) {
        octets.clear();
        for (field, _) in record.fields().zip(&self.kept).filter(|(_, kept)| **kept) {
            if field.specifier().is_variable() {
                write_variable(octets, field.octets());
            } else {
                octets.extend_from_slice(field.octets());
            }
        }
    }
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
    use crate::{CollectingConfig, CollectingSession, Header, Visitor};

    struct Views {
        splitter: BiflowSplitter,
        seen: Vec<[String; 2]>,
    }

    impl Visitor for Views {
        fn record(&mut self, record: &Record<'_>) {
            let mut views = [const { String::new() }; 2];
            self.splitter.split(record, |record, direction| {
                let fields = record.fields();
                let shown =
                    fields.map(|field| format!("{}={}", ElementName(field.specifier()), field.value()));
                views[direction as usize] = shown.collect::<Vec<_>>().join(" ");
            });
            self.seen.push(views);
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
        let mut views = Views { splitter: BiflowSplitter::new(1 << 20), seen: Vec::new() };
        let mut session = CollectingSession::new(CollectingConfig::default());
        session.decode(0, &[&header.to_octets()[..], &body].concat(), &mut views).unwrap();
        views.seen.remove(0)
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
        assert_eq!(views(&[(0, 1, 4)], &[0, 0, 0, 9]), ["octetDeltaCount=9", ""]);
    }

    #[test]
    fn fields_of_variable_length_are_in_both_flows_and_what_has_no_forward_flow_is_left_as_it_is() {
        // interfaceName, whose length is told in three octets.
        let fields = [(0, 82, 65535), (0, 1, 1), (REVERSE_PEN, 1, 1)];
        let [forward, reverse] = views(&fields, &[255, 0, 4, b'e', b't', b'h', b'0', 7, 8]);
        assert_eq!(forward, "interfaceName=eth0 octetDeltaCount=7");
        assert_eq!(reverse, "interfaceName=eth0 octetDeltaCount=8");
        assert_eq!(views(&[(REVERSE_PEN, 1, 1)], &[0]), ["reverseOctetDeltaCount=0", ""]);
    }

    #[test]
    fn what_was_derived_of_too_many_templates_is_derived_again() {
        let mut splitter = BiflowSplitter::new(1_000);
        let fields: Vec<_> =
            FIELDS.iter().map(|&(pen, id, length)| FieldSpecifier { pen, id, length }).collect();
        for serial in 1..100 {
            let record = TemplateRecord { id: 300, scope_fields: 0, fields: fields.clone() };
            splitter.learn(serial, &Template::compile(&record, serial));
            assert_eq!(splitter.splits.len(), 1);
        }
    }
}
