//! Records as they came, for outputs that make IPFIX messages of them: the octets, and what they need to be read.
//!
//! A record is the place of its template in [`Form::templates`](super::super::batch::Form), the Export Time of its message (some
//! elements are relative to it, such as flowStartDeltaMicroseconds) and its length, in big-endian octets, and the octets as they were received.

use std::sync::Arc;

use ipfix::{FieldSpecifier, PlanField, Record, Template};

use super::super::batch::Form;
use super::plans::Plans;

/// Octets before a record.
pub(in crate::output) const HEADER: usize = 10;

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
    pub(in crate::output) fn memory(&self) -> usize {
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
}

impl<'a> Raw<'a> {
    /// Reads the record at the start of `octets`, and returns it with what follows.
    pub(in crate::output) fn split(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = octets.split_first_chunk::<HEADER>()?;
        let [a, b, c, d, e, f, g, h, i, j] = *header;
        let (octets, rest) = rest.split_at_checked(u16::from_be_bytes([i, j]).into())?;
        let (template, export_time) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        Some((Self { template: template as usize, export_time, octets }, rest))
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
        let (template, place) = self.plans.of(record.template, |template| {
            let template = FlowTemplate::of(record.domain, template);
            let octets = template.memory();
            ((Arc::new(template), usize::MAX), octets)
        });
        if form.templates.get(*place).is_none_or(|known| !Arc::ptr_eq(known, template)) {
            *place = form.templates.len();
            form.templates.push(Arc::clone(template));
        }
        // A batch ends long before it has 2^32 templates; a record fits in a message.
        let place = u32::try_from(*place).unwrap_or(u32::MAX);
        let length = u16::try_from(record.octets.len()).unwrap_or(u16::MAX);
        form.octets.extend_from_slice(&place.to_be_bytes());
        form.octets.extend_from_slice(&record.export_time.to_be_bytes());
        form.octets.extend_from_slice(&length.to_be_bytes());
        form.octets.extend_from_slice(record.octets);
    }
}
