//! How a configuration error is shown: file, line, column, the line with a caret, and what would be right.

use std::fmt::{self, Write as _};
use std::io;

use super::Invalid;
use super::sources::Origin;
use super::suggest::nearest;

/// A configuration that was refused. `Display` is the whole report of everything found wrong, without a last line break.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    file: String,
    reports: Vec<Report>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Report {
    message: String,
    place: Option<Box<Place>>,
    /// What stands beside the caret.
    label: String,
    notes: Vec<String>,
}

/// Where in the file, or in an environment variable; line and column count from 1, in characters.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    variable: Option<String>,
    line: usize,
    column: usize,
    source: String,
    width: usize,
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    pub(super) fn new(file: &str, reports: Vec<Report>) -> Self {
        Self { file: file.to_owned(), reports }
    }

    /// Returns what is wrong in a line each, for a log.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.reports.iter().map(|report| {
            let Report { message, place, label, .. } = report;
            let place = match place.as_deref() {
                Some(Place { variable: Some(variable), .. }) => variable.clone(),
                Some(Place { line, column, .. }) => format!("{}:{line}:{column}", self.file),
                None => self.file.clone(),
            };
            let label = if label.is_empty() { String::new() } else { format!(", {label}") };
            format!("{place}: {message}{label}")
        })
    }

    /// Adds a line below the last report.
    pub(crate) fn note(&mut self, note: String) {
        self.reports.last_mut().into_iter().for_each(|report| report.notes.push(note.clone()));
    }

    pub(super) fn unreadable(file: &str, error: &io::Error) -> Self {
        let message = format!("the configuration file cannot be read: {error}");
        Self::new(file, vec![Report { message, ..Report::default() }])
    }
}

impl Report {
    pub(super) fn of(error: &toml::de::Error, origin: Option<Origin<'_>>) -> Self {
        let mut lines = error.message().lines();
        let first = lines.next().unwrap_or_default();
        let unknown = Unknown::parse(first);
        let mut report = Self {
            message: unknown.as_ref().map_or_else(|| first.to_owned(), Unknown::message),
            place: origin.map(|origin| Box::new(Place::new(&origin))),
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

    pub(super) fn invalid(origin: Option<Origin<'_>>, invalid: Invalid) -> Self {
        let Invalid { key, message, label, notes } = invalid;
        let place = origin.map(|origin| Box::new(Place::new(&origin)));
        Self { message: format!("`{key}`: {message}"), place, label, notes }
    }

    fn write(&self, file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, place, label, notes } = self;
        f.write_str("error: ")?;
        // A value quoted in the message may hold control characters, by way of TOML's escapes.
        for c in message.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        let Some(Place { variable, line, column, source, width }) = place.as_deref() else {
            write!(f, "\n --> {file}")?;
            return notes.iter().try_for_each(|note| write!(f, "\n  = {note}"));
        };
        let number = if variable.is_some() { String::new() } else { line.to_string() };
        let margin = " ".repeat(number.len());
        match variable {
            Some(variable) => write!(f, "\n--> environment variable {variable}")?,
            None => write!(f, "\n{margin}--> {file}:{line}:{column}")?,
        }
        write!(f, "\n{margin} |")?;
        write!(f, "\n{number} | {source}")?;
        let caret = format!("{}{} {label}", " ".repeat(column - 1), "^".repeat(*width));
        write!(f, "\n{margin} | {}", caret.trim_end())?;
        notes.iter().try_for_each(|note| write!(f, "\n{margin} = {note}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reports.iter().enumerate().try_for_each(|(index, report)| {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            report.write(&self.file, f)
        })
    }
}

impl Place {
    /// The first line of the place; the caret stays within that line.
    fn new(origin: &Origin<'_>) -> Self {
        let (variable, text, span) = match origin {
            Origin::File(text, span) => (None, *text, span),
            Origin::Variable(name, text, span) => (Some((*name).to_owned()), *text, span),
        };
        let start = floor_char_boundary(text, span.start);
        let end = floor_char_boundary(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let source = text[line_start..line_end].trim_end_matches('\r');
        Self {
            variable,
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
