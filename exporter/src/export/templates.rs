//! The templates of data records: a table that only grows, and the identifiers that its templates have on each stream.
//!
//! Every class of reliability has a stream, and every stream its own group of template identifiers (docs/wire.md, "Streams"). In the
//! group of stream `s`, from `256 + 4096 * s` on, the first identifier is that of the record about what follows (session, class or
//! statistics record); then come the templates of the table by their index, those of records that another version has left in the
//! spool, and the templates of other options records. Stream 0 has no data records; there the places of the table are those of
//! options records that a relay passes on, by a table of their own.

use ipfix::{FieldSpecifier, TemplateRecord};

/// Template identifiers of one group.
const GROUP: u16 = 4096;
/// Where in a group the table begins.
const TABLE: u16 = 1;
/// Where in a group templates of other versions begin.
const FOREIGN: u16 = 3072;
/// Where in a group templates of options records begin.
const OPTIONS: u16 = 3584;

/// Template id of the statistics record; in the group of stream 0.
pub const STATISTICS_RECORD_ID: u16 = ipfix::FIRST_TEMPLATE_ID;

/// What a list (RFC 6313) names whose template its exporter never told. No template has this identifier.
pub const UNTOLD: u16 = u16::MAX;

/// Returns the template id of the session record in the group of `stream`, which is at most 9.
pub const fn session_record_id(stream: u16) -> u16 {
    ipfix::FIRST_TEMPLATE_ID + GROUP * stream
}

/// Returns the template id of the class record in the group of `stream`: no group has both.
pub const fn class_record_id(stream: u16) -> u16 {
    session_record_id(stream)
}

/// Returns the template ids for records of another version in the group of `stream`.
pub const fn foreign_ids(stream: u16) -> std::ops::Range<u16> {
    session_record_id(stream) + FOREIGN..session_record_id(stream) + OPTIONS
}

/// Returns the template ids for options records in the group of `stream`, beside those about what follows.
pub const fn options_ids(stream: u16) -> std::ops::Range<u16> {
    session_record_id(stream) + OPTIONS..session_record_id(stream + 1)
}

/// Returns the options template with these fields (enterprise number, element id, length), the first `scope_fields` of
/// which are scopes.
pub fn options_template(id: u16, fields: &[(u32, u16, u16)], scope_fields: u16) -> TemplateRecord {
    let fields = fields.iter().map(|&(pen, id, length)| FieldSpecifier { pen, id, length });
    TemplateRecord { id, scope_fields, fields: fields.collect() }
}

/// Names a template of a [`Templates`] table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TemplateIndex(u16);

impl TemplateIndex {
    /// Returns its template id in the group of `stream`.
    pub const fn id(self, stream: u16) -> u16 {
        session_record_id(stream) + TABLE + self.0
    }

    /// Returns its place in the table.
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

/// What data records of one kind hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DataTemplate {
    name: Option<&'static str>,
    scope_fields: u16,
    fields: Vec<FieldSpecifier>,
}

/// Where a field is in the encoded records of a template, in octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FieldPlace {
    /// From the record's start.
    pub offset: usize,
    /// Of the field.
    pub length: usize,
}

impl DataTemplate {
    /// Returns how many of the fields are scope; 0 but for options records.
    pub const fn scope_fields(&self) -> u16 {
        self.scope_fields
    }

    /// Returns the fields, in order.
    pub fn fields(&self) -> &[FieldSpecifier] {
        &self.fields
    }

    /// Returns where its records have an IANA element, if they have it at the same place each time.
    pub fn place_of(&self, element: u16) -> Option<FieldPlace> {
        let mut offset = 0;
        for field in &self.fields {
            if field.length == VARIABLE {
                return None;
            }
            let length = usize::from(field.length);
            if (field.pen, field.id) == (0, element) {
                return Some(FieldPlace { offset, length });
            }
            offset += length;
        }
        None
    }
}

/// The length of a field whose records tell it (RFC 7011 section 7).
const VARIABLE: u16 = 65_535;

/// All templates of data records. One that is there stays, at its index.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Templates(Vec<DataTemplate>);

impl Templates {
    /// Templates at most.
    pub const MAX: usize = (FOREIGN - TABLE) as usize;

    /// Appends a template and returns its index; none if the table is full. Rules can name it if it has a name, which others may have, too.
    pub fn add(&mut self, name: Option<&'static str>, fields: Vec<FieldSpecifier>) -> Option<TemplateIndex> {
        self.append(DataTemplate { name, scope_fields: 0, fields })
    }

    /// Appends a template without a name, the first `scope_fields` fields of which are scopes, and returns its index; none if the table
    /// is full.
    pub fn add_unnamed(&mut self, scope_fields: u16, fields: Vec<FieldSpecifier>) -> Option<TemplateIndex> {
        self.append(DataTemplate { name: None, scope_fields, fields })
    }

    fn append(&mut self, template: DataTemplate) -> Option<TemplateIndex> {
        if self.0.len() == Self::MAX {
            return None;
        }
        let index = TemplateIndex(u16::try_from(self.0.len()).ok()?);
        self.0.push(template);
        Some(index)
    }

    /// Takes over what `longer` has beyond these templates, which are its first.
    pub fn follow(&mut self, longer: &Self) {
        let known = self.0.len().min(longer.0.len());
        self.0.extend_from_slice(&longer.0[known..]);
    }

    /// Returns how many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the template at `index`, which must be of this table.
    pub fn get(&self, index: TemplateIndex) -> &DataTemplate {
        &self.0[index.position()]
    }

    /// Returns all indices, in order.
    pub fn indices(&self) -> impl Iterator<Item = TemplateIndex> + use<> {
        #[expect(clippy::cast_possible_truncation, reason = "MAX is below 65536")]
        (0..self.0.len() as u16).map(TemplateIndex)
    }

    /// Returns the templates with this name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = TemplateIndex> {
        self.indices().filter(move |index| self.get(*index).name == Some(name))
    }

    /// Returns the definition of a template in the group of `stream`.
    pub fn record(&self, index: TemplateIndex, stream: u16) -> TemplateRecord {
        let DataTemplate { scope_fields, fields, .. } = self.get(index);
        TemplateRecord { id: index.id(stream), scope_fields: *scope_fields, fields: fields.clone() }
    }

    /// Returns the definitions of all templates in the group of `stream`, in order.
    pub fn records(&self, stream: u16) -> impl Iterator<Item = TemplateRecord> + '_ {
        self.records_from(0, stream)
    }

    /// Returns the definitions in the group of `stream` of all templates but the first `known`, in order.
    pub fn records_from(&self, known: usize, stream: u16) -> impl Iterator<Item = TemplateRecord> + '_ {
        self.indices().skip(known).map(move |index| self.record(index, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Classes;

    const FIELD: FieldSpecifier = FieldSpecifier { pen: 0, id: 1, length: 8 };

    #[test]
    fn a_template_keeps_its_index_and_the_table_its_bound() {
        let mut templates = Templates::default();
        let first = templates.add(Some("first"), vec![FIELD]).unwrap();
        while templates.add(None, vec![FIELD, FIELD]).is_some() {}
        assert_eq!(templates.indices().count(), Templates::MAX);
        assert_eq!(
            (templates.named("first").last(), templates.get(first).fields()),
            (Some(first), &[FIELD][..])
        );
        assert_eq!(templates.record(first, 2).id, 256 + 2 * 4096 + 1);
    }

    #[test]
    fn a_table_that_follows_another_has_its_templates_at_their_indices() {
        let (mut longer, mut follower) = (Templates::default(), Templates::default());
        longer.add(Some("first"), vec![FIELD]).unwrap();
        follower.follow(&longer);
        let options = longer.add_unnamed(1, vec![FIELD, FIELD]).unwrap();
        follower.follow(&longer);
        follower.follow(&longer);
        assert_eq!(follower, longer);
        assert_eq!(follower.records_from(1, 1).collect::<Vec<_>>(), [longer.record(options, 1)]);
        assert!(longer.record(options, 1).is_options());
    }

    #[test]
    fn no_two_templates_of_any_streams_share_an_identifier() {
        let mut templates = Templates::default();
        while templates.add(None, vec![FIELD]).is_some() {}
        let last_stream = Classes::RELIABLE_STREAM + u16::try_from(Classes::MAX).unwrap();
        let mut ids = Vec::new();
        for stream in 0..=last_stream {
            ids.push(session_record_id(stream));
            ids.extend(templates.indices().map(|index| index.id(stream)));
            ids.extend(foreign_ids(stream).chain(options_ids(stream)));
        }
        assert!(ids.iter().all(|id| (ipfix::FIRST_TEMPLATE_ID..65_535).contains(id)), "65535 is the spool's");
        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_field_behind_one_of_variable_length_has_no_place() {
        let mut templates = Templates::default();
        let name = FieldSpecifier { pen: 0, id: 82, length: VARIABLE };
        let vendor = FieldSpecifier { pen: 9, id: 4, length: 2 };
        let protocol = FieldSpecifier { pen: 0, id: 4, length: 1 };
        let index = templates.add(None, vec![vendor, FIELD, protocol, name, FIELD]).unwrap();
        let place = |element| templates.get(index).place_of(element);
        assert_eq!(place(4), Some(FieldPlace { offset: 10, length: 1 }));
        assert_eq!(place(1), Some(FieldPlace { offset: 2, length: 8 }));
        assert_eq!((place(82), place(2)), (None, None));
    }
}
