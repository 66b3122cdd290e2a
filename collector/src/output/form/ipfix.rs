//! Records as they came, for outputs that make IPFIX messages of them: the octets, and what they need to be read.
//!
//! A record is the place of its template in [`Form::templates`], the Export Time of its message (some
//! elements are relative to it, such as flowStartDeltaMicroseconds) and its length, in big-endian octets, and the octets as they were received.
//!
//! Where asked for, originalExporterIPv4Address or originalExporterIPv6Address (RFC 7119 section 5) is the last field of every
//! record that has neither, so that it tells whence it came.
//!
//! Lists (RFC 6313) name templates by ids of the exporter. Behind a record with such lists, which a bit in the template's place
//! tells, are the number of these names and, of each, where in the record it is and the place of the template.

use std::net::IpAddr;
use std::sync::Arc;

use intake::Plans;
use ipfix::{ElementDescription, FieldSpecifier, PlanField, Record, Template, TemplateRecord};

use super::super::batch::Form;

/// Octets before a record.
const HEADER: usize = 10;
/// In the place of a record's template: names follow the record.
const NAMES_FOLLOW: u32 = 1 << 31;
/// The place of a template that the exporter did not tell.
const NOWHERE: u32 = u32::MAX;
/// Octets of a name: where it is, and the place of the template.
const NAME: usize = 6;

const ORIGINAL_EXPORTER_IPV4: FieldSpecifier = FieldSpecifier::iana(403, 4);
const ORIGINAL_EXPORTER_IPV6: FieldSpecifier = FieldSpecifier::iana(404, 16);
/// Octets of a message at most, without its header and that of a set.
const MAX_RECORD: usize = 65_535 - 16 - 4;

/// A template without an id, in its observation domain.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FlowTemplate {
    pub(crate) domain: u32,
    pub(crate) scope_fields: u16,
    pub(crate) fields: Box<[FieldSpecifier]>,
    /// What its exporter told of elements that no registry here has (RFC 5610).
    pub(crate) described: Box<[ElementDescription]>,
}

impl FlowTemplate {
    fn of(domain: u32, template: &Template) -> Self {
        let fields = template.fields();
        Self {
            domain,
            scope_fields: template.scope_fields(),
            fields: fields.iter().map(PlanField::specifier).collect(),
            described: (0..fields.len()).filter_map(|at| template.description(at).cloned()).collect(),
        }
    }

    /// Returns the template with one field more behind the others, if it has no original exporter yet and there is room.
    fn with(&self, field: FieldSpecifier) -> Option<Self> {
        let originals = [ORIGINAL_EXPORTER_IPV4, ORIGINAL_EXPORTER_IPV6];
        let is_one =
            |field: &FieldSpecifier| originals.iter().any(|it| (it.pen, it.id) == (field.pen, field.id));
        let fields: Vec<_> = self.fields.iter().copied().chain([field]).collect();
        let record = TemplateRecord { id: 0, scope_fields: self.scope_fields, fields };
        let has_room = record.wire_length() <= MAX_RECORD && record.fields.len() <= usize::from(u16::MAX);
        (has_room && !self.fields.iter().any(is_one))
            .then(|| Self { fields: record.fields.into(), ..self.clone() })
    }

    /// Octets it takes in memory, about.
    pub(crate) fn memory(&self) -> usize {
        let names: usize = self.described.iter().map(|told| told.name.len()).sum();
        size_of::<Self>() + size_of_val(&*self.fields) + size_of_val(&*self.described) + names
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
    plans: Plans<Plan>,
    /// Where the records come from, if that is to be told.
    original_exporter: Option<IpAddr>,
}

/// What becomes of a template.
#[derive(Debug)]
struct Plan {
    plain: Placed,
    /// With the original exporter.
    original: Option<Placed>,
}

/// A template, and its place in the form that is being filled, to be verified.
#[derive(Debug)]
struct Placed {
    template: Arc<FlowTemplate>,
    place: usize,
}

impl Placed {
    fn new(template: FlowTemplate) -> Self {
        Self { template: Arc::new(template), place: usize::MAX }
    }

    fn place(&mut self, form: &mut Form) -> u32 {
        if form.templates().get(self.place).is_none_or(|known| !Arc::ptr_eq(known, &self.template)) {
            self.place = form.place(&self.template);
        }
        // A batch ends long before it has 2^31 templates.
        u32::try_from(self.place).unwrap_or(NOWHERE)
    }
}

impl Records {
    pub(super) fn new(plan_octets: usize) -> Self {
        Self { plans: Plans::new(plan_octets), original_exporter: None }
    }

    /// Says where the records come from, before the first of them: it is told with each.
    pub(super) fn set_exporter(&mut self, exporter: IpAddr) {
        self.original_exporter = Some(exporter.to_canonical());
    }

    pub(super) fn record(&mut self, form: &mut Form, record: &Record<'_>) {
        let original = self.original_exporter;
        let plan = self.plan(record.domain, record.template);
        let (v4, v6);
        let (placed, exporter) = match (&mut plan.original, original) {
            (Some(placed), Some(IpAddr::V4(address))) if record.octets.len() + 4 <= MAX_RECORD => {
                v4 = address.octets();
                (placed, &v4[..])
            }
            (Some(placed), Some(IpAddr::V6(address))) if record.octets.len() + 16 <= MAX_RECORD => {
                v6 = address.octets();
                (placed, &v6[..])
            }
            _ => (&mut plan.plain, &[][..]),
        };
        let mut place = placed.place(form);
        let has_lists = record.template.has_lists();
        if has_lists {
            place |= NAMES_FOLLOW;
        }
        // A record fits in a message.
        let length = u16::try_from(record.octets.len() + exporter.len()).unwrap_or(u16::MAX);
        let ([a, b, c, d], [e, f, g, h]) = (place.to_be_bytes(), record.export_time.to_be_bytes());
        let [i, j] = length.to_be_bytes();
        form.octets.extend_from_slice(&[a, b, c, d, e, f, g, h, i, j]);
        form.octets.extend_from_slice(record.octets);
        form.octets.extend_from_slice(exporter);
        if has_lists {
            self.names(form, record);
        }
    }

    fn plan(&mut self, domain: u32, template: &Template) -> &mut Plan {
        let original = self.original_exporter.map(|address| match address {
            IpAddr::V4(_) => ORIGINAL_EXPORTER_IPV4,
            IpAddr::V6(_) => ORIGINAL_EXPORTER_IPV6,
        });
        self.plans.of(template, |template| {
            let plain = FlowTemplate::of(domain, template);
            let original = original.and_then(|field| plain.with(field));
            let octets = plain.memory() + original.as_ref().map_or(0, FlowTemplate::memory);
            (Plan { plain: Placed::new(plain), original: original.map(Placed::new) }, octets)
        })
    }

    /// Appends where the record's lists name templates.
    fn names(&mut self, form: &mut Form, record: &Record<'_>) {
        let counted = form.octets.len();
        form.octets.extend_from_slice(&[0; 2]);
        let mut count = 0_u16;
        record.references(|at, template| {
            let place =
                template.map_or(NOWHERE, |template| self.plan(record.domain, template).plain.place(form));
            // Within a record, where each takes three octets at least.
            let at = u16::try_from(at).unwrap_or(u16::MAX);
            form.octets.extend_from_slice(&at.to_be_bytes());
            form.octets.extend_from_slice(&place.to_be_bytes());
            count += 1;
        });
        form.octets[counted..counted + 2].copy_from_slice(&count.to_be_bytes());
    }
}
