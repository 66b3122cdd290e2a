//! How a configuration error is shown: file, line, column, the line with a caret, and what would be right.

use std::fmt::{self, Write as _};
use std::io;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::Invalid;
use super::suggest::nearest;

/// A configuration file that was refused. `Display` is the whole report, several lines without a last line break.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    file: String,
    message: String,
    place: Option<Box<Place>>,
    /// What stands beside the caret.
    label: String,
    notes: Vec<String>,
}

/// Where in the file; line and column count from 1, in characters.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    line: usize,
    column: usize,
    source: String,
    width: usize,
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// Adds a line below the report.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn unreadable(file: &str, error: &io::Error) -> Self {
        Self {
            file: file.to_owned(),
            message: format!("the configuration file cannot be read: {error}"),
            place: None,
            label: String::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn from_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map(|span| Box::new(Place::new(text, &span)));
        let mut lines = error.message().lines();
        let first = lines.next().unwrap_or_default();
        let unknown = Unknown::parse(first);
        let mut report = Self {
            file: file.to_owned(),
            message: unknown.as_ref().map_or_else(|| first.to_owned(), Unknown::message),
            place,
            label: String::new(),
            notes: lines.map(str::to_owned).collect(),
        };
        if let Some(unknown) = unknown {
            if let Some(nearest) = nearest(unknown.word, unknown.known.iter().copied()) {
                report.label = format!("did you mean `{nearest}`?");
            }
            report.notes.push(unknown.note());
        } else if first == "invalid socket address syntax" {
            report
                .notes
                .push("expected address and port, such as `127.0.0.1:9380` or `[::1]:9380`".to_owned());
        }
        report
    }

    pub(super) fn invalid(file: &str, text: &str, invalid: Invalid) -> Self {
        let Invalid { key, message, label, notes } = invalid;
        Self {
            file: file.to_owned(),
            message: format!("`{key}`: {message}"),
            place: span_of(text, &key).map(|span| Box::new(Place::new(text, &span))),
            label,
            notes,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, message, place, label, notes } = self;
        f.write_str("error: ")?;
        // A value quoted in the message may hold control characters, by way of TOML's escapes.
        for c in message.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        let Some(Place { line, column, source, width }) = place.as_deref() else {
            write!(f, "\n --> {file}")?;
            return notes.iter().try_for_each(|note| write!(f, "\n  = {note}"));
        };
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        write!(f, "\n{margin}--> {file}:{line}:{column}")?;
        write!(f, "\n{margin} |")?;
        write!(f, "\n{number} | {source}")?;
        let caret = format!("{}{} {label}", " ".repeat(column - 1), "^".repeat(*width));
        write!(f, "\n{margin} | {}", caret.trim_end())?;
        notes.iter().try_for_each(|note| write!(f, "\n{margin} = {note}"))
    }
}

impl Place {
    /// The first line of `span`; the caret stays within that line.
    fn new(text: &str, span: &Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let end = floor_char_boundary(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let source = text[line_start..line_end].trim_end_matches('\r');
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            // Tabs would push the caret aside, other control characters would reach the terminal.
            source: source.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
            width: text[start..end.min(line_end)].chars().count().max(1),
        }
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Serde's two messages about a word it does not know, taken apart:
/// ``unknown field `a`, expected one of `b`, `c` ``.
struct Unknown<'a> {
    kind: &'static str,
    word: &'a str,
    known: Vec<&'a str>,
}

impl<'a> Unknown<'a> {
    fn parse(message: &'a str) -> Option<Self> {
        let (kind, rest) = match message.strip_prefix("unknown field ") {
            Some(rest) => ("key", rest),
            None => ("value", message.strip_prefix("unknown variant ")?),
        };
        let (word, rest) = rest.split_once(", ")?;
        // Every second piece between back quotes is a word.
        let known = rest.split('`').skip(1).step_by(2).collect();
        Some(Self { kind, word: word.trim_matches('`'), known })
    }

    fn message(&self) -> String {
        format!("unknown {} `{}`", self.kind, self.word)
    }

    fn note(&self) -> String {
        if self.known.is_empty() {
            return format!("no {} is valid here", self.kind);
        }
        let words: Vec<String> = self.known.iter().map(|word| format!("`{word}`")).collect();
        format!("valid {}s: {}", self.kind, words.join(", "))
    }
}

/// The place of the key at the dotted `path`, or of the innermost part of it that the file has.
fn span_of(text: &str, path: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let mut span = None;
    let mut table = Some(document.get_ref());
    let mut array = None;
    for part in path.split('.') {
        let (place, value) = if let Some(table) = table {
            let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == part) else { break };
            (key.span(), value)
        } else if let Some(array) = array {
            let array: &toml::de::DeArray<'_> = array;
            let Some(value) = part.parse().ok().and_then(|at: usize| array.get(at)) else { break };
            (value.span(), value)
        } else {
            break;
        };
        span = Some(place);
        table = value.get_ref().as_table();
        array = match value.get_ref() {
            DeValue::Array(array) => Some(array),
            _ => None,
        };
    }
    span
}
