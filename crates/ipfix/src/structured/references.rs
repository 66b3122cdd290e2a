//! Where the lists of a field name templates (RFC 6313 sections 4.5.2 and 4.5.3): for a mediator, whose templates have
//! other ids than the exporter's.

use super::{List, SubTemplateList, SubTemplates};
use crate::value::Kind;
use crate::{Field, Record, Template};

impl Record<'_> {
    /// Calls `found` for every Template ID that the record's lists name, nested ones too, in their order: with the place
    /// of its two octets among the record's, and its template; `None` if the session does not know that one (its records are
    /// not looked into).
    pub fn references(&self, mut found: impl FnMut(usize, Option<&Template>)) {
        let mut references = References { base: self.octets, found: &mut found };
        self.fields().for_each(|field| references.field(self.sub_templates, &field));
    }
}

struct References<'a> {
    /// What places are counted from.
    base: &'a [u8],
    found: &'a mut dyn FnMut(usize, Option<&Template>),
}

impl References<'_> {
    fn field(&mut self, templates: SubTemplates<'_>, field: &Field<'_>) {
        match templates.list(field) {
            None => {}
            Some(List::Basic(list)) if !matches!(list.plan().kind, Kind::List(_)) => {}
            Some(List::Basic(list)) => list.values().for_each(|value| self.field(templates, &value)),
            // Between the Template ID and the records a part has its length.
            Some(List::SubTemplate(list)) => self.records(templates, &list, 2),
            Some(List::SubTemplateMulti(list)) => {
                list.parts().for_each(|part| self.records(templates, &part, 4));
            }
        }
    }

    /// The records of one template, so many octets behind its id.
    fn records(&mut self, templates: SubTemplates<'_>, part: &SubTemplateList<'_>, behind: usize) {
        let records = part.octets().as_ptr().addr() - self.base.as_ptr().addr();
        (self.found)(records - behind, part.template());
        if part.template().is_some_and(Template::has_lists) {
            part.records().flatten().for_each(|field| self.field(templates, &field));
        }
    }
}
