//! The status page of a daemon: one HTML page made by the daemon, with everything in it.
//!
//! A daemon answers a request for its page ([`ApiRequest::is_page`]) with a [`Page`] of its present state
//! ([`ApiRequest::show`]), from the same loop and queue as its JSON API. The page needs no JavaScript; where there is some it
//! asks for the page again every 2 s. It loads nothing, from this host or others, and its Content-Security-Policy lets it load
//! nothing. Every text is escaped as it is added, and a page is at most [`MAX_OCTETS`] long, whatever there is to tell.
//!
//! [`ApiRequest::is_page`]: crate::ApiRequest::is_page
//! [`ApiRequest::show`]: crate::ApiRequest::show

mod chart;
mod html;
mod table;
pub mod text;

use html::{LONGEST_CODE, escape_beginning, escaped};

pub(crate) use html::is_hidden;

pub use chart::History;
pub use table::{Cell, Column, Mark, Table};

/// Octets of a page at most. What does not fit is left out of the tables.
pub const MAX_OCTETS: usize = 60_000;

/// What a browser may do with the page: run these two texts, told by their hashes, and ask the daemon again.
pub(crate) const SECURITY_POLICY: &str = concat!(
    "default-src 'none'; style-src 'sha256-",
    "Fg2JC3VtruV2HhrwlegV56Spx47Q4JqTt3+VUzDjHFo=",
    "'; script-src 'sha256-",
    "BvnLi1U8nWnvGA9NE3R18hcYJR/wrBjUvhZGRUac2Os=",
    "'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
);

/// Octets of a fact that are shown as large as others.
const LONG_FACT: usize = 14;
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("refresh.js");

/// One status page.
#[derive(Debug)]
pub struct Page {
    daemon: String,
    name: String,
    time: String,
    /// As HTML, and as the beginning of the title.
    state: (String, String),
    sections: Vec<Section>,
}

/// A part of a page with a heading.
#[derive(Debug)]
pub struct Section {
    id: &'static str,
    heading: &'static str,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Html(String),
    Table(Table),
}

impl Page {
    /// Returns a page without sections: of which kind of daemon it is ("IPFIX collector"), what tells this one from others of its
    /// kind (an address), and when it was made ([`time_text`](crate::time_text)).
    pub fn new(daemon: &str, name: &str, time: &str) -> Self {
        let (daemon, name, time) = (escaped(daemon), escaped(name), escaped(time));
        Self { daemon, name, time, state: (String::new(), String::new()), sections: Vec::new() }
    }

    /// Says how the daemon is, in a few words.
    pub fn state(&mut self, mark: Mark, words: &str) {
        self.state = (mark.html(words), format!("{} – ", escaped(words)));
    }

    /// Adds a section. `id` is a word of lower-case letters that no other section has; links lead there.
    pub fn section(&mut self, id: &'static str, heading: &'static str) -> &mut Section {
        self.sections.push(Section { id, heading, parts: Vec::new() });
        let last = self.sections.len() - 1;
        &mut self.sections[last]
    }

    /// Returns the page as HTML.
    pub fn html(&self) -> String {
        let mut head = String::new();
        self.head(&mut head);
        let tail = format!("{TAIL_BEFORE_SCRIPT}<script>{SCRIPT}</script></body></html>\n");
        let fixed = head.len() + tail.len() + self.sections.iter().map(Section::fixed).sum::<usize>();
        let room = self.share(MAX_OCTETS.saturating_sub(fixed));
        let mut page = head;
        for section in &self.sections {
            section.render(&mut page, room);
        }
        page.push_str(&tail);
        page
    }

    /// Returns how long one table may be, so that all together take no more than `room`. What a short one leaves is for the others.
    fn share(&self, mut room: usize) -> usize {
        let tables = self.sections.iter().flat_map(|section| &section.parts).filter_map(|part| match part {
            Part::Html(_) => None,
            Part::Table(table) => Some(table.octets()),
        });
        let mut tables: Vec<usize> = tables.collect();
        tables.sort_unstable();
        for (at, octets) in tables.iter().enumerate() {
            let share = room / (tables.len() - at);
            if *octets > share {
                return share;
            }
            room -= octets;
        }
        usize::MAX
    }

    fn head(&self, out: &mut String) {
        let Self { daemon, name, time, state: (state, title), .. } = self;
        out.extend([
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
            "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><link rel=\"icon\" href=\"data:,\">",
            "<title>",
            title,
            daemon,
            " ",
            name,
            "</title><style>",
            STYLE,
            "</style></head>\n<body><a class=\"skip\" href=\"#main\">Skip to the content</a>\n<div id=\"page\"><header><h1>",
            daemon,
            " <small>",
            name,
            "</small> ",
            state,
            "</h1><p>As of <time datetime=\"",
            time,
            "\">",
            time,
            "</time>. <a id=\"refresh\" href=\"\">Refresh</a></p>\n<nav aria-label=\"Sections\"><ul>",
        ]);
        for Section { id, heading, .. } in &self.sections {
            out.extend(["<li><a id=\"to-", id, "\" href=\"#", id, "\">", &escaped(heading), "</a></li>"]);
        }
        out.push_str("</ul></nav></header>\n<main id=\"main\">\n");
    }
}

const TAIL_BEFORE_SCRIPT: &str = "</main></div>\n<footer><p id=\"trouble\" role=\"status\"></p>\
     <button id=\"pause\" type=\"button\" hidden>Pause refreshing</button>\
     <p>Also here: <a href=\"/metrics\">/metrics</a>, <a href=\"/livez?verbose\">/livez</a>, \
     <a href=\"/readyz?verbose\">/readyz</a></p></footer>\n";

impl Section {
    /// Adds facts: names, and what they are.
    pub fn facts<const N: usize>(&mut self, facts: [(&str, Cell); N]) -> &mut Self {
        let mut html = String::from("<dl>");
        for (name, cell) in &facts {
            // An address shall not be broken within its port.
            let is_long = cell.html().len() > LONG_FACT && !cell.html().starts_with('<');
            let dd = if is_long { "<dd class=\"long\">" } else { "<dd>" };
            html.extend(["<div><dt>", &escaped(name), "</dt>", dd, cell.html(), "</dd></div>"]);
        }
        html.push_str("</dl>\n");
        self.html(html)
    }

    /// Adds charts, side by side: what is measured, with its unit ("Records a second"), and the samples.
    pub fn charts<const N: usize>(&mut self, charts: [(&str, &History); N]) -> &mut Self {
        let mut html = String::from("<div class=\"charts\">");
        for (label, history) in charts {
            history.figure(&mut html, label);
        }
        html.push_str("</div>\n");
        self.html(html)
    }

    /// Adds a sentence.
    pub fn note(&mut self, words: &str) -> &mut Self {
        self.html(format!("<p class=\"note\">{}</p>\n", long(words)))
    }

    /// Adds a table. Where a page has not enough room for all its tables, the longest are cut.
    pub fn table(&mut self, table: Table) -> &mut Self {
        self.parts.push(Part::Table(table));
        self
    }

    fn html(&mut self, html: String) -> &mut Self {
        self.parts.push(Part::Html(html));
        self
    }

    /// Octets of everything but the tables.
    fn fixed(&self) -> usize {
        let mut out = String::new();
        self.open(&mut out);
        let parts = self.parts.iter().map(|part| match part {
            Part::Html(html) => html.len(),
            Part::Table(_) => 0,
        });
        out.len() + CLOSE.len() + parts.sum::<usize>()
    }

    fn open(&self, out: &mut String) {
        let Self { id, heading, .. } = self;
        out.extend(["<section id=\"", id, "\" aria-labelledby=\"", id, "-h\"><h2 id=\"", id, "-h\">"]);
        out.extend([&*escaped(heading), "</h2>\n"]);
    }

    fn render(&self, out: &mut String, room: usize) {
        self.open(out);
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Html(html) => out.push_str(html),
                Part::Table(table) => table.render(out, &format!("{}-{at}", self.id), room),
            }
        }
        out.push_str(CLOSE);
    }
}

/// A sentence may be longer than a name.
fn long(words: &str) -> String {
    let mut html = String::new();
    escape_beginning(&mut html, words, LONGEST_CODE);
    html
}

const CLOSE: &str = "</section>\n";

#[cfg(test)]
mod tests;
