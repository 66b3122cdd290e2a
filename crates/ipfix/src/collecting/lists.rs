//! The check of lists (RFC 6313) within a message: every length nests, every record is whole, and the templates they
//! name are noted as they are at that place of the message.

use std::ops::Range;
use std::sync::Arc;

use super::Summary;
use super::templates::Templates;
use crate::structured::{BasicList, ListSemantic, MAX_DEPTH, split_part, split_semantic, split_u16};
use crate::template::PlanField;
use crate::value::{Kind, ListType};
use crate::{DecodeError, Template};

/// The check of the lists of one data set.
pub(super) struct Lists<'a> {
    templates: &'a Templates,
    domain: u32,
    /// Template of the data set.
    id: u16,
    /// Where the templates named so far are, in the order of their ids, from `first` on.
    named: &'a mut Vec<Arc<Template>>,
    first: usize,
    /// Lists whose template is not known.
    unknown: u32,
}

/// Octets of a list, or of a record in one, and where they end in the message.
#[derive(Clone, Copy)]
struct Part<'a> {
    octets: &'a [u8],
    end: usize,
}

impl<'a> Part<'a> {
    const fn start(&self) -> usize {
        self.end - self.octets.len()
    }

    /// The last octets of this part.
    const fn rest(self, octets: &'a [u8]) -> Self {
        Self { octets, end: self.end }
    }
}

impl<'a> Lists<'a> {
    pub(super) fn new(
        templates: &'a Templates,
        domain: u32,
        id: u16,
        named: &'a mut Vec<Arc<Template>>,
    ) -> Self {
        let first = named.len();
        Self { templates, domain, id, named, first, unknown: 0 }
    }

    /// Counts what is unknown. Returns where the set's templates are.
    pub(super) fn finish(self, summary: &mut Summary) -> Range<usize> {
        summary.unknown_sub_templates = summary.unknown_sub_templates.saturating_add(self.unknown);
        self.first..self.named.len()
    }

    /// Checks the lists of a record whose own length is known to be right. It ends at `end` of the message.
    pub(super) fn check_record(
        &mut self,
        template: &Template,
        octets: &[u8],
        end: usize,
    ) -> Result<(), DecodeError> {
        self.record(template, Part { octets, end }, 0)
    }

    fn record(&mut self, template: &Template, record: Part<'_>, depth: usize) -> Result<(), DecodeError> {
        let mut rest = record.octets;
        for field in template.fields() {
            self.field(field, &mut rest, record.end, depth)?;
        }
        Ok(())
    }

    /// Checks one value, which is whole, and takes it off `rest`, which ends at `end`.
    fn field(
        &mut self,
        field: &PlanField,
        rest: &mut &[u8],
        end: usize,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let start = end - rest.len();
        let value = match field.specifier.length {
            0 => return Ok(()),
            _ => field.specifier.split(rest).ok_or(DecodeError::List { offset: start, id: self.id })?,
        };
        match field.kind {
            Kind::List(list_type) if !value.is_empty() => {
                self.list(list_type, Part { octets: value, end: end - rest.len() }, depth)
            }
            _ => Ok(()),
        }
    }

    fn list(&mut self, list_type: ListType, list: Part<'_>, depth: usize) -> Result<(), DecodeError> {
        if depth >= MAX_DEPTH {
            return Err(DecodeError::ListDepth { offset: list.start(), id: self.id });
        }
        let malformed = DecodeError::List { offset: list.start(), id: self.id };
        let (semantic, body) = split_semantic(list.octets).ok_or(malformed)?;
        match list_type {
            ListType::Basic => self.basic_list(semantic, list.rest(body), depth),
            ListType::SubTemplate => {
                let (id, records) = split_u16(body).ok_or(malformed)?;
                self.records(id, list.rest(records), depth)
            }
            ListType::SubTemplateMulti => self.parts(list.rest(body), depth),
        }
    }

    fn basic_list(
        &mut self,
        semantic: ListSemantic,
        body: Part<'_>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let id = self.id;
        let malformed = |offset: usize| DecodeError::List { offset, id };
        let list = BasicList::parse(semantic, body.octets).ok_or(malformed(body.start()))?;
        let length = usize::from(list.specifier().length);
        let mut rest = list.octets();
        let is_plain = !matches!(list.plan().kind, Kind::List(_));
        if is_plain && !list.specifier().is_variable() {
            let whole = if length == 0 { rest.is_empty() } else { rest.len().is_multiple_of(length) };
            return if whole { Ok(()) } else { Err(malformed(body.end - rest.len())) };
        }
        while !rest.is_empty() {
            if length == 0 {
                return Err(malformed(body.end - rest.len()));
            }
            self.field(list.plan(), &mut rest, body.end, depth + 1)?;
        }
        Ok(())
    }

    fn parts(&mut self, body: Part<'_>, depth: usize) -> Result<(), DecodeError> {
        let mut rest = body.octets;
        while !rest.is_empty() {
            let malformed = DecodeError::List { offset: body.end - rest.len(), id: self.id };
            let (id, octets, behind) = split_part(rest).ok_or(malformed)?;
            self.records(id, Part { octets, end: body.end - behind.len() }, depth)?;
            rest = behind;
        }
        Ok(())
    }

    /// Checks the records of a subTemplateList, or of one part of a subTemplateMultiList.
    fn records(&mut self, id: u16, records: Part<'_>, depth: usize) -> Result<(), DecodeError> {
        let Some(template) = self.note(id) else {
            self.unknown += 1;
            return Ok(());
        };
        let mut rest = records.octets;
        while !rest.is_empty() {
            let start = records.end - rest.len();
            let length = template
                .record_length(rest)
                .map_err(|offset| DecodeError::List { offset: start + offset, id: self.id })?;
            let (record, behind) = rest.split_at(length);
            if template.has_lists() {
                self.record(&template, Part { octets: record, end: start + length }, depth + 1)?;
            }
            rest = behind;
        }
        Ok(())
    }

    /// Returns the living template with this id, and notes it for who reads the set.
    fn note(&mut self, id: u16) -> Option<Arc<Template>> {
        match self.named[self.first..].binary_search_by_key(&id, |template| template.id()) {
            Ok(at) => Some(Arc::clone(&self.named[self.first + at])),
            Err(at) => {
                let template = self.templates.get(self.domain, id)?;
                self.named.insert(self.first + at, Arc::clone(template));
                Some(Arc::clone(template))
            }
        }
    }
}
