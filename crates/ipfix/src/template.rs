//! Template records, and the decode plan a template compiles to (RFC 7011 section 3.4).

use std::sync::Arc;

use crate::ie::{self, ElementDescription};
use crate::value::Kind;
use crate::{DecodeError, FIRST_TEMPLATE_ID, InformationElement, VARIABLE};

/// One field of a template: which element, and how many octets (RFC 7011 section 3.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FieldSpecifier {
    /// Private Enterprise Number; 0 for IANA's elements.
    pub pen: u32,
    /// Element identifier, 15 bits.
    pub id: u16,
    /// Octets of the field in each record; 65535 for variable length.
    pub length: u16,
}

impl FieldSpecifier {
    /// Returns the specifier of an IANA element.
    #[must_use]
    pub const fn iana(id: u16, length: u16) -> Self {
        Self { pen: 0, id, length }
    }

    /// Whether each record tells this field's length itself.
    #[must_use]
    pub const fn is_variable(&self) -> bool {
        self.length == VARIABLE
    }

    /// Octets the specifier takes in a template record.
    pub(crate) const fn wire_length(&self) -> usize {
        if self.pen == 0 { 4 } else { 8 }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let enterprise_bit = if self.pen == 0 { 0 } else { 0x8000 };
        out.extend((self.id | enterprise_bit).to_be_bytes());
        out.extend(self.length.to_be_bytes());
        if self.pen != 0 {
            out.extend(self.pen.to_be_bytes());
        }
    }
}

/// A Template Record (RFC 7011 section 3.4.1) or Options Template Record (section 3.4.2).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct TemplateRecord {
    /// Template ID, at least 256.
    pub id: u16,
    /// How many of the fields, from the first, are scope; 0 for a data template.
    pub scope_fields: u16,
    /// The fields in record order.
    pub fields: Vec<FieldSpecifier>,
}

/// Why a template must not be exported.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTemplate {
    /// The Template ID is below 256.
    #[error("template id {id} is below 256")]
    Id {
        /// The id given.
        id: u16,
    },
    /// There is no field, or there are more than a record can tell.
    #[error("{fields} fields in a template")]
    FieldCount {
        /// Number of fields given.
        fields: usize,
    },
    /// There are more scope fields than fields.
    #[error("{scope_fields} scope fields in a template of {fields} fields")]
    ScopeFieldCount {
        /// Scope fields given.
        scope_fields: u16,
        /// Number of fields given.
        fields: usize,
    },
    /// An element identifier does not fit in 15 bits.
    #[error("element id {id} is above 32767")]
    ElementId {
        /// The id given.
        id: u16,
    },
    /// Records would have no octets, or more than a message can hold.
    #[error("records of at least {octets} octets")]
    RecordLength {
        /// The records' smallest length.
        octets: usize,
    },
}

impl TemplateRecord {
    /// Whether this is an Options Template Record.
    #[must_use]
    pub const fn is_options(&self) -> bool {
        self.scope_fields > 0
    }

    /// Appends the encoded record (without a set header).
    #[expect(clippy::cast_possible_truncation, reason = "`validate` bounds the number of fields")]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.id.to_be_bytes());
        out.extend((self.fields.len() as u16).to_be_bytes());
        if self.is_options() {
            out.extend(self.scope_fields.to_be_bytes());
        }
        for field in &self.fields {
            field.encode(out);
        }
    }

    /// Octets `encode` appends.
    #[must_use]
    pub fn wire_length(&self) -> usize {
        let fields: usize = self.fields.iter().map(FieldSpecifier::wire_length).sum();
        fields + if self.is_options() { 6 } else { 4 }
    }

    /// Checks the rules of RFC 7011 section 3.4 on a template to be exported.
    ///
    /// # Errors
    /// Fails if the id is below 256, a count is impossible, or records would be empty or too long for a message.
    pub fn validate(&self) -> Result<(), InvalidTemplate> {
        let fields = self.fields.len();
        if self.id < FIRST_TEMPLATE_ID {
            return Err(InvalidTemplate::Id { id: self.id });
        }
        if fields == 0 || u16::try_from(fields).is_err() {
            return Err(InvalidTemplate::FieldCount { fields });
        }
        if usize::from(self.scope_fields) > fields {
            return Err(InvalidTemplate::ScopeFieldCount { scope_fields: self.scope_fields, fields });
        }
        if let Some(field) = self.fields.iter().find(|field| field.id > 0x7fff) {
            return Err(InvalidTemplate::ElementId { id: field.id });
        }
        let octets = self.fields.iter().map(|field| shortest(field.length)).sum();
        if octets == 0 || octets > MAX_RECORD {
            return Err(InvalidTemplate::RecordLength { octets });
        }
        Ok(())
    }

    /// Decodes the record at the start of `octets`, which are the rest of a set and start at `offset` of the
    /// message. Returns it with its length. A withdrawal is a record without fields.
    pub(crate) fn decode(octets: &[u8], options: bool, offset: usize) -> Result<(Self, usize), DecodeError> {
        let mut reader = Reader { octets, at: 0 };
        let truncated = |at: usize, id: u16| DecodeError::TemplateTruncated { offset: offset + at, id };
        let id = reader.u16().ok_or_else(|| truncated(0, 0))?;
        let count = reader.u16().ok_or_else(|| truncated(0, id))?;
        if count == 0 {
            return Ok((Self { id, scope_fields: 0, fields: Vec::new() }, reader.at));
        }
        if id < FIRST_TEMPLATE_ID {
            return Err(DecodeError::TemplateId { offset, id });
        }
        let mut scope_fields = 0;
        if options {
            scope_fields = reader.u16().ok_or_else(|| truncated(4, id))?;
            if scope_fields == 0 || scope_fields > count {
                return Err(DecodeError::ScopeFieldCount { offset: offset + 4, scope_fields, fields: count });
            }
        }
        // The capacity is what the octets can hold, not what the record claims.
        let mut fields = Vec::with_capacity(usize::from(count).min(octets.len() / 4));
        for _ in 0..count {
            let at = reader.at;
            fields.push(reader.specifier().ok_or_else(|| truncated(at, id))?);
        }
        Ok((Self { id, scope_fields, fields }, reader.at))
    }
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u16(&mut self) -> Option<u16> {
        let octets = self.octets.get(self.at..)?.first_chunk::<2>()?;
        self.at += 2;
        Some(u16::from_be_bytes(*octets))
    }

    fn specifier(&mut self) -> Option<FieldSpecifier> {
        let id = self.u16()?;
        let length = self.u16()?;
        let mut pen = 0;
        if id & 0x8000 != 0 {
            pen = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
        }
        Some(FieldSpecifier { pen, id: id & 0x7fff, length })
    }
}

/// The longest record: a message of 65535 octets less its header and a set header.
pub(crate) const MAX_RECORD: usize = 65535 - 16 - 4;

/// Octets a field of this specified length takes at least.
fn shortest(length: u16) -> usize {
    if length == VARIABLE { 1 } else { usize::from(length) }
}

/// A field of a compiled template: the specifier, with its element and the way to read it resolved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PlanField {
    pub(crate) specifier: FieldSpecifier,
    pub(crate) kind: Kind,
    /// Where the field is in a record, counted from the end of the last variable field before it
    /// (`anchor`), or from the record's start.
    pub(crate) offset: u32,
    pub(crate) element: Option<&'static InformationElement>,
}

impl PlanField {
    /// The field's specifier as the exporter sent it.
    #[must_use]
    pub const fn specifier(&self) -> FieldSpecifier {
        self.specifier
    }

    /// The element, if a registry here has it.
    #[must_use]
    pub const fn element(&self) -> Option<&'static InformationElement> {
        self.element
    }
}

/// A template, compiled once to the plan by which its records are decoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    id: u16,
    scope_fields: u16,
    serial: u64,
    shortest: usize,
    /// Fields before the first of variable length: their offsets hold in every record.
    fixed: usize,
    fields: Box<[PlanField]>,
    /// Whether any field is a list (RFC 6313).
    lists: bool,
    /// What the exporter told of elements that no registry here has, by their places among the fields.
    described: Box<[(usize, Arc<ElementDescription>)]>,
}

impl Template {
    /// Compiles `record`. `serial` tells this definition from all others of its session.
    pub(crate) fn compile(record: &TemplateRecord, serial: u64) -> Self {
        Self::compile_with(record, serial, |_, _| None)
    }

    /// As [`compile`](Self::compile), with what `describe` knows of elements that no registry here has.
    pub(crate) fn compile_with(
        record: &TemplateRecord,
        serial: u64,
        describe: impl Fn(u32, u16) -> Option<Arc<ElementDescription>>,
    ) -> Self {
        let mut described = Vec::new();
        let mut offset = 0;
        let mut fields = Vec::with_capacity(record.fields.len());
        for &specifier in &record.fields {
            let element = ie::lookup(specifier.pen, specifier.id);
            let description = if element.is_none() { describe(specifier.pen, specifier.id) } else { None };
            let data_type = element.map(|element| element.data_type);
            let told = description.as_ref().map(|description| description.data_type);
            let kind = Kind::of(data_type.or(told), specifier.length);
            described.extend(description.map(|description| (fields.len(), description)));
            fields.push(PlanField { specifier, kind, offset, element });
            offset = if specifier.is_variable() { 0 } else { offset + u32::from(specifier.length) };
        }
        Self {
            id: record.id,
            scope_fields: record.scope_fields,
            serial,
            shortest: record.fields.iter().map(|field| shortest(field.length)).sum(),
            fixed: fields.iter().position(|field| field.specifier.is_variable()).unwrap_or(fields.len()),
            lists: fields.iter().any(|field| matches!(field.kind, Kind::List(_))),
            fields: fields.into(),
            described: described.into(),
        }
    }

    /// Template ID.
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.id
    }

    /// Number of scope fields, which come first; 0 for a data template.
    #[must_use]
    pub const fn scope_fields(&self) -> u16 {
        self.scope_fields
    }

    /// Whether this is an options template.
    #[must_use]
    pub const fn is_options(&self) -> bool {
        self.scope_fields > 0
    }

    /// A number no other definition in this session has had: a key for what a consumer derives from a template.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// The fields in record order.
    #[must_use]
    pub fn fields(&self) -> &[PlanField] {
        &self.fields
    }

    /// Octets of the shortest record.
    #[must_use]
    pub const fn shortest_record(&self) -> usize {
        self.shortest
    }

    /// Whether records differ in length.
    #[must_use]
    pub const fn is_variable(&self) -> bool {
        self.fixed < self.fields.len()
    }

    /// Whether records have lists (RFC 6313), which [`Record::sub_templates`](crate::Record::sub_templates) reads.
    #[must_use]
    pub const fn has_lists(&self) -> bool {
        self.lists
    }

    /// Returns what the exporter told of the element at this place, if no registry here has it (RFC 5610).
    #[must_use]
    pub fn description(&self, index: usize) -> Option<&ElementDescription> {
        let at = self.described.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(&self.described[at].1)
    }

    pub(crate) fn described(&self) -> &[(usize, Arc<ElementDescription>)] {
        &self.described
    }

    /// Whether a description of any of its elements would change this template.
    pub(crate) fn has_unknown_elements(&self) -> bool {
        self.fields.iter().any(|field| field.element.is_none() && field.specifier.pen != 0)
    }

    /// Number of leading fields whose place is the same in every record.
    pub(crate) const fn fixed_fields(&self) -> usize {
        self.fixed
    }

    /// Returns the place of the first field with this element, for [`Record::field`](crate::Record::field).
    #[must_use]
    pub fn position(&self, pen: u32, id: u16) -> Option<usize> {
        self.fields.iter().position(|field| field.specifier.pen == pen && field.specifier.id == id)
    }

    /// Returns the record this template was made of.
    #[must_use]
    pub fn to_record(&self) -> TemplateRecord {
        let fields = self.fields.iter().map(|field| field.specifier).collect();
        TemplateRecord { id: self.id, scope_fields: self.scope_fields, fields }
    }

    /// Whether this template is `record`, in all but the serial.
    pub(crate) fn is(&self, record: &TemplateRecord) -> bool {
        self.scope_fields == record.scope_fields
            && self.fields.len() == record.fields.len()
            && self.fields.iter().zip(&record.fields).all(|(field, specifier)| field.specifier == *specifier)
    }

    /// Octets this template holds in memory, about.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.fields) + size_of_val(&*self.described)
    }

    /// Whether `octets` are exactly one record.
    pub(crate) fn is_one_record(&self, octets: &[u8]) -> bool {
        if self.is_variable() {
            self.record_length(octets) == Ok(octets.len())
        } else {
            octets.len() == self.shortest
        }
    }

    /// Returns the length of the record at the start of `octets`, or where in them a field does not fit.
    #[inline]
    pub(crate) fn record_length(&self, octets: &[u8]) -> Result<usize, usize> {
        let mut at = 0;
        for field in &self.fields {
            let start = at;
            let length = match field.specifier.length {
                VARIABLE => {
                    let (prefix, length) = variable_length(&octets[at..]).ok_or(start)?;
                    at += prefix;
                    length
                }
                length => usize::from(length),
            };
            at += length;
            if at > octets.len() {
                return Err(start);
            }
        }
        Ok(at)
    }
}

/// Returns the octets of the length prefix at the start of `octets`, and the length it tells
/// (RFC 7011 section 7). The 3-octet form may carry a length below 255.
#[inline]
pub(crate) fn variable_length(octets: &[u8]) -> Option<(usize, usize)> {
    match *octets {
        [255, high, low, ..] => Some((3, usize::from(u16::from_be_bytes([high, low])))),
        [255, ..] | [] => None,
        [length, ..] => Some((1, usize::from(length))),
    }
}
