//! Records as they came, for outputs that make IPFIX messages of them: the octets, and what they need to be read.
//!
//! A record is the place of its template in [`Form::templates`], the Export Time of its message (some
//! elements are relative to it, such as flowStartDeltaMicroseconds) and its length, in big-endian octets, and the octets as they were received.
//!
//! Lists (RFC 6313) name templates by ids of the exporter. Behind a record with such lists, which a bit in the template's place
//! tells, are the number of these names and, of each, where in the record it is and the place of the template.

use std::sync::Arc;

use ipfix::{FieldSpecifier, PlanField, Record, Template};

use super::super::batch::Form;
use super::plans::Plans;

/// Octets before a record.
const HEADER: usize = 10;
/// In the place of a record's template: names follow the record.
const NAMES_FOLLOW: u32 = 1 << 31;
/// The place of a template that the exporter did not tell.
const NOWHERE: u32 = u32::MAX;
/// Octets of a name: where it is, and the place of the template.
const NAME: usize = 6;

/// A template without an id, in its observation domain.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FlowTemplate {
    pub(crate) domain: u32,
    pub(crate) scope_fields: u16,
    pub(crate) fields: Box<[FieldSpecifier]>,
}

impl FlowTemplate {
    fn of(domain: u32, template: &Template) -> Self {
        let fields = template.fields().iter().map(PlanField::specifier).collect();
        Self { domain, scope_fields: template.scope_fields(), fields }
    }

    /// Octets it takes in memory, about.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.fields.len() * size_of::<FieldSpecifier>()
    }
}

/// One record of a form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::output) struct Raw<'a> {
    /// Place of its template in the form.
    pub(in crate::output) template: usize,
    pub(in crate::output) export_time: u32,
    pub(in crate::output) octets: &'a [u8],
    names: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Reads the record at the start of `octets`, and returns it with what follows.
    pub(in crate::output) fn split(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = octets.split_first_chunk::<HEADER>()?;
        let [a, b, c, d, e, f, g, h, i, j] = *header;
        let (octets, rest) = rest.split_at_checked(u16::from_be_bytes([i, j]).into())?;
        let (template, export_time) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let (names, rest) = if template & NAMES_FOLLOW == 0 {
            (&[][..], rest)
        } else {
            let (count, rest) = rest.split_first_chunk::<2>()?;
            rest.split_at_checked(usize::from(u16::from_be_bytes(*count)) * NAME)?
        };
        let template = (template & !NAMES_FOLLOW) as usize;
        Some((Self { template, export_time, octets, names }, rest))
    }

    /// Returns where the record's lists name templates, and the place of each in the form; `None`: the exporter did not tell
    /// that template.
    pub(in crate::output) fn names(&self) -> impl Iterator<Item = (usize, Option<usize>)> + use<'a> {
        self.names.as_chunks::<NAME>().0.iter().map(|&[a, b, c, d, e, f]| {
            let place = u32::from_be_bytes([c, d, e, f]);
            (u16::from_be_bytes([a, b]).into(), (place != NOWHERE).then_some(place as usize))
        })
    }
}

/// Copies the records of one transport session.
#[derive(Debug)]
pub(super) struct Records {
    /// Of each template, what it is, and its place in the form that is being filled, to be verified.
    plans: Plans<(Arc<FlowTemplate>, usize)>,
}

impl Records {
    pub(super) fn new(plan_octets: usize) -> Self {
        Self { plans: Plans::new(plan_octets) }
    }

    pub(super) fn record(&mut self, form: &mut Form, record: &Record<'_>) {
        let mut place = self.place(form, record.domain, record.template);
        let has_lists = record.template.has_lists();
        if has_lists {
            place |= NAMES_FOLLOW;
        }
        // A record fits in a message.
        let length = u16::try_from(record.octets.len()).unwrap_or(u16::MAX);
        let ([a, b, c, d], [e, f, g, h]) = (place.to_be_bytes(), record.export_time.to_be_bytes());
        let [i, j] = length.to_be_bytes();
        form.octets.extend_from_slice(&[a, b, c, d, e, f, g, h, i, j]);
        form.octets.extend_from_slice(record.octets);
        if has_lists {
            self.names(form, record);
        }
    }

    /// Returns the place of a template in the form.
    fn place(&mut self, form: &mut Form, domain: u32, template: &Template) -> u32 {
        let (template, place) = self.plans.of(template, |template| {
            let template = FlowTemplate::of(domain, template);
            let octets = template.memory();
            ((Arc::new(template), usize::MAX), octets)
        });
        if form.templates().get(*place).is_none_or(|known| !Arc::ptr_eq(known, template)) {
            *place = form.place(template);
        }
        // A batch ends long before it has 2^31 templates.
        u32::try_from(*place).unwrap_or(NOWHERE)
    }

    /// Appends where the record's lists name templates.
    fn names(&mut self, form: &mut Form, record: &Record<'_>) {
        let counted = form.octets.len();
        form.octets.extend_from_slice(&[0; 2]);
        let mut count = 0_u16;
        record.references(|at, template| {
            let place = template.map_or(NOWHERE, |template| self.place(form, record.domain, template));
            // Within a record, where each takes three octets at least.
            let at = u16::try_from(at).unwrap_or(u16::MAX);
            form.octets.extend_from_slice(&at.to_be_bytes());
            form.octets.extend_from_slice(&place.to_be_bytes());
            count += 1;
        });
        form.octets[counted..counted + 2].copy_from_slice(&count.to_be_bytes());
    }
}
