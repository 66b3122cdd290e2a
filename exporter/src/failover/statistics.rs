//! What the exporter tells of the streams whose records may get lost: statistics records on stream 0 (docs/wire.md
//! section 10), at intervals while there is news, and at the end.

use std::time::{Duration, Instant};

use delivery::{StatisticsRecord, statistics_record};
use ipfix::{ExportingConfig, ExportingSession};
use transport::{Ppid, Reliability};

use super::Transmit;
use crate::export::options::reliability;
use crate::export::templates::{STATISTICS_RECORD_ID, options_template};

/// How often. A collector counts a missing record as lost one to two intervals after its fate was known.
const INTERVAL: Duration = Duration::from_secs(10);
/// Where control information goes.
const STREAM: u16 = 0;

#[derive(Debug)]
pub(super) struct Statistics {
    exporting: ExportingSession,
    /// The reliability of the records is to be told.
    tells_reliability: bool,
    /// When the next are due, if there is news.
    due: Option<Instant>,
}

impl Statistics {
    /// `per_stream`: the records' reliability is told first (RFC 6526).
    pub(super) fn new(domain: u32, max_message: usize, per_stream: bool) -> Self {
        let mut exporting = ExportingSession::new(ExportingConfig { domain, max_message });
        let (fields, scopes) = (&statistics_record::FIELDS, statistics_record::SCOPE_FIELDS);
        let defined = exporting.define(STREAM, options_template(STATISTICS_RECORD_ID, fields, scopes));
        defined.expect("the template is valid");
        if per_stream {
            exporting.define(STREAM, reliability::template(STREAM)).expect("the template is valid");
        }
        Self { exporting, tells_reliability: per_stream, due: None }
    }

    /// There is news.
    pub(super) fn note(&mut self, now: Instant) {
        self.due.get_or_insert(now + INTERVAL);
    }

    /// Returns when the next are due.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Returns the messages that tell `records`.
    pub(super) fn messages(
        &mut self,
        records: impl IntoIterator<Item = StatisticsRecord>,
        export_time: u32,
    ) -> Vec<Transmit> {
        self.due = None;
        if std::mem::take(&mut self.tells_reliability) {
            let told = reliability::record(STATISTICS_RECORD_ID, true);
            let taken = self.exporting.record(STREAM, reliability::id(STREAM), &told, export_time);
            taken.expect("the record is one of its template");
        }
        let mut octets = Vec::with_capacity(statistics_record::LENGTH);
        for record in records {
            octets.clear();
            record.encode(&mut octets);
            let taken = self.exporting.record(STREAM, STATISTICS_RECORD_ID, &octets, export_time);
            taken.expect("a statistics record is one record of its template");
        }
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
