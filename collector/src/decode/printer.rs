//! Where decoded records are printed, and what is told of the rest.

use std::fmt;
use std::io::Write;

use anyhow::bail;
use ipfix::{CollectingConfig, CollectingSession, Record, Summary, Transport, Visitor};

use super::{Format, Options};
use crate::json::Lines;

/// Octets gathered before they are written.
const WRITE_OCTETS: usize = 256 << 10;

/// Octets of keys kept for one session of a capture, of which there may be thousands.
const KEY_OCTETS: usize = 64 << 10;

/// Templates and lines of one transport session.
#[derive(Debug)]
pub(super) struct Session {
    collecting: CollectingSession,
    lines: Lines,
}

impl Session {
    /// A whole file is one session (RFC 5655 section 7.1).
    pub(super) fn file(options: Options) -> Self {
        let lines = Lines::default().split_biflows(options.split_biflows);
        Self { collecting: CollectingSession::new(CollectingConfig::default()), lines }
    }

    pub(super) fn captured(transport: Transport, options: Options) -> Self {
        let config = CollectingConfig { transport, ..CollectingConfig::default() };
        let lines = Lines::with_plans(KEY_OCTETS).split_biflows(options.split_biflows);
        Self { collecting: CollectingSession::new(config), lines }
    }

    pub(super) fn restart(&mut self) {
        self.collecting.restart();
    }
}

/// What was not printed.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Data sets without a template, and their octets.
    no_template: (u64, u64),
    /// Lists of records without a template.
    unknown_lists: u64,
    pub(super) malformed: u64,
    first_malformed: Option<String>,
    /// Data Records the sequence numbers show missing.
    lost: u64,
    pub(super) capture: super::capture::Passed,
}

impl fmt::Display for Told {
    /// One line for each thing to be told, the last without an end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sets, octets) = self.no_template;
        let mut lines = Vec::new();
        if sets > 0 {
            lines.push(format!("{sets} data sets ({octets} octets) without a template"));
        }
        if self.unknown_lists > 0 {
            lines.push(format!("{} lists of records without a template", self.unknown_lists));
        }
        if let Some(first) = &self.first_malformed {
            lines.push(format!("{} malformed messages discarded; the first: {first}", self.malformed));
        }
        if self.lost > 0 {
            lines.push(format!("{} records missing by their sequence numbers", self.lost));
        }
        self.capture.tell(&mut lines);
        f.write_str(&lines.join("\n"))
    }
}

pub(super) struct Printer<W> {
    out: W,
    text: Vec<u8>,
    options: Options,
    told: Told,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, options: Options) -> Self {
        Self { out, text: Vec::new(), options, told: Told::default() }
    }

    pub(super) const fn options(&self) -> Options {
        self.options
    }

    pub(super) const fn told(&self) -> &Told {
        &self.told
    }

    pub(super) const fn told_mut(&mut self) -> &mut Told {
        &mut self.told
    }

    /// Prints the records of one message; `place` says where it was, should it be malformed.
    pub(super) fn message(
        &mut self,
        session: &mut Session,
        stream: u16,
        octets: &[u8],
        place: fmt::Arguments<'_>,
    ) -> std::io::Result<()> {
        let Session { collecting, lines } = session;
        let decoded = match self.options.format {
            Format::Json => collecting.decode(stream, octets, &mut JsonLines { lines, text: &mut self.text }),
            Format::Text => {
                ipfix::view::message_with_summary(collecting, stream, octets).map(|(text, summary)| {
                    self.text.extend_from_slice(text.as_bytes());
                    summary
                })
            }
        };
        match decoded {
            Ok(summary) => self.count(&summary),
            Err(error) => {
                self.told.malformed += 1;
                self.told.first_malformed.get_or_insert_with(|| format!("{place}: {error}"));
            }
        }
        if self.text.len() >= WRITE_OCTETS { self.write() } else { Ok(()) }
    }

    fn count(&mut self, summary: &Summary) {
        let told = &mut self.told;
        told.no_template.0 += u64::from(summary.no_template_sets);
        told.no_template.1 += u64::from(summary.no_template_octets);
        told.unknown_lists += u64::from(summary.unknown_sub_templates);
        told.lost = (told.lost + u64::from(summary.lost)).saturating_sub(summary.late.into());
    }

    /// Writes what is left. Fails too if any message was malformed.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.write()?;
        self.out.flush()?;
        if self.told.malformed > 0 {
            bail!("{} malformed messages", self.told.malformed);
        }
        Ok(())
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.out.write_all(&self.text)?;
        self.text.clear();
        Ok(())
    }
}

struct JsonLines<'a> {
    lines: &'a mut Lines,
    text: &'a mut Vec<u8>,
}

impl Visitor for JsonLines<'_> {
    fn record(&mut self, record: &Record<'_>) {
        self.lines.record(self.text, record, None);
    }
}
