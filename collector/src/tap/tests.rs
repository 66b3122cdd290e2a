use std::net::Ipv4Addr;
use std::time::Duration;

use ipfix::{
    CollectingConfig, CollectingSession, ExportingConfig, ExportingSession, FieldSpecifier, Record,
    RecordWriter, TemplateRecord, Visitor,
};

use super::*;

struct Nothing;

impl Visitor for Nothing {
    fn record(&mut self, _record: &Record<'_>) {}
}

/// Messages of flows from 192.0.2.1 to 198.51.100.N, port N, of N octets each.
fn messages(numbers: std::ops::Range<u16>) -> Vec<Vec<u8>> {
    let fields = [(8, 4), (12, 4), (11, 2), (4, 1), (1, 8), (2, 8)];
    let fields = fields.map(|(id, length)| FieldSpecifier::iana(id, length)).to_vec();
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 600 });
    exporting.define(0, TemplateRecord { id: 256, scope_fields: 0, fields }).unwrap();
    let mut record = RecordWriter::new();
    for number in numbers {
        let destination = Ipv4Addr::new(198, 51, 100, number.to_be_bytes()[1]);
        record.clear().ipv4(Ipv4Addr::new(192, 0, 2, 1)).ipv4(destination);
        record.unsigned(number.into(), 2).unsigned(6, 1).unsigned(number.into(), 8).unsigned(1, 8);
        exporting.record(0, 256, record.octets(), 0).unwrap();
    }
    exporting.flush_all(0);
    std::iter::from_fn(|| exporting.poll_message()).map(|message| message.octets).collect()
}

/// Has a session's examiner look at messages.
fn pass(examiner: &mut Examiner, messages: &[Vec<u8>]) {
    let mut collecting = CollectingSession::new(CollectingConfig::default());
    for message in messages {
        match examiner.look(message.len()) {
            None => drop(collecting.decode(0, message, &mut Nothing).unwrap()),
            Some(mut look) => {
                let both = &mut Both { visitor: &mut Nothing, look: &mut look };
                collecting.decode(0, message, both).unwrap();
                look.send();
            }
        }
    }
}

fn lines(found: &mut mpsc::Receiver<Found>) -> Vec<String> {
    let mut texts = Vec::new();
    while let Ok(Found::Lines { lines, .. }) = found.try_recv() {
        texts.extend(String::from_utf8(lines).unwrap().lines().map(ToOwned::to_owned));
    }
    texts
}

#[test]
fn nobody_looks_until_somebody_wants_to() {
    let (tap, mut found) = Tap::new();
    let mut examiner = tap.examiner(1, None);
    assert!((0..1_000).all(|_| examiner.look(100).is_none()));
    pass(&mut examiner, &messages(0..100));
    assert!(found.try_recv().is_err());
}

#[test]
fn records_that_match_come_as_lines_with_their_exporter() {
    let (tap, mut found) = Tap::new();
    let mut examiner = tap.examiner(1, Some(Ipv4Addr::new(203, 0, 113, 7).into()));
    let filter = Filter::parse("destinationTransportPort >= 3 and destinationTransportPort < 5").unwrap();
    tap.set_watches(Arc::new([Arc::new(Watch::new(filter))]));
    pass(&mut examiner, &messages(0..100));
    let line = |port| {
        format!(
            "{{\"exporter\":\"203.0.113.7\",\"sourceIPv4Address\":\"192.0.2.1\",\"destinationIPv4Address\":\"198.51.100.{port}\",\
             \"destinationTransportPort\":{port},\"protocolIdentifier\":6,\"octetDeltaCount\":{port},\"packetDeltaCount\":1}}"
        )
    };
    assert_eq!(lines(&mut found), [line(3), line(4)]);
    tap.set_watches(Arc::new([]));
    assert!(examiner.look(100).is_none());
}

#[test]
fn what_is_too_much_at_once_is_dropped_and_counted() {
    let (tap, mut found) = Tap::new();
    let mut examiner = tap.examiner(1, None);
    let watch = Arc::new(Watch::new(Filter::default()));
    tap.set_watches(Arc::new([Arc::clone(&watch)]));
    let records = u16::try_from(PER_SECOND).unwrap() + 500;
    pass(&mut examiner, &messages(0..records));
    let shown = lines(&mut found).len() as u64;
    let (matched, dropped) = (watch.matched.load(Ordering::Relaxed), watch.dropped.load(Ordering::Relaxed));
    assert_eq!((matched, shown + dropped), (u64::from(records), u64::from(records)));
    assert_eq!(shown, u64::from(PER_SECOND), "all that there is room for");
    // Nobody takes what is found: the channel is full, and nobody waits.
    let before = dropped;
    watch.room.store(i64::MAX, Ordering::Relaxed);
    (0..2).for_each(|_| pass(&mut examiner, &messages(0..10_000)));
    let shown = lines(&mut found).len() as u64;
    assert_eq!(shown + watch.dropped.load(Ordering::Relaxed) - before, 20_000);
    assert!(shown < 20_000);
}

#[test]
fn samples_of_one_message_in_many_stand_for_all() {
    let (tap, mut found) = Tap::new();
    tap.sample(4);
    let mut examiner = tap.examiner(2, None);
    let mut talkers = Talkers::new();
    for _ in 0..100 {
        tap.sample(4);
        pass(&mut examiner, &messages(100..200));
        while let Ok(Found::Flows { flows, stands_for }) = found.try_recv() {
            assert_eq!(stands_for, 4);
            flows.iter().for_each(|flow| talkers.add(flow, stands_for));
        }
    }
    let top = talkers.top(1);
    let estimate = top.total.flows;
    assert!((8_000..=12_000).contains(&estimate), "{estimate} of 10,000");
    assert_eq!(top.sources[0].0, Ipv4Addr::new(192, 0, 2, 1).to_string().parse::<IpAddr>().unwrap());
    assert_eq!(top.services[0].0.protocol, 6);
}

#[test]
fn a_burst_is_not_sampled_more_than_it_is_worth_and_still_estimated() {
    let (tap, mut found) = Tap::new();
    tap.sample(1);
    let mut examiner = tap.examiner(2, None);
    let (mut talkers, mut samples) = (Talkers::new(), 0);
    let messages = messages(0..20);
    for _ in 0..10_000 {
        pass(&mut examiner, &messages);
        while let Ok(Found::Flows { flows, stands_for }) = found.try_recv() {
            samples += 1;
            flows.iter().for_each(|flow| talkers.add(flow, stands_for));
        }
    }
    assert!(samples <= SAMPLES / 2 * 10, "{samples}");
    // Every second message has flows.
    let estimate = talkers.top(1).total.flows;
    assert!((100_000..=300_000).contains(&estimate), "{estimate} of 200,000");
}

#[test]
fn sessions_do_not_take_their_samples_together() {
    let (tap, _found) = Tap::new();
    tap.sample(10);
    let first = |id| {
        let mut examiner = tap.examiner(id, None);
        (0..100).position(|_| examiner.look(100).is_some()).unwrap()
    };
    let firsts: std::collections::BTreeSet<usize> = (0..10).map(first).collect();
    assert!(firsts.len() >= 5, "{firsts:?}");
}

#[test]
fn the_latest_records_are_kept_as_long_as_somebody_asks() {
    let (tap, _found) = Tap::new();
    let mut watches = Watches::new(tap);
    let now = start();
    assert!(watches.latest(now, 5).is_empty());
    let watch = watches.watch("");
    watches.take(now, &watch, b"{\"a\":1}\n{\"a\":2}\n");
    assert_eq!(watches.latest(now, 5), ["{\"a\":2}", "{\"a\":1}"]);
    // A filter ends when nobody has asked for a while.
    watches.next_second(now + Duration::from_secs(9));
    assert_eq!(watches.len(), 1);
    watches.next_second(now + Duration::from_secs(10));
    assert_eq!(watches.len(), 0);
}

#[expect(clippy::disallowed_methods, reason = "any time will do")]
fn start() -> std::time::Instant {
    std::time::Instant::now()
}
