//! Data Records as a [`Visitor`](crate::Visitor) sees them: borrowed from the message, already checked.

use crate::template::variable_length;
use crate::value::Kind;
use crate::{FieldSpecifier, InformationElement, PlanField, SubTemplates, Template, Value};

/// One Data Record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Observation Domain ID.
    pub domain: u32,
    /// Stream the message came on (0 where the transport has none).
    pub stream: u16,
    /// The template the record is of.
    pub template: &'a Template,
    /// The record's octets: whole, and long enough for the template.
    pub octets: &'a [u8],
    /// Sequence number of this record on its stream and domain.
    pub sequence: u32,
    /// Whether `sequence` is sure: records without a template before it in its message cannot be counted.
    pub sequence_certain: bool,
    /// The message's Export Time, in seconds since the Unix epoch.
    pub export_time: u32,
    /// The templates its lists name (RFC 6313).
    pub sub_templates: SubTemplates<'a>,
}

impl<'a> Record<'a> {
    /// Returns the fields in record order, scope fields first.
    #[inline]
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields::new(self.template, self.octets)
    }

    /// Returns the field at this place of the template (see [`Template::position`]).
    /// Fields before the first of variable length are reached at once, others by walking.
    #[inline]
    #[must_use]
    pub fn field(&self, index: usize) -> Option<Field<'a>> {
        if index >= self.template.fixed_fields() {
            return self.fields().nth(index);
        }
        let plan = &self.template.fields()[index];
        let octets = self.octets.get(plan.offset as usize..)?.get(..plan.specifier.length.into())?;
        Some(Field { plan, octets })
    }

    /// Returns the first field with this element.
    #[must_use]
    pub fn find(&self, pen: u32, id: u16) -> Option<Field<'a>> {
        self.field(self.template.position(pen, id)?)
    }
}

/// Iterator over a record's fields.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    plan: std::slice::Iter<'a, PlanField>,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    #[inline(always)]
    pub(crate) fn new(template: &'a Template, octets: &'a [u8]) -> Self {
        Self { plan: template.fields().iter(), rest: octets }
    }

    /// Returns the octets of the next field and goes on behind it, for who knows from the template that it has `N` of them.
    #[inline(always)]
    pub fn next_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (octets, rest) = self.rest.split_first_chunk()?;
        let plan = self.plan.next()?;
        debug_assert_eq!(usize::from(plan.specifier.length), N, "of another length");
        self.rest = rest;
        Some(*octets)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Field<'a>> {
        let plan = self.plan.next()?;
        let mut length = usize::from(plan.specifier.length);
        if plan.specifier.is_variable() {
            let (prefix, told) = variable_length(self.rest)?;
            self.rest = self.rest.get(prefix..)?;
            length = told;
        }
        let (octets, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Field { plan, octets })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.plan.size_hint()
    }
}

impl ExactSizeIterator for Fields<'_> {}

/// One field of a Data Record.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    plan: &'a PlanField,
    octets: &'a [u8],
}

impl<'a> Field<'a> {
    pub(crate) const fn new(plan: &'a PlanField, octets: &'a [u8]) -> Self {
        Self { plan, octets }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.plan.kind
    }

    /// The field's specifier in the template.
    #[inline]
    #[must_use]
    pub const fn specifier(&self) -> FieldSpecifier {
        self.plan.specifier
    }

    /// Private Enterprise Number; 0 for IANA's elements.
    #[inline]
    #[must_use]
    pub const fn pen(&self) -> u32 {
        self.plan.specifier.pen
    }

    /// Element identifier.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.plan.specifier.id
    }

    /// The element, if a registry here has it.
    #[inline]
    #[must_use]
    pub const fn element(&self) -> Option<&'static InformationElement> {
        self.plan.element
    }

    /// The element's name, if a registry here has it.
    #[inline]
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        self.plan.element.map(|element| element.name)
    }

    /// The field's octets, without the length prefix of a field of variable length.
    #[inline]
    #[must_use]
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The value by the element's data type; the octets where the element is unknown or they do not fit it.
    #[inline(always)]
    #[must_use]
    pub fn value(&self) -> Value<'a> {
        self.plan.kind.read(self.octets)
    }
}
