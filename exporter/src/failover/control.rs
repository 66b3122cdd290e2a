//! Stream 0: what the exporter tells of the streams whose records may get lost (statistics records, docs/wire.md section 10), at
//! intervals while there is news, and at the end; and options records about the exporter.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use delivery::{StatisticsRecord, statistics_record};
use ipfix::{ExportingConfig, ExportingSession, TemplateRecord};
use transport::{Ppid, Reliability};

use super::Transmit;
use crate::export::options::{OptionsRecord, reliability};
use crate::export::templates::{STATISTICS_RECORD_ID, options_template};

/// How often statistics are told. A collector counts a missing record as lost one to two intervals after its fate was known.
const INTERVAL: Duration = Duration::from_secs(10);
/// Where control information goes.
const STREAM: u16 = 0;

#[derive(Debug)]
pub(super) struct Control {
    exporting: ExportingSession,
    /// RFC 6526 is followed.
    per_stream: bool,
    /// Templates that are defined.
    defined: BTreeSet<u16>,
    /// When the next statistics are due, if there is news.
    due: Option<Instant>,
}

impl Control {
    pub(super) fn new(domain: u32, max_message: usize, per_stream: bool) -> Self {
        let exporting = ExportingSession::new(ExportingConfig { domain, max_message });
        Self { exporting, per_stream, defined: BTreeSet::new(), due: None }
    }

    /// There is news for statistics.
    pub(super) fn note(&mut self, now: Instant) {
        self.due.get_or_insert(now + INTERVAL);
    }

    /// Returns when the next statistics are due.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Returns the messages that tell `records`.
    pub(super) fn statistics(
        &mut self,
        records: impl IntoIterator<Item = StatisticsRecord>,
        export_time: u32,
    ) -> Vec<Transmit> {
        self.due = None;
        let (fields, scopes) = (&statistics_record::FIELDS, statistics_record::SCOPE_FIELDS);
        self.define([options_template(STATISTICS_RECORD_ID, fields, scopes)], export_time);
        let mut octets = Vec::with_capacity(statistics_record::LENGTH);
        for record in records {
            octets.clear();
            record.encode(&mut octets);
            self.pack(STATISTICS_RECORD_ID, &octets, export_time);
        }
        self.messages(export_time)
    }

    /// Returns the messages with these records.
    pub(super) fn options(&mut self, records: &[OptionsRecord], export_time: u32) -> Vec<Transmit> {
        self.define(records.iter().map(|record| record.template.clone()), export_time);
        for record in records {
            self.pack(record.template.id, record.octets(), export_time);
        }
        self.messages(export_time)
    }

    /// Defines templates and packs what is told of them before their first records (RFC 6526 section 4.2).
    fn define(&mut self, templates: impl IntoIterator<Item = TemplateRecord>, export_time: u32) {
        let mut untold = Vec::new();
        for template in templates {
            let id = template.id;
            if self.defined.insert(id) {
                self.exporting.define(STREAM, template).expect("flowpool's templates are valid");
                untold.push(id);
            }
        }
        if self.per_stream && !untold.is_empty() {
            self.exporting.define(STREAM, reliability::template(STREAM)).expect("the template is valid");
            for id in untold {
                self.pack(reliability::id(STREAM), &reliability::record(id, true), export_time);
            }
        }
    }

    fn pack(&mut self, template: u16, octets: &[u8], export_time: u32) {
        let taken = self.exporting.record(STREAM, template, octets, export_time);
        taken.expect("records are encoded by the templates defined");
    }

    fn messages(&mut self, export_time: u32) -> Vec<Transmit> {
        self.exporting.flush(STREAM, export_time);
        let messages = std::iter::from_fn(|| self.exporting.poll_message());
        let transmit = |octets| Transmit {
            stream: STREAM,
            ppid: Ppid::IPFIX,
            unordered: false,
            reliability: Reliability::Full,
            token: None,
            octets,
        };
        messages.map(|message| transmit(message.octets)).collect()
    }
}
