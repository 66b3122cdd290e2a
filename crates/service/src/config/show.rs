//! `config show`: every key in force, and where its value comes from.

use std::fmt::Write as _;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::sources::{Origin, Sources};

/// Where the comments with origins begin.
const COLUMN: usize = 40;

/// A table to be shown, and the one of the sample that has its defaults.
struct Section<'a> {
    /// Its name as in TOML, `pool` or `output.flows`; empty for the keys before the first table.
    name: String,
    is_element: bool,
    table: &'a DeTable<'a>,
    sample: Option<&'a DeTable<'a>>,
}

impl Sources {
    /// Returns the configuration as TOML: what is set, and the defaults of the other keys, which are those of `sample` but
    /// for the keys (`pool.key-file`) and tables (`output`) in `without_default`. With `origin`, a comment behind
    /// each value tells its file and line, its environment variable, or `default`.
    pub(crate) fn show(&self, sample: &str, without_default: &[&str], origin: bool) -> String {
        // It was read before.
        let (Ok(document), Ok(sample_document)) = (self.document(), DeTable::parse(sample)) else {
            return String::new();
        };
        let mut sections = Vec::new();
        let root = Section {
            name: String::new(),
            is_element: false,
            table: document.get_ref(),
            sample: Some(sample_document.get_ref()),
        };
        collect(root, without_default, &mut sections);
        let mut text = String::new();
        for section in &sections {
            self.show_section(section, sample, without_default, origin, &mut text);
        }
        text
    }

    fn show_section(
        &self,
        section: &Section<'_>,
        sample: &str,
        without_default: &[&str],
        origin: bool,
        text: &mut String,
    ) {
        let Section { name, is_element, table, sample: defaults } = section;
        let mut lines: Vec<(usize, String, String)> = Vec::new();
        for (key, value) in table.iter().filter(|(_, value)| !is_section(value)) {
            let (value_text, from, place) = self.value(&value.span());
            lines.push((place, format!("{} = {value_text}", key.get_ref()), from));
        }
        for (key, value) in defaults.iter().flat_map(|defaults| defaults.iter()) {
            let key = key.get_ref().as_ref();
            let path = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
            if !is_section(value) && !table.contains_key(key) && !is_within(&path, without_default) {
                let span = value.span();
                lines.push((
                    usize::MAX / 2 + span.start,
                    format!("{key} = {}", one_line(&sample[span])),
                    "default".to_owned(),
                ));
            }
        }
        lines.sort();
        // What has tables alone needs no header.
        if !name.is_empty() && (!lines.is_empty() || *is_element || table.is_empty()) {
            let header = if *is_element { format!("[[{name}]]") } else { format!("[{name}]") };
            let _ = writeln!(text, "{}{header}", if text.is_empty() { "" } else { "\n" });
        }
        for (_, line, from) in lines {
            let shown = if origin { format!("{line:<COLUMN$} # {from}") } else { line };
            let _ = writeln!(text, "{shown}");
        }
    }

    /// Returns a value as it was written, where, and a number in the order of the sources.
    fn value(&self, span: &Range<usize>) -> (String, String, usize) {
        match self.origin(span) {
            Origin::File(text, place) => {
                let line = text[..place.start].matches('\n').count() + 1;
                (one_line(&text[place]), format!("{}:{line}", self.file), span.start)
            }
            Origin::Variable(name, text, place) => (text[place].to_owned(), name.to_owned(), span.start),
        }
    }
}

/// Collects a table and those within it.
fn collect<'a>(section: Section<'a>, without_default: &[&str], sections: &mut Vec<Section<'a>>) {
    let Section { name, table, sample, .. } = section;
    let path = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    let mut inner: Vec<(usize, Section<'a>)> = Vec::new();
    for (key, value) in table.iter().filter(|(_, value)| is_section(value)) {
        let sample = sample.and_then(|sample| sample.get(key.get_ref().as_ref()));
        for (element, is_element) in tables(value) {
            let defaults = sample.and_then(|sample| tables(sample).first().map(|(table, _)| *table));
            let name = path(key.get_ref());
            inner.push((value.span().start, Section { name, is_element, table: element, sample: defaults }));
        }
    }
    static EMPTY: std::sync::LazyLock<DeTable<'static>> = std::sync::LazyLock::new(DeTable::new);
    for (key, value) in sample.iter().flat_map(|sample| sample.iter()) {
        let name = path(key.get_ref());
        let shown =
            matches!(value.get_ref(), DeValue::Table(_)) && !table.contains_key(key.get_ref().as_ref());
        if let (true, false, Some(defaults)) =
            (shown, is_within(&name, without_default), value.get_ref().as_table())
        {
            let order = usize::MAX / 2 + value.span().start;
            inner.push((order, Section { name, is_element: false, table: &EMPTY, sample: Some(defaults) }));
        }
    }
    inner.sort_by_key(|(order, _)| *order);
    sections.push(Section { name, ..section });
    for (_, section) in inner {
        collect(section, without_default, sections);
    }
}

/// Whether a path is one of these, or within one.
fn is_within(path: &str, paths: &[&str]) -> bool {
    let within = |rest: &str| rest.is_empty() || rest.starts_with('.');
    paths.iter().any(|outer| path.strip_prefix(outer).is_some_and(within))
}

/// Whether a value is shown as a table or tables of its own.
fn is_section(value: &Spanned<DeValue<'_>>) -> bool {
    !tables(value).is_empty()
}

/// Returns the table, or those of an array of tables, with whether it is one.
fn tables<'a>(value: &'a Spanned<DeValue<'a>>) -> Vec<(&'a DeTable<'a>, bool)> {
    match value.get_ref() {
        DeValue::Table(table) => vec![(table, false)],
        DeValue::Array(array) => {
            array.iter().filter_map(|value| Some((value.get_ref().as_table()?, true))).collect()
        }
        _ => Vec::new(),
    }
}

/// Joins the lines of an array.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    lines.collect::<Vec<_>>().join(" ")
}
