//! Structured data (RFC 6313): lists within a field, read from a checked message without allocating.
//!
//! A field of type basicList, subTemplateList or subTemplateMultiList is read by [`SubTemplates::list`], which knows the
//! templates that the set's lists name, as they were defined at that place of the message. Lists nest up to
//! [`MAX_DEPTH`] deep. A list whose template is not known keeps its octets (RFC 7011 section 9, for elements).

mod references;
mod semantic;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use semantic::ListSemantic;

use crate::template::{PlanField, variable_length};
use crate::value::{Kind, ListType};
use crate::{DataType, Field, FieldSpecifier, Fields, InformationElement, Template, VARIABLE, ie};

/// How deep lists may nest. RFC 6313 section 5.2 sets no limit; YAF nests three deep.
pub const MAX_DEPTH: usize = 16;

/// The templates that the lists of a record may name, with which its lists are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubTemplates<'a> {
    /// In the order of their ids.
    pub(crate) templates: &'a [Arc<Template>],
}

impl<'a> SubTemplates<'a> {
    /// Returns the list in this field of the record, or of a record in one of its lists; `None` if the field is of
    /// another type, or has no octets.
    #[must_use]
    pub fn list(&self, field: &Field<'a>) -> Option<List<'a>> {
        let Kind::List(list_type) = field.kind() else { return None };
        let (semantic, body) = split_semantic(field.octets())?;
        Some(match list_type {
            ListType::Basic => List::Basic(BasicList::parse(semantic, body)?),
            ListType::SubTemplate => {
                let (id, octets) = split_u16(body)?;
                List::SubTemplate(self.sub_template_list(semantic, id, octets))
            }
            ListType::SubTemplateMulti => {
                List::SubTemplateMulti(SubTemplateMultiList { semantic, octets: body, templates: *self })
            }
        })
    }

    fn sub_template_list(&self, semantic: ListSemantic, id: u16, octets: &'a [u8]) -> SubTemplateList<'a> {
        let at = self.templates.binary_search_by_key(&id, |template| template.id());
        let template = at.ok().map(|at| &*self.templates[at]);
        SubTemplateList { semantic, template_id: id, template, octets }
    }
}

/// A list in a field.
#[derive(Clone, Copy, Debug)]
pub enum List<'a> {
    /// Values of one element.
    Basic(BasicList<'a>),
    /// Records of one template.
    SubTemplate(SubTemplateList<'a>),
    /// Records of several templates.
    SubTemplateMulti(SubTemplateMultiList<'a>),
}

impl List<'_> {
    /// How its members relate.
    #[must_use]
    pub const fn semantic(&self) -> ListSemantic {
        match self {
            Self::Basic(list) => list.semantic,
            Self::SubTemplate(list) => list.semantic,
            Self::SubTemplateMulti(list) => list.semantic,
        }
    }

    /// Its type.
    #[must_use]
    pub const fn data_type(&self) -> DataType {
        match self {
            Self::Basic(_) => DataType::BasicList,
            Self::SubTemplate(_) => DataType::SubTemplateList,
            Self::SubTemplateMulti(_) => DataType::SubTemplateMultiList,
        }
    }
}

/// Values of one element (RFC 6313 section 4.5.1).
#[derive(Clone, Copy, Debug)]
pub struct BasicList<'a> {
    semantic: ListSemantic,
    plan: PlanField,
    octets: &'a [u8],
}

impl<'a> BasicList<'a> {
    /// Octets of the header behind the semantic, without and with an enterprise number.
    const HEADER: usize = 4;
    const ENTERPRISE_HEADER: usize = 8;

    /// Parses what follows the semantic. Returns `None` if it ends within the header.
    pub(crate) fn parse(semantic: ListSemantic, body: &'a [u8]) -> Option<Self> {
        let (id, rest) = split_u16(body)?;
        let (length, _) = split_u16(rest)?;
        let (pen, header) = if id & 0x8000 == 0 {
            (0, Self::HEADER)
        } else {
            let (high, low) = (split_u16(&rest[2..])?.0, split_u16(rest.get(4..)?)?.0);
            (u32::from(high) << 16 | u32::from(low), Self::ENTERPRISE_HEADER)
        };
        let specifier = FieldSpecifier { pen, id: id & 0x7fff, length };
        Some(Self { semantic, plan: PlanField::single(specifier), octets: body.get(header..)? })
    }

    /// How the values relate.
    #[must_use]
    pub const fn semantic(&self) -> ListSemantic {
        self.semantic
    }

    /// The element, and the length of each value, as the list tells them.
    #[must_use]
    pub const fn specifier(&self) -> FieldSpecifier {
        self.plan.specifier
    }

    /// The element, if a registry here has it.
    #[must_use]
    pub const fn element(&self) -> Option<&'static InformationElement> {
        self.plan.element
    }

    /// Returns the values, each as a field of the list's element.
    pub fn values<'b>(&'b self) -> impl Iterator<Item = Field<'b>>
    where
        'a: 'b,
    {
        let mut rest = self.octets;
        std::iter::from_fn(move || {
            let octets = self.plan.specifier.split(&mut rest)?;
            Some(Field::new(&self.plan, octets))
        })
    }

    pub(crate) const fn plan(&self) -> &PlanField {
        &self.plan
    }

    pub(crate) const fn octets(&self) -> &'a [u8] {
        self.octets
    }
}

/// Records of one template (RFC 6313 section 4.5.2).
#[derive(Clone, Copy, Debug)]
pub struct SubTemplateList<'a> {
    semantic: ListSemantic,
    template_id: u16,
    template: Option<&'a Template>,
    octets: &'a [u8],
}

impl<'a> SubTemplateList<'a> {
    /// How the records relate.
    #[must_use]
    pub const fn semantic(&self) -> ListSemantic {
        self.semantic
    }

    /// Template ID of the records.
    #[must_use]
    pub const fn template_id(&self) -> u16 {
        self.template_id
    }

    /// The records' template; `None` if the session did not know it when the message came.
    #[must_use]
    pub const fn template(&self) -> Option<&'a Template> {
        self.template
    }

    /// The records' octets.
    #[must_use]
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Returns the fields of each record; nothing if the template is not known.
    pub fn records(&self) -> impl Iterator<Item = Fields<'a>> + use<'a> {
        let (template, mut rest) = (self.template, self.octets);
        std::iter::from_fn(move || {
            let template = template.filter(|_| !rest.is_empty())?;
            let (record, behind) = rest.split_at_checked(template.record_length(rest).ok()?)?;
            rest = behind;
            Some(Fields::new(template, record))
        })
    }
}

/// Records of several templates (RFC 6313 section 4.5.3).
#[derive(Clone, Copy, Debug)]
pub struct SubTemplateMultiList<'a> {
    semantic: ListSemantic,
    octets: &'a [u8],
    templates: SubTemplates<'a>,
}

impl<'a> SubTemplateMultiList<'a> {
    /// How the parts relate.
    #[must_use]
    pub const fn semantic(&self) -> ListSemantic {
        self.semantic
    }

    /// Returns its parts, each the records of one template, with the semantic of the whole.
    pub fn parts(&self) -> impl Iterator<Item = SubTemplateList<'a>> + use<'a> {
        let Self { semantic, octets: mut rest, templates } = *self;
        std::iter::from_fn(move || {
            let (id, octets, behind) = split_part(rest)?;
            rest = behind;
            Some(templates.sub_template_list(semantic, id, octets))
        })
    }
}

/// Splits a part of a subTemplateMultiList off: its Template ID, its records and what is behind it.
pub(crate) fn split_part(octets: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (id, rest) = split_u16(octets)?;
    let (length, _) = split_u16(rest)?;
    let (part, behind) = octets.split_at_checked(length.into())?;
    Some((id, part.get(4..)?, behind))
}

pub(crate) fn split_semantic(octets: &[u8]) -> Option<(ListSemantic, &[u8])> {
    let (&first, rest) = octets.split_first()?;
    Some((ListSemantic::from(first), rest))
}

pub(crate) fn split_u16(octets: &[u8]) -> Option<(u16, &[u8])> {
    let (first, rest) = octets.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*first), rest))
}

impl PlanField {
    /// The plan of a field outside a template.
    fn single(specifier: FieldSpecifier) -> Self {
        let element = ie::lookup(specifier.pen, specifier.id);
        let kind = Kind::of(element.map(|element| element.data_type), specifier.length);
        Self { specifier, kind, offset: 0, element }
    }
}

impl FieldSpecifier {
    /// Splits one value off the start of `rest`; `None` if there is none, or not all of it.
    pub(crate) fn split<'a>(&self, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        if rest.is_empty() {
            return None;
        }
        let (prefix, length) =
            if self.length == VARIABLE { variable_length(rest)? } else { (0, usize::from(self.length)) };
        let (value, behind) = rest.get(prefix..)?.split_at_checked(length)?;
        // A value of no octets would be there without end.
        if prefix + length == 0 {
            return None;
        }
        *rest = behind;
        Some(value)
    }
}
