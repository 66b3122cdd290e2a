//! RFC 6526, the exporting side: what a collector that knows it has to find.

use ipfix::PerStream;

use super::*;

fn per_stream() -> Failover {
    let classes = three_classes().classes().clone();
    let config = FailoverConfig { per_stream: true, ..config(classes) };
    Failover::new(config, ExporterState { ledger: SERIES.ledger, epoch: SERIES.epoch }, 1)
}

/// A collector that follows the extension.
struct Collector {
    session: CollectingSession,
    seen: Vec<String>,
    lost: u32,
}

impl Collector {
    fn new() -> Self {
        Self { session: CollectingSession::new(CollectingConfig::default()), seen: Vec::new(), lost: 0 }
    }

    fn receive(&mut self, message: &Transmit) {
        assert!(!message.unordered, "section 4.3: in order");
        let mut seen = Seen::default();
        let summary = self.session.decode(message.stream, &message.octets, &mut seen).unwrap();
        assert_eq!((summary.breach, summary.no_template_sets), (None, 0));
        self.lost += summary.lost;
        self.seen.extend(seen.0.into_iter().map(|what| format!("{}: {what}", message.stream)));
    }

    /// What came on a stream.
    fn seen(&self, stream: u16) -> Vec<&str> {
        self.seen.iter().filter_map(|line| line.strip_prefix(&format!("{stream}: "))).collect()
    }
}

#[test]
fn the_reliability_of_each_template_is_told_before_its_records_and_all_goes_in_order() {
    let (mut failover, now) = (per_stream(), start());
    meter_class(&mut failover, RELIABLE, 0..2);
    meter_class(&mut failover, DNS, 10..12);
    failover.finish();
    connect(&mut failover, true);
    let mut collector = Collector::new();
    let messages = collect_more(&mut failover, now);
    messages.iter().for_each(|message| collector.receive(message));
    assert_eq!(collector.session.per_stream(), PerStream::Enabled);
    let stream = crate::export::templates::session_record_id;
    let told = |template, is| format!("template {template} reliable: {is}");
    let reliable: Vec<_> = (stream(1)..=stream(1) + 4).map(|template| told(template, true)).collect();
    let records = ["session 0<0", "0", "1"];
    let expected = ["templates"].into_iter().chain(reliable.iter().map(String::as_str)).chain(records);
    assert_eq!(collector.seen(1), expected.collect::<Vec<_>>());
    let seen = collector.seen(2);
    assert_eq!(seen[..2], ["templates", &told(stream(2), true)], "the class record is sent reliably");
    assert!(
        (stream(2) + 1..=stream(2) + 4).all(|template| seen.contains(&&*told(template, false))),
        "{seen:?}"
    );
    assert_eq!(seen[seen.len() - 3..], ["class dns limited", "10", "11"], "data waits for nothing");
    let data = messages.iter().rfind(|message| message.stream == 2).unwrap();
    assert_eq!(data.reliability, Reliability::MaxRetransmits(1));
}

#[test]
fn statistics_have_their_reliability_told_once_on_their_stream() {
    let (mut failover, now) = (per_stream(), start());
    meter_class(&mut failover, DNS, 10..12);
    connect(&mut failover, true);
    let mut collector = Collector::new();
    let mut at = now;
    for _ in 0..4 {
        for message in collect_more(&mut failover, at) {
            collector.receive(&message);
            if let Some(token) = message.token {
                failover.handle_sent(at, token, Outcome::Delivered);
            }
        }
        at += Duration::from_secs(10);
        meter_class(&mut failover, DNS, 12..13);
    }
    assert_eq!(collector.session.per_stream(), PerStream::Enabled);
    let seen = collector.seen(0);
    assert_eq!(seen[..2], ["templates", "template 256 reliable: true"]);
    assert!(seen.len() > 4 && seen[2..].iter().all(|line| line.starts_with("stream ")), "{seen:?}");
}

#[test]
fn what_a_stream_loses_is_no_breach_where_its_records_may_get_lost() {
    let (mut failover, now) = (per_stream(), start());
    meter_class(&mut failover, DNS, 100..200);
    failover.finish();
    connect(&mut failover, true);
    let messages = collect_more(&mut failover, now);
    let data: Vec<_> = messages.iter().filter(|message| message.reliability != Reliability::Full).collect();
    assert!(data.len() > 3);
    let mut collector = Collector::new();
    messages.iter().filter(|message| *message != data[0]).for_each(|message| collector.receive(message));
    let ports: Vec<u16> = collector.seen(2).iter().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(collector.lost as usize, 100 - ports.len());
    assert_eq!(collector.session.per_stream(), PerStream::Enabled);
}

#[test]
fn who_stands_by_is_told_in_advance_and_nothing_twice() {
    let (mut failover, now) = (per_stream(), start());
    meter_class(&mut failover, RELIABLE, 0..2);
    failover.finish();
    connect(&mut failover, true);
    collect_more(&mut failover, now);
    failover.handle_standby_connected(Carrier::Streams, true);
    let mut collector = Collector::new();
    while let Some(message) = failover.poll_standby_transmit(now, EXPORT_TIME) {
        collector.receive(&message);
    }
    assert_eq!(collector.session.per_stream(), PerStream::Enabled);
    failover.handle_lost(now);
    failover.promote();
    meter_class(&mut failover, DNS, 12..13);
    collect_more(&mut failover, now).iter().for_each(|message| collector.receive(message));
    assert_eq!(collector.session.per_stream(), PerStream::Enabled, "told twice would be a breach");
    assert_eq!(collector.seen(2).last(), Some(&"12"));
}

#[test]
fn over_one_stream_nothing_is_told() {
    let (mut failover, now) = (per_stream(), start());
    meter_class(&mut failover, RELIABLE, 0..2);
    meter_class(&mut failover, DNS, 10..12);
    failover.finish();
    failover.handle_connected(Carrier::OneStream, true);
    let (_, seen) = collect(&mut failover, now);
    assert!(seen.iter().all(|line| !line.starts_with("template ")), "{seen:?}");
}
