//! Where decoded records are printed, and what is told of the rest.

use std::fmt;
use std::io::Write;

use anyhow::bail;
use intake::netflow::{self, Reader, Version};
use ipfix::{BiflowSplitter, CollectingConfig, CollectingSession, Record, Summary, Transport, Visitor};

use super::{Format, Options};
use crate::json::Lines;

/// Octets gathered before they are written.
const WRITE_OCTETS: usize = 256 << 10;

/// Octets of a set's header.
const SET_HEADER: usize = 4;

/// Octets of keys kept for a file.
const FILE_KEY_OCTETS: usize = 4 << 20;
/// The same for one session of a capture, of which there may be thousands.
const KEY_OCTETS: usize = 64 << 10;

/// Templates and lines of one transport session.
#[derive(Debug)]
pub(super) struct Session {
    collecting: CollectingSession,
    lines: Lines,
    splitter: Option<BiflowSplitter>,
    /// What NetFlow has told; empty for IPFIX.
    netflow: netflow::Source,
}

impl Session {
    /// A whole file is one session (RFC 5655 section 7.1).
    pub(super) fn file(options: Options) -> Self {
        Self::new(CollectingConfig::default(), FILE_KEY_OCTETS, options)
    }

    pub(super) fn captured(transport: Transport, options: Options) -> Self {
        let config = CollectingConfig { transport, ..CollectingConfig::default() };
        Self::new(config, KEY_OCTETS, options)
    }

    fn new(config: CollectingConfig, octets: usize, options: Options) -> Self {
        Self {
            collecting: CollectingSession::new(config),
            lines: Lines::with_plans(octets),
            splitter: options.split_biflows.then(|| BiflowSplitter::new(octets)),
            netflow: netflow::Source::default(),
        }
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
    /// Templates beyond a limit, and those of NetFlow that cannot be.
    templates_refused: u64,
    /// Data Records the sequence numbers show missing.
    lost: u64,
    /// Datagrams that NetFlow version 9's sequence numbers show missing.
    lost_datagrams: u64,
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
        if self.templates_refused > 0 {
            lines.push(format!("{} templates refused", self.templates_refused));
        }
        if self.lost > 0 {
            lines.push(format!("{} records missing by their sequence numbers", self.lost));
        }
        if self.lost_datagrams > 0 {
            lines.push(format!(
                "{} datagrams of NetFlow missing by their sequence numbers",
                self.lost_datagrams
            ));
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
        let Session { collecting, lines, splitter, .. } = session;
        let decoded = match self.options.format {
            Format::Json => {
                let mut visitor = JsonLines { lines, splitter: splitter.as_mut(), text: &mut self.text };
                collecting.decode(stream, octets, &mut visitor)
            }
            Format::Text => {
                ipfix::view::message_with_summary(collecting, stream, octets).map(|(text, summary)| {
                    self.text.extend_from_slice(text.as_bytes());
                    summary
                })
            }
        };
        match decoded {
            Ok(summary) => self.count(&summary),
            Err(error) => self.malformed(place, &error),
        }
        if self.text.len() >= WRITE_OCTETS { self.write() } else { Ok(()) }
    }

    /// Prints the records of a datagram, or of a message like one: IPFIX or NetFlow, as its first octets say. `session` is that
    /// of its source and version.
    pub(super) fn datagram(
        &mut self,
        session: &mut Session,
        reader: &mut Reader,
        octets: &[u8],
        place: fmt::Arguments<'_>,
    ) -> std::io::Result<()> {
        if Version::of(octets) == Version::Ipfix {
            return self.message(session, 0, octets, place);
        }
        // No template is ever too old: what is printed lies in a file.
        let read = match reader.read(&mut session.netflow, octets, (0, u32::MAX), false) {
            Ok(read) => read,
            Err(error) => {
                self.malformed(place, &error);
                return Ok(());
            }
        };
        for message in reader.messages() {
            self.message(session, 0, message, place)?;
            read.uncounted.into_iter().for_each(|domain| session.collecting.ignore_sequence(0, domain));
        }
        let told = &mut self.told;
        for set in reader.unknown_sets() {
            told.no_template.0 += 1;
            told.no_template.1 += (set.len() - SET_HEADER) as u64;
        }
        told.templates_refused += u64::from(read.templates_refused);
        told.lost_datagrams = (told.lost_datagrams + u64::from(read.lost)).saturating_sub(read.late.into());
        Ok(())
    }

    fn malformed(&mut self, place: fmt::Arguments<'_>, error: &dyn fmt::Display) {
        self.told.malformed += 1;
        self.told.first_malformed.get_or_insert_with(|| format!("{place}: {error}"));
    }

    fn count(&mut self, summary: &Summary) {
        let told = &mut self.told;
        told.templates_refused += u64::from(summary.templates_refused);
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
    splitter: Option<&'a mut BiflowSplitter>,
    text: &'a mut Vec<u8>,
}

impl Visitor for JsonLines<'_> {
    fn record(&mut self, record: &Record<'_>) {
        let Self { lines, splitter, text } = self;
        match splitter {
            None => lines.record(text, record, None),
            Some(splitter) => {
                splitter.split(record, |record, direction| lines.uniflow(text, record, None, direction));
            }
        }
    }
}
