//! Where a configuration comes from: the file, and environment variables that stand above it.
//!
//! `COLLECTOR__POOL__HANDLE=flows` is `handle` in `[pool]`: the parts of a name are separated by two underscores, in capitals,
//! with an underscore for each hyphen. An element of an array of tables is named by its number from 0; without one it is
//! the only element (`COLLECTOR__POOL__0__HANDLE`). The text is a TOML value; where it is none, or where the sample
//! has a string there, a string; where the sample has an array, its elements separated by commas.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::de::{DeArray, DeString, DeTable, DeValue, Error};
use toml::{Spanned, Value};

use super::Invalid;

/// Tables within tables that a variable may name.
const MAX_DEPTH: usize = 16;

/// The texts of a configuration. Places count octets from the beginning of the file's text; the variables' texts follow.
#[derive(Debug)]
pub(crate) struct Sources {
    /// What errors call the file.
    pub(super) file: String,
    /// Its text.
    pub(super) text: String,
    pub(super) variables: Vec<Variable>,
}

/// One variable of the environment.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    path: Vec<Step>,
    /// As many spaces as there are octets before it, and `v=VALUE`: so its places are known.
    padded: String,
    /// Where its value begins.
    pub(super) begin: usize,
}

/// A part of the path that a variable names.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    Key(String),
    /// An element of an array of tables, and whether the variable says which.
    Element(usize, bool),
}

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Origin<'a> {
    /// The file's text, and the place in it.
    File(&'a str, Range<usize>),
    /// A variable: its name and value, and the place in that.
    Variable(&'a str, &'a str, Range<usize>),
}

impl Sources {
    pub(super) fn file(name: &str, text: String) -> Self {
        Self { file: name.to_owned(), text, variables: Vec::new() }
    }

    /// Puts those of `variables` above the file whose names begin with `prefix` in capitals and two underscores. `sample`
    /// is a complete configuration: of which type values are.
    pub(super) fn with_environment(
        mut self,
        prefix: &str,
        sample: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let prefix = format!("{}__", prefix.to_uppercase());
        let sample: toml::Table = sample.parse().unwrap_or_default();
        let mut own: Vec<(String, String)> =
            variables.into_iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
        own.sort();
        let mut end = self.text.len() + 1;
        for (name, text) in own {
            let parts: Vec<String> = name[prefix.len()..]
                .split("__")
                .map(|part| part.to_lowercase().replace('_', "-"))
                .take(MAX_DEPTH)
                .collect();
            let (path, like) = steps(&sample, &parts);
            let value = value_text(&text, like);
            let padded = format!("{:end$}v={value}", "");
            let begin = end + 2;
            end = padded.len() + 1;
            self.variables.push(Variable { name, path, padded, begin });
        }
        self
    }

    /// Returns the document that all of it makes, or why there is none.
    pub(super) fn document(&self) -> Result<Spanned<DeTable<'_>>, Vec<Error>> {
        let (mut document, errors) = DeTable::parse_recoverable(&self.text);
        if !errors.is_empty() {
            return Err(errors);
        }
        for variable in &self.variables {
            let mut table = DeTable::parse(&variable.padded).map_err(|error| vec![error])?.into_inner();
            if let Some(value) = table.remove("v") {
                put(document.get_mut(), &variable.path, value);
            }
        }
        Ok(document)
    }

    /// Returns what stands at a place.
    pub(super) fn origin(&self, span: &Range<usize>) -> Origin<'_> {
        let variable = self.variables.iter().rev().find(|variable| variable.begin <= span.start);
        let Some(Variable { name, padded, begin, .. }) = variable else {
            return Origin::File(&self.text, span.clone());
        };
        let text = &padded[*begin..];
        Origin::Variable(name, text, span.start - begin..(span.end - begin).min(text.len()))
    }

    /// Returns the paths of the keys that are other ones than in `former`, or have other values.
    pub(crate) fn changed(&self, former: &Self) -> Vec<String> {
        let (new, old) = (flatten(self), flatten(former));
        let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
        keys.into_iter().filter(|key| new.get(*key) != old.get(*key)).cloned().collect()
    }

    /// Refuses variables that do not say which of several tables they are for.
    pub(super) fn ambiguous(&self, document: &DeTable<'_>) -> impl Iterator<Item = Invalid> {
        self.variables.iter().filter_map(|variable| {
            let (key, several) = several(document, &variable.path)?;
            let message = format!("there are {several}, and {} does not say which", variable.name);
            let note = "put the number of one, from 0, and `__` behind its name";
            Some(Invalid::new(key, message).noting(note))
        })
    }
}

/// Returns every value of a document by its path, as it was written.
fn flatten(sources: &Sources) -> BTreeMap<String, String> {
    fn add(sources: &Sources, path: &str, value: &Spanned<DeValue<'_>>, all: &mut BTreeMap<String, String>) {
        match value.get_ref() {
            DeValue::Table(table) => {
                for (key, value) in table.iter() {
                    add(sources, &format!("{path}.{}", key.get_ref()), value, all);
                }
            }
            DeValue::Array(array) if array.iter().any(|value| value.get_ref().is_table()) => {
                for (index, value) in array.iter().enumerate() {
                    add(sources, &format!("{path}.{index}"), value, all);
                }
            }
            _ => {
                let text = match sources.origin(&value.span()) {
                    Origin::File(text, place) | Origin::Variable(_, text, place) => text[place].to_owned(),
                };
                all.insert(path.trim_start_matches('.').to_owned(), text);
            }
        }
    }
    let mut all = BTreeMap::new();
    for (key, value) in sources.document().iter().flat_map(|document| document.get_ref().iter()) {
        add(sources, key.get_ref(), value, &mut all);
    }
    all
}

/// Returns the path that `parts` name, as the sample has it, and what the sample has there.
fn steps<'a>(sample: &'a toml::Table, parts: &[String]) -> (Vec<Step>, Option<&'a Value>) {
    let mut steps = Vec::new();
    let (mut table, mut found) = (Some(sample), None);
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        steps.push(Step::Key(part.clone()));
        found = table.and_then(|table| table.get(part.as_str()));
        table = found.and_then(Value::as_table);
        let Some(next) = parts.peek() else { break };
        let number = next.parse().ok();
        let elements = found.and_then(Value::as_array);
        if number.is_some() || elements.is_some() {
            steps.push(Step::Element(number.unwrap_or(0), number.is_some()));
            table = elements.and_then(|elements| elements.first()?.as_table());
            found = None;
            if number.is_some() {
                parts.next();
            }
        }
    }
    (steps, found)
}

/// Returns an array that has several tables where `path` does not say which, and how many.
fn several(table: &DeTable<'_>, path: &[Step]) -> Option<(String, usize)> {
    let [Step::Key(part), rest @ ..] = path else { return None };
    let key = key(table, part);
    match (table.get(key.as_str())?.get_ref(), rest) {
        (DeValue::Table(table), rest) => several(table, rest),
        (DeValue::Array(array), [Step::Element(_, false), ..]) if array.len() > 1 => Some((key, array.len())),
        (DeValue::Array(array), [Step::Element(index, _), rest @ ..]) => {
            several(array.get(*index)?.get_ref().as_table()?, rest)
        }
        _ => None,
    }
}

/// Returns the key as the table has it, whatever its case, or as it is.
fn key(table: &DeTable<'_>, part: &str) -> String {
    let same = |key: &&str| key.to_lowercase().replace('_', "-") == part;
    table.keys().map(|key| key.get_ref().as_ref()).find(same).unwrap_or(part).to_owned()
}

/// Puts `value` at `path`, making the tables it needs. Where something else stands in its way, it stays.
fn put<'i>(table: &mut DeTable<'i>, path: &[Step], value: Spanned<DeValue<'i>>) {
    let [Step::Key(part), rest @ ..] = path else { return };
    let span = value.span();
    let key: Spanned<DeString<'_>> = Spanned::new(span.clone(), Cow::Owned(key(table, part)));
    if rest.is_empty() {
        // The key's own place is the variable's from now on.
        table.remove(key.get_ref().as_ref());
        table.insert(key, value);
        return;
    }
    let empty = |array: bool| {
        let value = if array { DeValue::Array(DeArray::new()) } else { DeValue::Table(DeTable::new()) };
        Spanned::new(span.clone(), value)
    };
    let entry = table.entry(key).or_insert_with(|| empty(matches!(rest[0], Step::Element(..))));
    match (entry.get_mut(), rest) {
        (DeValue::Table(table), rest) => put(table, rest, value),
        (DeValue::Array(array), [Step::Element(index, _), rest @ ..]) => {
            if *index == array.len() {
                array.push(empty(false));
            }
            if let Some(DeValue::Table(table)) = array.get_mut(*index).map(Spanned::get_mut) {
                put(table, rest, value);
            }
        }
        _ => {}
    }
}

/// Returns a variable's text as a TOML value.
fn value_text(text: &str, like: Option<&Value>) -> String {
    let is_value = || DeValue::parse(text).is_ok();
    match like {
        Some(Value::String(_)) if !(text.starts_with(['"', '\'', '[', '{']) && is_value()) => quoted(text),
        Some(Value::Array(_)) if !text.starts_with('[') => {
            let elements: Vec<String> = text.split(',').map(|element| quoted(element.trim())).collect();
            format!("[{}]", elements.join(", "))
        }
        _ if is_value() => text.to_owned(),
        _ => quoted(text),
    }
}

/// Returns a basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
