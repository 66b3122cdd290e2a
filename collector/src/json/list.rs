//! Lists (RFC 6313) as JSON objects.
//!
//! * basicList: `{"semantic":"ordered","element":"bgpNextAdjacentAsNumber","values":[64496,64511]}`
//! * subTemplateList: `{"semantic":"allOf","template":400,"records":[{…},{…}]}`, or, where the template is not known,
//!   `{"semantic":"allOf","template":400,"octets":"0102"}`
//! * subTemplateMultiList: `{"semantic":"allOf","lists":[{"template":400,"records":[…]},…]}`
//!
//! The semantic is `unassigned` where the registry has no name for its number.

use std::sync::Arc;

use ipfix::view::ElementName;
use ipfix::{Field, Fields, List, SubTemplateList, SubTemplates, Template};

use super::piece::Piece;
use super::plan::ROOM;
use super::{Lines, text, value};

impl Lines {
    /// Appends the fields of a record that has lists, or may have, each with a comma before it.
    pub(super) fn fields_with_lists<'a>(
        &mut self,
        out: &mut Vec<u8>,
        template: &Template,
        fields: Fields<'a>,
        sub_templates: SubTemplates<'a>,
    ) {
        // Writing a list may look up, and so replace, other plans.
        let place = self.place_of(template);
        let plan = Arc::clone(&self.plans[place]);
        let (mut times, mut room) = (self.times, [0; ROOM]);
        let mut piece = Piece::new(&mut room);
        plan.write(&mut piece, out, &mut times, fields, |out, field| {
            self.any_value(out, field, sub_templates);
        });
        piece.flush(out);
        self.times = times;
    }

    /// Appends a value that may be a list.
    pub(super) fn any_value<'a>(
        &mut self,
        out: &mut Vec<u8>,
        field: &Field<'a>,
        sub_templates: SubTemplates<'a>,
    ) {
        match sub_templates.list(field) {
            None => value(out, field.value(), field.octets().len()),
            Some(list) => self.list(out, &list, sub_templates),
        }
    }

    fn list(&mut self, out: &mut Vec<u8>, list: &List<'_>, sub_templates: SubTemplates<'_>) {
        out.extend_from_slice(b"{\"semantic\":\"");
        out.extend_from_slice(list.semantic().name().as_bytes());
        out.push(b'"');
        match list {
            List::Basic(list) => {
                out.extend_from_slice(b",\"element\":");
                element(out, ElementName(list.specifier()));
                out.extend_from_slice(b",\"values\":[");
                separated(out, list.values(), |out, value| self.any_value(out, &value, sub_templates));
                out.push(b']');
            }
            List::SubTemplate(part) => {
                out.push(b',');
                self.part(out, part, sub_templates);
            }
            List::SubTemplateMulti(list) => {
                out.extend_from_slice(b",\"lists\":[");
                separated(out, list.parts(), |out, part| {
                    out.push(b'{');
                    self.part(out, &part, sub_templates);
                    out.push(b'}');
                });
                out.push(b']');
            }
        }
        out.push(b'}');
    }

    /// Appends the records of one template, without braces around.
    fn part(&mut self, out: &mut Vec<u8>, part: &SubTemplateList<'_>, sub_templates: SubTemplates<'_>) {
        out.extend_from_slice(b"\"template\":");
        text::unsigned(out, part.template_id().into());
        let Some(template) = part.template() else {
            out.extend_from_slice(b",\"octets\":");
            return text::hex(out, part.octets());
        };
        out.extend_from_slice(b",\"records\":[");
        separated(out, part.records(), |out, record| {
            let start = out.len();
            self.fields_with_lists(out, template, record, sub_templates);
            match out.get_mut(start) {
                Some(comma) => *comma = b'{',
                None => out.push(b'{'),
            }
            out.push(b'}');
        });
        out.push(b']');
    }
}

/// Appends the items as `write` does, with commas between.
fn separated<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

/// Appends an element's name as a string; it holds nothing JSON would have to escape.
fn element(out: &mut Vec<u8>, name: ElementName) {
    use std::io::Write as _;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "\"{name}\"");
}
