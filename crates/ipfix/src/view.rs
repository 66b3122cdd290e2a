//! Prints messages for people: one line per set of facts, one line per field, stable enough for golden files.
//!
//! ```text
//! message: domain 5, sequence 0, export time 2023-11-14T22:13:20Z, 62 octets
//!   template 256
//!     sourceIPv4Address (8), 4 octets
//!   record 0 of template 256
//!     sourceIPv4Address = 192.0.2.1
//! ```

use std::fmt::{self, Write as _};

use crate::{
    CollectingSession, DecodeError, Field, FieldSpecifier, Header, List, Record, SubTemplateList,
    SubTemplates, Summary, Template, Value, Visitor, Withdrawal,
};

/// Decodes a message in `session` and returns it as text. What it was found to lack (lost records, refused
/// templates) comes last.
///
/// # Errors
/// Fails as [`CollectingSession::decode`] does.
pub fn message(session: &mut CollectingSession, stream: u16, octets: &[u8]) -> Result<String, DecodeError> {
    message_with_summary(session, stream, octets).map(|(text, _)| text)
}

/// As [`message`], with the message's counts.
///
/// # Errors
/// Fails as [`CollectingSession::decode`] does.
pub fn message_with_summary(
    session: &mut CollectingSession,
    stream: u16,
    octets: &[u8],
) -> Result<(String, Summary), DecodeError> {
    let mut printer = Printer(String::new());
    let summary = session.decode(stream, octets, &mut printer)?;
    let mut out = printer.0;
    let found = [
        ("records lost before this message", summary.lost),
        ("records told lost earlier and now found", summary.late),
        ("templates changed without a withdrawal", summary.templates_changed),
        ("templates refused", summary.templates_refused),
        ("withdrawals ignored", summary.withdrawals_ignored),
        ("lists of unknown templates", summary.unknown_sub_templates),
        ("sets with a reserved id skipped", summary.reserved_sets),
        ("restart of the sequence numbers", u32::from(summary.restarted)),
    ];
    for (what, count) in found.into_iter().filter(|(_, count)| *count > 0) {
        put(&mut out, format_args!("  {what}: {count}"));
    }
    Ok((out, summary))
}

/// Shows an element: its name and number, or only `e<PEN>id<N>` where no registry here has it.
#[derive(Clone, Copy, Debug)]
pub struct ElementName(pub FieldSpecifier);

impl fmt::Display for ElementName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FieldSpecifier { pen, id, .. } = self.0;
        match crate::ie::lookup(pen, id) {
            Some(element) => f.write_str(element.name),
            None => write!(f, "e{pen}id{id}"),
        }
    }
}

/// Octets in lower-case hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

struct Printer(String);

impl Visitor for Printer {
    fn message(&mut self, header: &Header) {
        let Header { length, export_time, sequence, domain } = *header;
        let time = Value::Seconds(export_time);
        let line = format_args!(
            "message: domain {domain}, sequence {sequence}, export time {time}, {length} octets"
        );
        put(&mut self.0, line);
    }

    fn template(&mut self, _domain: u32, template: &Template) {
        put(&mut self.0, format_args!("  {}template {}", kind(template.is_options()), template.id()));
        for (at, field) in template.fields().iter().enumerate() {
            let specifier = field.specifier();
            let scope = if at < usize::from(template.scope_fields()) { ", scope" } else { "" };
            let name = ElementName(specifier);
            let number = match specifier.pen {
                0 => format!("{}", specifier.id),
                pen => format!("{pen}/{}", specifier.id),
            };
            if specifier.is_variable() {
                put(&mut self.0, format_args!("    {name} ({number}), variable{scope}"));
            } else {
                put(&mut self.0, format_args!("    {name} ({number}), {} octets{scope}", specifier.length));
            }
        }
    }

    fn withdrawal(&mut self, _domain: u32, withdrawal: Withdrawal) {
        match withdrawal {
            Withdrawal::One { id, options } => {
                put(&mut self.0, format_args!("  withdrawal of {}template {id}", kind(options)));
            }
            Withdrawal::All { options } => {
                put(&mut self.0, format_args!("  withdrawal of all {}templates", kind(options)));
            }
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        let unsure = if record.sequence_certain { "" } else { " or later" };
        let (sequence, template) = (record.sequence, record.template);
        let line = format_args!(
            "  record {sequence}{unsure} of {}template {}",
            kind(template.is_options()),
            template.id()
        );
        put(&mut self.0, line);
        fields(&mut self.0, 4, Some(record.template), record.fields(), record.sub_templates);
    }

    fn no_template(&mut self, _domain: u32, set_id: u16, octets: &[u8]) {
        put(&mut self.0, format_args!("  set {set_id} without a template: {}", Hex(octets)));
    }
}

/// Prints fields, one a line, those of lists deeper.
fn fields<'a>(
    out: &mut String,
    indent: usize,
    template: Option<&Template>,
    fields: impl Iterator<Item = Field<'a>>,
    sub_templates: SubTemplates<'a>,
) {
    for (at, field) in fields.enumerate() {
        let told = template.and_then(|template| template.description(at));
        let name =
            told.map_or_else(|| ElementName(field.specifier()).to_string(), |told| told.name.to_string());
        match sub_templates.list(&field) {
            None => put(out, format_args!("{:indent$}{name} = {}", "", field.value())),
            Some(list) => {
                put(out, format_args!("{:indent$}{name} = {}, {}", "", list.data_type(), list.semantic()));
                self::list(out, indent + 2, &list, sub_templates);
            }
        }
    }
}

fn list(out: &mut String, indent: usize, list: &List<'_>, sub_templates: SubTemplates<'_>) {
    match list {
        List::Basic(list) => fields(out, indent, None, list.values(), sub_templates),
        List::SubTemplate(part) => self::part(out, indent, part, sub_templates),
        List::SubTemplateMulti(list) => {
            list.parts().for_each(|part| self::part(out, indent, &part, sub_templates));
        }
    }
}

fn part(out: &mut String, indent: usize, part: &SubTemplateList<'_>, sub_templates: SubTemplates<'_>) {
    let id = part.template_id();
    if part.template().is_none() {
        put(out, format_args!("{:indent$}template {id}, not known: {}", "", Hex(part.octets())));
    }
    for record in part.records() {
        put(out, format_args!("{:indent$}record of template {id}", ""));
        fields(out, indent + 2, part.template(), record, sub_templates);
    }
}

fn kind(options: bool) -> &'static str {
    if options { "options " } else { "" }
}

fn put(out: &mut String, line: fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{line}");
}
