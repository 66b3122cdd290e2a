//! What one session has of each class of records: who was told what, what came, and what did not (docs/wire.md).

use std::collections::BTreeMap;
use std::sync::Arc;

use delivery::class_record::Reliability;
use delivery::gaps::{Counts, Implausible};
use delivery::{ClassRecord, Gaps, StatisticsRecord};
use ipfix::Summary;

use crate::metrics::ClassMetrics;
use crate::status::register::{Class, Entry};

/// Pairs of stream and observation domain whose class is known, at most.
const MAX_STREAMS: usize = 1024;
/// Where several classes may share a stream: TCP has no other. Nothing gets lost there.
const SHARED_STREAM: u16 = 0;

/// The classes of one session's streams.
#[derive(Debug)]
pub(crate) struct Classes {
    streams: BTreeMap<(u16, u32), Stream>,
    /// By [`Reliability`].
    metrics: [ClassMetrics; Reliability::ALL.len()],
    /// What is shown of the session.
    entry: Option<Arc<Entry>>,
}

#[derive(Debug)]
struct Stream {
    class: Reliability,
    /// Where records may get lost.
    gaps: Option<Gaps>,
    shown: Shown,
}

/// What the metrics have of a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    counts: Counts,
    missing: u64,
}

/// Why a record about classes has no effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Ignored {
    #[error("there are {MAX_STREAMS} streams with classes already")]
    Limit,
    #[error("stream {0} has its class already")]
    Repeated(u16),
    #[error("stream {0} has no class whose records may get lost")]
    NoClass(u16),
    #[error(transparent)]
    Implausible(#[from] Implausible),
}

/// The books of one class at the session's end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Closed {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) abandoned: u64,
    /// None while it is not known how many were sent.
    pub(crate) spurious: Option<u64>,
}

impl Classes {
    pub(crate) fn new(metrics: [ClassMetrics; Reliability::ALL.len()]) -> Self {
        Self { streams: BTreeMap::new(), metrics, entry: None }
    }

    /// Has the session's entry tell of its classes, too.
    pub(crate) fn watch(&mut self, entry: Arc<Entry>) {
        self.entry = Some(entry);
    }

    /// A session record: class reliable follows.
    pub(crate) fn session_record(&mut self, stream: u16, domain: u32) {
        // Beyond the limit the records have no class, which is no harm.
        let _ = self.follow(stream, domain, Reliability::Reliable, None);
    }

    /// A class record with this sequence number. Returns whether losses on its stream are counted here from here on.
    pub(crate) fn class_record(
        &mut self,
        stream: u16,
        sequence: u32,
        record: &ClassRecord,
    ) -> Result<bool, Ignored> {
        let may_lose = record.reliability != Reliability::Reliable && stream != SHARED_STREAM;
        if may_lose && self.streams.get(&(stream, record.domain)).is_some_and(|known| known.gaps.is_some()) {
            return Err(Ignored::Repeated(stream));
        }
        let gaps = may_lose.then(|| Gaps::new(sequence));
        self.follow(stream, record.domain, record.reliability, gaps)?;
        Ok(may_lose)
    }

    fn follow(
        &mut self,
        stream: u16,
        domain: u32,
        class: Reliability,
        gaps: Option<Gaps>,
    ) -> Result<(), Ignored> {
        if let Some(known) = self.streams.get_mut(&(stream, domain)) {
            known.class = class;
            // Whoever began to count goes on with it.
            known.gaps = known.gaps.take().or(gaps);
            return Ok(());
        }
        if self.streams.len() >= MAX_STREAMS {
            return Err(Ignored::Limit);
        }
        self.streams.insert((stream, domain), Stream { class, gaps, shown: Shown::default() });
        Ok(())
    }

    /// The exporter tells what it has sent.
    pub(crate) fn statistics_record(&mut self, record: &StatisticsRecord) -> Result<(), Ignored> {
        let stream = self.streams.get_mut(&(record.stream, record.domain));
        let unknown = Ignored::NoClass(record.stream);
        let Some(Stream { class, gaps: Some(gaps), shown }) = stream else { return Err(unknown) };
        gaps.tell(record)?;
        self.metrics[*class as usize].show(gaps, shown, shown_class(self.entry.as_deref(), *class));
        Ok(())
    }

    /// A message came on `stream`.
    pub(crate) fn receive(&mut self, stream: u16, summary: &Summary) {
        if summary.records == 0 {
            return;
        }
        let Some(known) = self.streams.get_mut(&(stream, summary.domain)) else { return };
        let metrics = &self.metrics[known.class as usize];
        metrics.received.increment(summary.records.into());
        let entry = shown_class(self.entry.as_deref(), known.class);
        if let Some((_, class)) = entry {
            class.received.add(summary.records.into());
        }
        if let Some(gaps) = &mut known.gaps {
            gaps.receive(summary.sequence, summary.records);
            metrics.show(gaps, &mut known.shown, entry);
        }
    }

    /// The session is over. Returns the books of the classes whose records may get lost.
    pub(crate) fn close(&mut self) -> Vec<(Reliability, Closed)> {
        let mut books: BTreeMap<Reliability, Closed> = BTreeMap::new();
        for Stream { class, gaps, mut shown } in std::mem::take(&mut self.streams).into_values() {
            let Some(mut gaps) = gaps else { continue };
            gaps.close();
            let counts = gaps.counts();
            let metrics = &self.metrics[class as usize];
            metrics.show(&gaps, &mut shown, shown_class(self.entry.as_deref(), class));
            metrics.spurious.increment(counts.spurious().unwrap_or(0));
            let sum = books.entry(class).or_insert(Closed { spurious: Some(0), ..Closed::default() });
            sum.sent += counts.sent;
            sum.received += counts.received;
            sum.lost += counts.lost;
            sum.abandoned += counts.abandoned;
            sum.spurious = sum.spurious.zip(counts.spurious()).map(|(sum, more)| sum + more);
        }
        books.into_iter().collect()
    }
}

/// A session's entry, and the part of it that is about one class.
type ShownClass<'a> = Option<(&'a Entry, &'a Class)>;

fn shown_class(entry: Option<&Entry>, class: Reliability) -> ShownClass<'_> {
    entry.map(|entry| (entry, &entry.classes[class as usize]))
}

impl ClassMetrics {
    /// Adds what the books have beyond what was shown.
    fn show(
        &self,
        gaps: &Gaps,
        Shown { counts: shown, missing: shown_missing }: &mut Shown,
        entry: ShownClass<'_>,
    ) {
        let (counts, missing) = (gaps.counts(), gaps.missing());
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        if missing != *shown_missing {
            self.missing.increment(missing as f64 - *shown_missing as f64);
            *shown_missing = missing;
        }
        let lost = counts.lost - shown.lost;
        if lost > 0 {
            self.lost.increment(lost);
            self.lost_of_all.increment(lost);
        }
        let (late, abandoned) = (counts.late - shown.late, counts.abandoned - shown.abandoned);
        self.late.increment(late);
        self.abandoned.increment(abandoned);
        if let Some((entry, class)) = entry {
            class.lost.add(lost);
            class.abandoned.add(abandoned);
            entry.lost.add(lost);
            entry.late.add(late);
        }
        *shown = counts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::SessionMetrics;

    fn classes() -> Classes {
        Classes::new(SessionMetrics::new().classes)
    }

    fn class(reliability: Reliability) -> ClassRecord {
        ClassRecord { domain: 1, reliability, name: "x".to_owned() }
    }

    fn message(sequence: u32, records: u32) -> Summary {
        Summary { domain: 1, sequence, records, ..Summary::default() }
    }

    #[test]
    fn the_books_of_a_class_close_over_its_streams() {
        let mut classes = classes();
        assert_eq!(classes.class_record(2, 0, &class(Reliability::Limited)), Ok(true));
        assert_eq!(classes.class_record(3, 0, &class(Reliability::Limited)), Ok(true));
        assert_eq!(classes.class_record(4, 0, &class(Reliability::Timed)), Ok(true));
        for (stream, sequence) in [(2, 1), (2, 11), (3, 1), (4, 1)] {
            classes.receive(stream, &message(sequence, 5));
        }
        for (stream, sent, abandoned) in [(2, 15, 5), (3, 5, 5), (4, 5, 0)] {
            let domain = 1;
            let record = StatisticsRecord { domain, stream, sent, settled: sent, abandoned, not_sent: 0 };
            classes.statistics_record(&record).unwrap();
        }
        let limited = Closed { sent: 20, received: 15, lost: 5, abandoned: 10, spurious: Some(5) };
        let timed = Closed { sent: 5, received: 5, lost: 0, abandoned: 0, spurious: Some(0) };
        assert_eq!(classes.close(), [(Reliability::Limited, limited), (Reliability::Timed, timed)]);
        assert_eq!(classes.close(), []);
    }

    #[test]
    fn on_a_shared_stream_classes_take_turns_and_nothing_is_missed() {
        let mut classes = classes();
        assert_eq!(classes.class_record(0, 5, &class(Reliability::Unreliable)), Ok(false));
        classes.receive(0, &message(6, 5));
        classes.session_record(0, 1);
        classes.receive(0, &message(90, 5));
        assert_eq!(classes.class_record(0, 95, &class(Reliability::Unreliable)), Ok(false));
        assert_eq!(classes.close(), []);
    }

    #[test]
    fn what_makes_no_sense_has_no_effect() {
        let mut classes = classes();
        let statistics =
            |sent| StatisticsRecord { domain: 1, stream: 2, sent, ..StatisticsRecord::default() };
        assert_eq!(classes.statistics_record(&statistics(1)), Err(Ignored::NoClass(2)));
        classes.class_record(2, 0, &class(Reliability::Timed)).unwrap();
        assert_eq!(classes.class_record(2, 9, &class(Reliability::Timed)), Err(Ignored::Repeated(2)));
        classes.statistics_record(&statistics(5)).unwrap();
        assert!(matches!(classes.statistics_record(&statistics(4)), Err(Ignored::Implausible(_))));
        for stream in 3..=u16::try_from(MAX_STREAMS).unwrap() + 1 {
            classes.class_record(stream, 0, &class(Reliability::Timed)).unwrap();
        }
        assert_eq!(classes.class_record(2000, 0, &class(Reliability::Timed)), Err(Ignored::Limit));
        assert_eq!(classes.close()[0].1.sent, 5);
    }
}
