//! Options records about the exporter: before data, at intervals, and without harm to the numbers of others.

use std::sync::Arc;

use super::*;
use crate::capture::Interface;
use crate::export::options::{Described, Told};

const INTERVAL: Duration = Duration::from_secs(600);

fn told(interface: &str) -> Told {
    let name = interface.to_owned();
    let interface = Interface { index: 1, name, description: String::new() };
    let described = Described { interfaces: [(1, interface)].into(), selectors: Vec::new() };
    Told { domain: SERIES.domain, process: 77, described: Arc::new(described), ..Told::default() }
}

/// What a collector reads, by stream; of options records the first element that tells.
#[derive(Default)]
struct Collected(Vec<String>);

impl Visitor for Collected {
    fn record(&mut self, record: &Record<'_>) {
        let value = |id| record.find(0, id).map(|field| field.value().to_string());
        let fields = || record.fields().map(|field| (field.pen(), field.id(), field.octets()));
        let mut seen = Seen::default();
        self.0.push(if let Some(name) = value(341) {
            format!("element {name}")
        } else if let Some(records) = value(42) {
            format!("exported {records} in {}", value(41).unwrap())
        } else if let Some(name) = value(82) {
            format!("interface {name}")
        } else if let Some(packets) = value(164) {
            format!("ignored {packets}")
        } else if record.find(0, 144).is_some() {
            format!("not sent {}", value(166).unwrap())
        } else if StatisticsRecord::from_fields(record.domain, fields()).is_ok() {
            "statistics".to_owned()
        } else {
            seen.record(record);
            seen.0.pop().unwrap()
        });
    }
}

/// Reads messages, leaving out type records.
fn read(session: &mut CollectingSession, messages: &[Transmit]) -> Vec<String> {
    let mut seen = Collected::default();
    for message in messages.iter().filter(|message| message.ppid == Ppid::IPFIX) {
        let summary = session.decode(message.stream, &message.octets, &mut seen).unwrap();
        assert_eq!((summary.lost, summary.no_template_sets, summary.descriptions_refused), (0, 0, 0));
    }
    seen.0.retain(|line| !line.starts_with("element"));
    seen.0
}

fn collecting() -> CollectingSession {
    CollectingSession::new(CollectingConfig::default())
}

#[test]
fn options_come_before_the_first_data_of_each_session_and_with_what_changes() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    failover.set_told(told("eth0"));
    meter(&mut failover, 2);
    connect(&mut failover, true);
    let mut session = collecting();
    let first = collect_more(&mut failover, now);
    assert!(first.iter().all(|message| message.reliability == Reliability::Full && !message.unordered));
    let about = ["exported 0 in 0", "ignored 0", "not sent 0", "interface eth0", "session 0<0"];
    assert_eq!(read(&mut session, &first), about, "records wait for their message to fill");
    let more = collect_more(&mut failover, now + Duration::from_millis(50));
    assert_eq!(read(&mut session, &more), ["0", "1"]);
    let streams: Vec<_> = first.iter().chain(&more).map(|message| message.stream).collect();
    assert!(streams.is_sorted() && streams.starts_with(&[0, 0]), "{streams:?}");

    failover.set_told(told("lan0"));
    let changed = collect_more(&mut failover, now);
    let sent = first.len() + more.len();
    let exported = format!("exported 2 in {sent}");
    assert_eq!(read(&mut session, &changed), [&exported, "ignored 0", "not sent 0", "interface lan0"]);
    assert_eq!(collect_more(&mut failover, now), []);

    failover.handle_lost(now);
    meter(&mut failover, 1);
    connect(&mut failover, true);
    failover.finish();
    let again = read(&mut collecting(), &collect_more(&mut failover, now));
    assert_eq!(again[0], "exported 0 in 0", "counts are of one collector");
    assert_eq!(again[3..], ["interface lan0", "session 0<2", "0", "1", "0"]);
}

#[test]
fn options_are_repeated_at_their_interval_and_told_once_more_at_the_end() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    failover.set_told(told("eth0"));
    connect(&mut failover, true);
    let mut session = collecting();
    read(&mut session, &collect_more(&mut failover, now));
    assert_eq!(failover.poll_timeout(true), Some(now + INTERVAL));
    assert_eq!(collect_more(&mut failover, now + INTERVAL - Duration::from_millis(1)), []);
    let repeated = read(&mut session, &collect_more(&mut failover, now + INTERVAL));
    assert_eq!(repeated[3], "interface eth0");
    assert_eq!(failover.poll_timeout(true), Some(now + 2 * INTERVAL));
    meter(&mut failover, 3);
    failover.finish();
    let last = now + INTERVAL;
    assert_eq!(read(&mut session, &collect_more(&mut failover, last)), ["session 0<0", "0", "1", "2"]);
    failover.handle_cookie(last, &cookie(0..3)).unwrap();
    let at_the_end = read(&mut session, &collect_more(&mut failover, last));
    assert!(at_the_end[0].starts_with("exported 3 in "), "{at_the_end:?}");
    assert_eq!(collect_more(&mut failover, last), []);
    assert!(failover.is_done());
}

/// On the one stream of TCP they end the numbering and the class, which go on behind them.
#[test]
fn on_one_stream_the_numbers_go_on_behind_options() {
    let (mut failover, now) = (three_classes(), start());
    failover.set_told(told("eth0"));
    failover.handle_connected(Carrier::OneStream, true);
    let mut session = collecting();
    let mut read = |messages: Vec<Transmit>| {
        let messages: Vec<_> =
            messages.into_iter().map(|message| Transmit { stream: 0, ..message }).collect();
        read(&mut session, &messages)
    };
    assert_eq!(read(collect_more(&mut failover, now))[3], "interface eth0");
    meter_class(&mut failover, RELIABLE, 0..2);
    meter_class(&mut failover, DNS, 10..11);
    let before = read(collect_more(&mut failover, now));
    assert_eq!(before, ["session 0<0", "0", "1"]);
    failover.set_told(told("lan0"));
    let seen = read(collect_more(&mut failover, now));
    assert_eq!(seen[..2], ["class dns limited", "10"]);
    assert_eq!(seen[5], "interface lan0");
    meter_class(&mut failover, RELIABLE, 2..3);
    meter_class(&mut failover, DNS, 11..12);
    failover.finish();
    let behind = read(collect_more(&mut failover, now));
    assert_eq!(behind, ["session 2<2", "2", "class dns limited", "11"]);
    assert_balanced(&failover);
}

#[test]
fn who_stands_by_has_options_in_advance_and_anew_when_it_is_needed() {
    let (mut failover, now) = (three_classes(), start());
    failover.set_told(told("eth0"));
    connect(&mut failover, true);
    collect_more(&mut failover, now);
    failover.handle_standby_connected(Carrier::Streams, true);
    let mut session = collecting();
    let advance: Vec<_> = std::iter::from_fn(|| failover.poll_standby_transmit(now, EXPORT_TIME)).collect();
    assert_eq!(read(&mut session, &advance)[3], "interface eth0");
    failover.set_told(told("lan0"));
    failover.handle_lost(now);
    failover.promote();
    let anew = read(&mut session, &collect_more(&mut failover, now));
    assert_eq!(anew[3], "interface lan0");
}

/// RFC 6526: what they are told by is followed on stream 0 as well.
#[test]
fn options_have_their_reliability_told_where_that_is_asked() {
    let config = FailoverConfig { per_stream: true, ..config(Classes::single(Kind::Reliable)) };
    let mut failover = Failover::new(config, ExporterState { ledger: SERIES.ledger, epoch: SERIES.epoch }, 1);
    let now = start();
    failover.set_told(told("eth0"));
    meter(&mut failover, 1);
    failover.finish();
    connect(&mut failover, true);
    let mut session = collecting();
    read(&mut session, &collect_more(&mut failover, now));
    failover.handle_cookie(now, &cookie(0..1)).unwrap();
    read(&mut session, &collect_more(&mut failover, now));
    assert_eq!(session.per_stream(), ipfix::PerStream::Enabled);
}

/// RFC 5610: whoever does not know flowpool reads its records by name.
#[test]
fn a_foreign_collector_learns_the_names_of_private_elements() {
    struct Names(Vec<String>);
    impl Visitor for Names {
        fn record(&mut self, record: &Record<'_>) {
            let fields = 0..record.template.fields().len();
            let described = fields.filter_map(|at| record.template.description(at));
            self.0.extend(described.map(|element| element.name.to_string()));
        }
    }
    let (mut failover, now) = (failover(Kind::Reliable), start());
    failover.set_told(told("eth0"));
    meter(&mut failover, 1);
    failover.finish();
    connect(&mut failover, true);
    let mut session = collecting();
    let mut names = Names(Vec::new());
    for message in collect_more(&mut failover, now) {
        session.decode(message.stream, &message.octets, &mut names).unwrap();
    }
    assert_eq!(names.0, ["ledger", "epoch", "firstNumber", "possibleDuplicateUntil"]);
}
