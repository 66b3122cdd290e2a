//! Flow records as lines of comma-separated values (RFC 4180), a column for each element asked for.
//!
//! A field is empty where the record has no such element, and quoted where it holds a comma or a quote. Control
//! characters of strings from the wire are escaped as in JSON (`\n`, `\u0007`), so that every record is one line.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use intake::Plans;
use ipfix::{Direction, Record, Template, Value, ie};
use serde::Deserialize;

use super::Number;
use crate::json::{self, text};
use crate::metadata::{Key, Metadata, Told};

/// applicationName.
const APPLICATION_NAME: u16 = 96;

/// One column.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Column {
    name: String,
    content: Content,
}

/// What a column shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Content {
    /// The identity of the record (docs/wire.md), where it has one.
    Ledger,
    Epoch,
    Number,
    /// The observation domain, of every record.
    Domain,
    /// `reverse` for the reverse flow of a biflow that was split.
    Direction,
    /// What options records tell (docs/metadata.md).
    Told(Key),
    /// An element; `nth` counts its occurrences in the template from 0.
    Element {
        pen: u32,
        id: u16,
        nth: usize,
    },
}

/// A name that no column can have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{name}` is no information element; a column is an element's name (`octetDeltaCount`), `ePENidID`, `ledger`, `epoch`, \
     `domain`, `number`, `direction`, or what options records tell (`ingressInterfaceName`)"
)]
pub struct ColumnError {
    name: String,
}

impl FromStr for Column {
    type Err = ColumnError;

    fn from_str(name: &str) -> Result<Self, ColumnError> {
        let unknown = || ColumnError { name: name.to_owned() };
        let content = match name {
            "ledger" => Content::Ledger,
            "epoch" => Content::Epoch,
            "number" => Content::Number,
            "domain" => Content::Domain,
            "direction" => Content::Direction,
            _ => element(name).or_else(|| Key::by_name(name).map(Content::Told)).ok_or_else(unknown)?,
        };
        Ok(Self { name: name.to_owned(), content })
    }
}

impl TryFrom<String> for Column {
    type Error = ColumnError;

    fn try_from(name: String) -> Result<Self, ColumnError> {
        name.parse()
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Reads `NAME`, `ePENidID`, and each with `#2`, `#3`, … behind it, as JSON lines call them.
fn element(name: &str) -> Option<Content> {
    let (plain, nth) = match name.split_once('#') {
        Some((plain, nth)) => (plain, nth.parse::<usize>().ok().filter(|&nth| nth >= 2)? - 1),
        None => (name, 0),
    };
    if let Some(element) = ie::by_name(plain) {
        return Some(Content::Element { pen: element.pen, id: element.id, nth });
    }
    let (pen, id) = plain.strip_prefix('e')?.split_once("id")?;
    Some(Content::Element { pen: pen.parse().ok()?, id: id.parse().ok()?, nth })
}

/// Appends the first line of a file.
pub(in crate::output) fn header(out: &mut Vec<u8>, columns: &[Column]) {
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(column.name.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the records of one transport session.
#[derive(Debug)]
pub(super) struct Rows {
    columns: Arc<[Column]>,
    /// Of each template, the column of each of its fields; fields without one at the end are left out.
    plans: Plans<Vec<Option<u16>>>,
    /// The fields of one record as text, in record order, and where each column's is.
    text: Vec<u8>,
    places: Vec<(usize, usize)>,
    /// Where a column asks for it.
    metadata: Option<Box<Metadata>>,
}

impl Rows {
    pub(super) fn new(columns: Arc<[Column]>, plan_octets: usize) -> Self {
        let asks = columns.iter().any(|column| column.content.told().is_some());
        let (plans, metadata) = (Plans::new(plan_octets), asks.then(Box::default));
        Self { columns, plans, text: Vec::new(), places: Vec::new(), metadata }
    }

    /// What options records told, where a column asks for it.
    pub(super) const fn metadata_mut(&mut self) -> &mut Option<Box<Metadata>> {
        &mut self.metadata
    }

    /// Appends one line; an options record has none.
    pub(super) fn record(
        &mut self,
        out: &mut Vec<u8>,
        record: &Record<'_>,
        number: Option<Number>,
        direction: Direction,
    ) {
        if record.template.is_options() {
            if let Some(metadata) = &mut self.metadata {
                metadata.learn(record);
            }
            return;
        }
        let columns = &self.columns;
        let plan = self.plans.of(record.template, |template| compile(columns, template));
        self.text.clear();
        self.places.clear();
        self.places.resize(columns.len(), (0, 0));
        for (field, column) in record.fields().zip(&*plan) {
            if let Some(place) = column.and_then(|column| self.places.get_mut(usize::from(column))) {
                let start = self.text.len();
                value(&mut self.text, field.value(), field.octets().len());
                *place = (start, self.text.len());
            }
        }
        for (at, (column, &(start, end))) in columns.iter().zip(&self.places).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            match (column.content, number) {
                (Content::Element { .. }, _) if start < end => out.extend_from_slice(&self.text[start..end]),
                (Content::Element { .. } | Content::Told(_), _) => {
                    let told = self.metadata.as_mut().zip(column.content.told());
                    let told = told.and_then(|(metadata, key)| metadata.told(key, record));
                    told.into_iter().for_each(|told| append(out, told));
                }
                (Content::Domain, _) => text::unsigned(out, record.domain.into()),
                (Content::Direction, _) if direction == Direction::Reverse => {
                    out.extend_from_slice(b"reverse");
                }
                (Content::Ledger, Some(number)) => text::hex_digits(out, &number.series.ledger.0),
                (Content::Epoch, Some(number)) => text::unsigned(out, number.series.epoch.0.into()),
                (Content::Number, Some(number)) => text::unsigned(out, number.number),
                (Content::Ledger | Content::Epoch | Content::Number, None) | (Content::Direction, _) => {}
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Content {
    /// Returns what options records are asked for: for an element too, if they may have it where the record does not.
    fn told(self) -> Option<Key> {
        match self {
            Self::Told(key) => Some(key),
            Self::Element { pen: 0, id: APPLICATION_NAME, nth: 0 } => Some(Key::ApplicationName),
            _ => None,
        }
    }
}

/// Appends what options records told.
fn append(out: &mut Vec<u8>, told: Told<'_>) {
    let start = out.len();
    match told {
        Told::Count(count) => text::unsigned(out, count),
        Told::Text(text) => string(out, text),
        Told::Source(source) => out.extend_from_slice(source.to_string().as_bytes()),
    }
    quote(out, start);
}

/// Returns the column of each field up to the last that has one, and the octets this takes.
fn compile(columns: &[Column], template: &Template) -> (Vec<Option<u16>>, usize) {
    let fields = template.fields();
    let mut plan = Vec::new();
    for (column, Column { content, .. }) in (0_u16..).zip(columns) {
        let Content::Element { pen, id, nth } = *content else { continue };
        let is_it = |at: &usize| (fields[*at].specifier().pen, fields[*at].specifier().id) == (pen, id);
        let Some(at) = (0..fields.len()).filter(is_it).nth(nth) else { continue };
        if plan.len() <= at {
            plan.resize(at + 1, None);
        }
        plan[at] = Some(column);
    }
    let octets = size_of::<Vec<Option<u16>>>() + plan.len() * size_of::<Option<u16>>();
    (plan, octets)
}

/// Appends a value as in JSON lines, but with this form's quotes.
fn value(out: &mut Vec<u8>, value: Value<'_>, octets: usize) {
    let start = out.len();
    match value {
        Value::String(text) => string(out, text.0),
        value => {
            json::value(out, value, octets);
            // Addresses, times and octets need no quotes here.
            if out[start..].first() == Some(&b'"') {
                out.pop();
                out.remove(start);
            } else if out[start..] == *b"null" {
                out.truncate(start);
            }
        }
    }
    quote(out, start);
}

/// Puts what stands behind `start` into quotes if it needs them (RFC 4180 section 2).
fn quote(out: &mut Vec<u8>, start: usize) {
    let quotes = out[start..].iter().filter(|&&octet| octet == b'"').count();
    if quotes == 0 && !out[start..].contains(&b',') {
        return;
    }
    // From the end, so that nothing is overwritten that is still to be moved.
    let (mut from, mut to) = (out.len(), out.len() + quotes + 2);
    out.resize(to, b'"');
    to -= 1;
    while from > start {
        (from, to) = (from - 1, to - 1);
        out[to] = out[from];
        if out[from] == b'"' {
            to -= 1;
            out[to] = b'"';
        }
    }
    out[start] = b'"';
}

/// Appends text without quotes: invalid UTF-8 becomes U+FFFD, control characters are escaped.
fn string(out: &mut Vec<u8>, octets: &[u8]) {
    for chunk in octets.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(|character: char| character.is_control()) {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            let mut after = rest[at..].chars();
            match after.next() {
                Some('\n') => out.extend_from_slice(b"\\n"),
                Some('\r') => out.extend_from_slice(b"\\r"),
                Some('\t') => out.extend_from_slice(b"\\t"),
                Some(other) => {
                    // Control characters have two octets at most.
                    let code = u16::try_from(u32::from(other)).unwrap_or(0xfffd);
                    out.extend_from_slice(b"\\u");
                    text::hex_digits(out, &code.to_be_bytes());
                }
                None => {}
            }
            rest = after.as_str();
        }
        out.extend_from_slice(rest.as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
