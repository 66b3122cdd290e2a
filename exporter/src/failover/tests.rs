mod classes;
mod growing;
mod per_stream;
mod spool;
mod standby;
mod telling;

use std::time::{Duration, Instant};

use delivery::cookie::{Entry, State};
use delivery::{ClassRecord, Cookie, Epoch, KeyRing, Ledger, Series, SessionRecord, StatisticsRecord};
use ipfix::{CollectingConfig, CollectingSession, Record, Template, Visitor};
use transport::{Outcome, Reliability};

use super::*;
use crate::export::templates::class_record_id;
use crate::export::{FlowEncoder, Kind};
use crate::metering::{Details, Direction, FlowEndReason, FlowRecord};
use crate::packet::Segment;

const KEY: &str = "1 000102030405060708090a0b0c0d0e0f";
const SERIES: Series = Series { ledger: Ledger([7; 16]), epoch: Epoch(2), domain: 9 };
const EXPORT_TIME: u32 = 1_800_000_000;

const RELIABLE: ClassIndex = ClassIndex(0);
const DNS: ClassIndex = ClassIndex(1);
const REST: ClassIndex = ClassIndex(2);

#[expect(clippy::disallowed_methods, reason = "tests need some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

fn failover(kind: Kind) -> Failover {
    with_classes(Classes::single(kind))
}

fn with_classes(classes: Classes) -> Failover {
    Failover::new(config(classes), ExporterState { ledger: SERIES.ledger, epoch: SERIES.epoch }, 1)
}

fn three_classes() -> Failover {
    let class = |name: &str, kind| crate::export::Class { name: name.to_owned(), kind };
    let classes = vec![
        class("reliable", Kind::Reliable),
        class("dns", Kind::Limited { max_retransmissions: 1 }),
        class("rest", Kind::Timed { lifetime: Duration::from_millis(500) }),
    ];
    with_classes(Classes::new(classes).unwrap())
}

fn config(classes: Classes) -> FailoverConfig {
    FailoverConfig {
        domain: SERIES.domain,
        classes,
        templates: FlowEncoder::new().templates().clone(),
        max_message: 1_000,
        max_lossy_message: Some(1_000),
        linger: Duration::from_millis(50),
        per_stream: false,
        options_interval: Duration::from_secs(600),
        memory: 1 << 20,
        spool: None,
        keys: KeyRing::parse(KEY).unwrap(),
    }
}

fn meter(failover: &mut Failover, flows: u16) {
    meter_class(failover, ClassIndex::default(), 0..flows);
}

fn meter_class(failover: &mut Failover, class: ClassIndex, ports: std::ops::Range<u16>) {
    let encoder = FlowEncoder::new();
    for port in ports {
        let mut record = Vec::new();
        let template = encoder.encode(&flow(port), &mut record);
        failover.push(class, template, &record).unwrap();
    }
}

fn connect(failover: &mut Failover, acknowledges: bool) {
    failover.handle_connected(Carrier::Streams, acknowledges);
}

fn flow(source_port: u16) -> FlowRecord {
    FlowRecord {
        source: [192, 0, 2, 1].into(),
        destination: [198, 51, 100, 1].into(),
        source_port,
        destination_port: 443,
        protocol: 6,
        class_of_service: 0,
        tcp_control_bits: 0,
        minimum_ttl: 64,
        maximum_ttl: 64,
        vlan_id: 0,
        customer_vlan_id: 0,
        segment: Segment::NONE,
        interface: 0,
        direction: Direction::Ingress,
        end_reason: FlowEndReason::IdleTimeout,
        octets: 100,
        packets: 1,
        start_ns: 1_700_000_000_000_000_000,
        end_ns: 1_700_000_001_000_000_000,
        details: Details::default(),
        reverse: None,
    }
}

/// A collector's view of one session, in short: `templates`, `session FIRST<UNTIL`, or a flow's source port.
#[derive(Default)]
struct Seen(Vec<String>);

impl Visitor for Seen {
    fn template(&mut self, _: u32, _: &Template) {
        if self.0.last().is_none_or(|last| last != "templates") {
            self.0.push("templates".into());
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        let fields = || record.fields().map(|field| (field.pen(), field.id(), field.octets()));
        self.0.push(if let Ok(session) = SessionRecord::from_fields(record.domain, fields()) {
            format!("session {}<{}", session.first_number, session.possible_duplicate_until)
        } else if let Ok(class) = ClassRecord::from_fields(record.domain, fields()) {
            format!("class {} {}", class.name, class.reliability)
        } else if let Ok(told) = StatisticsRecord::from_fields(record.domain, fields()) {
            format!(
                "stream {}: {} sent, {} settled, {} abandoned",
                told.stream, told.sent, told.settled, told.abandoned
            )
        } else if let Some(told) = record.find(0, 276) {
            let template = record.find(0, 145).unwrap().value();
            format!("template {template} reliable: {}", told.value())
        } else {
            let port = record.template.position(0, 7).unwrap();
            let octets = record.field(port).unwrap().octets();
            u16::from_be_bytes(octets.try_into().unwrap()).to_string()
        });
    }
}

/// The transport acknowledges the messages of templates and of class records.
fn acknowledge_announcements(failover: &mut Failover, now: Instant, messages: &[Transmit]) {
    let set = |message: &Transmit| u16::from_be_bytes([message.octets[16], message.octets[17]]);
    let class_record = |set| (2..=9).any(|stream| set == class_record_id(stream));
    let announcements = messages.iter().filter(|message| set(message) < 4 || class_record(set(message)));
    for token in announcements.filter_map(|message| message.token) {
        failover.handle_sent(now, token, Outcome::Delivered);
    }
}

/// Takes all messages, announcements being acknowledged at once; returns what a collector reads of them.
fn collect(failover: &mut Failover, now: Instant) -> (Vec<Transmit>, Vec<String>) {
    let mut session = CollectingSession::new(CollectingConfig::default());
    let (mut messages, mut seen) = (Vec::new(), Seen::default());
    loop {
        let more = collect_more(failover, now);
        acknowledge_announcements(failover, now, &more);
        if more.is_empty() {
            return (messages, seen.0);
        }
        for message in more {
            if message.ppid == Ppid::ASAP {
                let Ok(Asap::CookieEcho(echo)) = Asap::decode(&message.octets) else { panic!("no echo") };
                let echoed = Cookie::decode(&echo.cookie, &KeyRing::parse(KEY).unwrap()).unwrap();
                seen.0.push(format!("echo {:?}", echoed.entries[0].numbers));
                continue;
            }
            let summary = session.decode(message.stream, &message.octets, &mut seen).unwrap();
            assert_eq!((summary.lost, summary.no_template_sets), (0, 0));
            messages.push(message);
        }
    }
}

/// Takes all messages that are there.
fn collect_more(failover: &mut Failover, now: Instant) -> Vec<Transmit> {
    std::iter::from_fn(|| failover.poll_transmit(now, EXPORT_TIME)).collect()
}

fn cookie(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let entries = vec![Entry { series: SERIES, numbers }];
    Cookie { incarnation: 1, state: State::Ok, entries }.encode(&KeyRing::parse(KEY).unwrap())
}

#[track_caller]
fn assert_balanced(failover: &Failover) {
    for (class, _) in failover.classes().iter() {
        let books = failover.class_books(class);
        let Books { metered, covered, delivered, waiting, .. } = books;
        assert_eq!(metered, covered + delivered + books.abandoned() + books.dropped() + waiting, "{books:?}");
    }
}

#[test]
fn a_session_begins_with_its_session_record_and_templates() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 3);
    failover.finish();
    connect(&mut failover, true);
    let (messages, seen) = collect(&mut failover, now);
    assert_eq!(seen, ["templates", "session 0<0", "templates", "0", "1", "2"]);
    assert!(messages.iter().all(|message| message.stream == 1 && message.reliability == Reliability::Full));
}

#[test]
fn what_no_cookie_covered_is_sent_again_to_the_next_collector_before_new_records() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 4);
    failover.finish();
    connect(&mut failover, true);
    collect(&mut failover, now);
    assert_eq!(failover.handle_cookie(now, &cookie(0..2)), Ok(State::Ok));
    failover.handle_lost(now);
    meter(&mut failover, 1);
    connect(&mut failover, true);
    let later = now + Duration::from_millis(300);
    let (_, seen) = collect(&mut failover, later);
    assert_eq!(seen, ["echo 0..2", "templates", "session 2<4", "templates", "2", "3", "0"]);
    assert_eq!(failover.take_gap(), Some(Duration::from_millis(300)));
    assert_eq!(failover.books().resent, 2);
    assert!(!failover.is_done());
    failover.handle_cookie(later, &cookie(2..5)).unwrap();
    assert!(failover.is_done());
    assert_balanced(&failover);
}

#[test]
fn a_cookie_that_the_pool_has_not_signed_covers_nothing() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 1);
    failover.finish();
    connect(&mut failover, true);
    collect(&mut failover, now);
    let mut forged = cookie(0..1);
    *forged.last_mut().unwrap() ^= 1;
    assert!(failover.handle_cookie(now, &forged).is_err());
    assert_eq!(failover.books().covered, 0);
}

#[test]
fn a_cookie_for_records_not_sent_in_this_session_covers_nothing() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 2);
    connect(&mut failover, true);
    failover.handle_cookie(now, &cookie(0..2)).unwrap();
    assert_eq!(failover.books().covered, 0);
}

#[test]
fn a_collector_without_cookies_for_three_seconds_is_frozen() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 1);
    failover.finish();
    connect(&mut failover, true);
    collect(&mut failover, now);
    let mut sign = None;
    while sign.is_none() {
        let due = failover.poll_timeout(true).unwrap();
        assert!(due <= now + Duration::from_secs(3));
        sign = failover.handle_timeout(due);
    }
    assert_eq!(sign, Some(Sign::Frozen));
}

#[test]
fn the_window_bounds_what_is_sent_and_not_on_disk() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    // The window is 1 MiB at first and memory is 1 MiB, so records are pushed as they are covered.
    connect(&mut failover, true);
    let mut sent = 0;
    for _ in 0..3 {
        while failover.has_room() {
            meter(&mut failover, 1);
        }
        let (messages, _) = (std::iter::from_fn(|| failover.poll_transmit(now, EXPORT_TIME)).count(), ());
        assert!(messages > 0);
        sent = failover.books().metered;
        failover.handle_cookie(now, &cookie(0..sent)).unwrap();
        assert_balanced(&failover);
    }
    assert!(sent > 0);
    assert!(failover.window() > 1 << 20, "progress widens the window: {}", failover.window());
}

#[test]
fn a_record_waits_a_moment_for_its_message_to_fill() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 1);
    connect(&mut failover, true);
    let (_, seen) = collect(&mut failover, now);
    assert!(!seen.contains(&"0".to_owned()));
    let due = failover.poll_timeout(true).unwrap();
    assert_eq!(due, now + Duration::from_millis(50));
    let mut messages = Vec::new();
    while let Some(message) = failover.poll_transmit(due, EXPORT_TIME) {
        messages.push(message);
    }
    assert_eq!(messages.len(), 1);
}

#[test]
fn the_last_cookie_is_echoed_first_and_only_to_collectors_that_send_cookies() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 3);
    failover.finish();
    connect(&mut failover, true);
    let (_, seen) = collect(&mut failover, now);
    assert_eq!(seen[0], "templates", "there is none yet");
    failover.handle_cookie(now, &cookie(0..1)).unwrap();
    failover.handle_cookie(now, &cookie(0..2)).unwrap();
    failover.handle_lost(now);
    connect(&mut failover, false);
    assert_eq!(collect(&mut failover, now).1[0], "templates");
    failover.handle_lost(now);
    connect(&mut failover, true);
    let echo = failover.poll_transmit(now, EXPORT_TIME).unwrap();
    assert_eq!((echo.stream, echo.ppid, echo.reliability), (0, Ppid::ASAP, Reliability::Full));
    assert_eq!(collect(&mut failover, now).1[0], "templates", "once");
}

#[test]
fn without_room_the_oldest_records_go_and_are_counted() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    let mut metered = 0;
    while failover.books().dropped() == 0 {
        meter(&mut failover, 1);
        metered += 1;
    }
    assert_balanced(&failover);
    let dropped = failover.books().dropped[DropReason::BufferFull as usize];
    assert!(dropped < metered / 10, "{dropped} of {metered}");
    connect(&mut failover, true);
    let (_, seen) = collect(&mut failover, now);
    assert_eq!(seen[1], format!("session {dropped}<0"), "the newer ones are here, by their numbers");
}

#[test]
fn a_collector_without_cookies_is_done_when_its_transport_has_everything() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 20);
    failover.finish();
    connect(&mut failover, false);
    let (messages, _) = collect(&mut failover, now);
    for token in messages.iter().filter_map(|message| message.token) {
        assert!(!failover.is_done());
        failover.handle_sent(now, token, Outcome::Delivered);
    }
    let due = failover.poll_timeout(true).unwrap();
    assert_eq!(failover.handle_timeout(due), None);
    assert!(failover.is_done(), "{:?}", failover.books());
    assert_balanced(&failover);
}

#[test]
fn a_collector_without_cookies_leaves_its_last_records_to_its_successor() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 20);
    connect(&mut failover, false);
    let later = now + Duration::from_millis(50);
    collect(&mut failover, now);
    failover.handle_lost(later);
    failover.finish();
    connect(&mut failover, true);
    let (_, seen) = collect(&mut failover, later);
    assert_eq!(seen[..3], ["templates", "session 0<20", "templates"]);
    assert_eq!(seen.len(), 23);
}
