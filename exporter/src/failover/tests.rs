mod spool;

use std::time::{Duration, Instant};

use delivery::cookie::{Entry, State};
use delivery::{ClassRecord, Cookie, Epoch, KeyRing, Ledger, Series, SessionRecord, StatisticsRecord};
use ipfix::{CollectingConfig, CollectingSession, Record, Template, Visitor};
use transport::{Outcome, Reliability};

use super::*;
use crate::export::{FlowEncoder, Kind};
use crate::metering::{Direction, FlowEndReason, FlowRecord};

const KEY: &str = "1 000102030405060708090a0b0c0d0e0f";
const SERIES: Series = Series { ledger: Ledger([7; 16]), epoch: Epoch(2), domain: 9 };
const EXPORT_TIME: u32 = 1_800_000_000;

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

fn config(classes: Classes) -> FailoverConfig {
    FailoverConfig {
        domain: SERIES.domain,
        classes,
        max_message: 1_000,
        max_lossy_message: Some(1_000),
        linger: Duration::from_millis(50),
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
        interface: 0,
        direction: Direction::Ingress,
        end_reason: FlowEndReason::IdleTimeout,
        octets: 100,
        packets: 1,
        start_ns: 1_700_000_000_000_000_000,
        end_ns: 1_700_000_001_000_000_000,
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
    let class_record = |set| set > 272 && (set - 256) % 16 == 0;
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
fn data_of_a_class_that_may_lose_some_follows_its_announcement_out_of_order() {
    let (mut failover, now) = (failover(Kind::Limited { max_retransmissions: 1 }), start());
    meter(&mut failover, 2);
    failover.finish();
    connect(&mut failover, true);
    let announcement = collect_more(&mut failover, now);
    assert_eq!(announcement.len(), 2, "templates, class record");
    let in_order = |message: &Transmit| message.reliability == Reliability::Full && !message.unordered;
    assert!(announcement.iter().all(in_order), "templates and class record arrive, in order");
    failover.handle_sent(now, announcement[1].token.unwrap(), Outcome::Delivered);
    assert_eq!(collect_more(&mut failover, now), [], "the templates may still be missing");
    failover.handle_sent(now, announcement[0].token.unwrap(), Outcome::Delivered);
    let data = collect_more(&mut failover, now);
    assert_eq!(data.len(), 1);
    assert_eq!((data[0].reliability, data[0].unordered), (Reliability::MaxRetransmits(1), true));
    assert!(announcement.iter().chain(&data).all(|message| message.stream == 2));
    assert_balanced(&failover);
}

#[test]
fn data_waits_for_its_announcement_for_a_second_at_most_and_goes_in_order_then() {
    let (mut failover, now) = (failover(Kind::Unreliable), start());
    meter(&mut failover, 1);
    failover.finish();
    connect(&mut failover, true);
    collect_more(&mut failover, now);
    let due = failover.poll_timeout(true).unwrap();
    assert_eq!(due, now + Duration::from_secs(1));
    let message = failover.poll_transmit(due, EXPORT_TIME).unwrap();
    assert_eq!((message.reliability, message.unordered), (Reliability::MaxRetransmits(0), false));
}

#[test]
fn what_an_association_takes_with_it_is_counted() {
    let (mut failover, now) = (failover(Kind::Unreliable), start());
    meter(&mut failover, 40);
    connect(&mut failover, true);
    let (messages, _) = collect(&mut failover, now);
    let tokens: Vec<_> = messages.iter().filter_map(|message| message.token).collect();
    failover.handle_sent(now, tokens[2], Outcome::Delivered);
    failover.handle_lost(now);
    let books = failover.books();
    assert!(books.abandoned[Abandonment::Association as usize] > 0 && books.delivered > 0, "{books:?}");
    assert!(
        books.dropped[DropReason::Association as usize] > 0,
        "those of the message that was not full: {books:?}"
    );
    assert_eq!((books.waiting, books.exported), (0, books.delivered + books.abandoned()));
    assert_balanced(&failover);
}

#[test]
fn the_reason_of_a_loss_is_that_of_its_class() {
    for (kind, reason) in [
        (Kind::Limited { max_retransmissions: 2 }, Abandonment::Retransmissions),
        (Kind::Unreliable, Abandonment::Retransmissions),
        (Kind::Timed { lifetime: Duration::from_millis(500) }, Abandonment::Lifetime),
        (Kind::Priority { priority: 7 }, Abandonment::Priority),
    ] {
        let (mut failover, now) = (failover(kind), start());
        meter(&mut failover, 1);
        failover.finish();
        connect(&mut failover, true);
        let (messages, _) = collect(&mut failover, now);
        failover.handle_sent(now, messages[2].token.unwrap(), Outcome::Abandoned);
        assert_eq!(failover.books().abandoned[reason as usize], 1, "{kind}");
        assert_balanced(&failover);
    }
}

#[test]
fn records_on_their_way_are_waiting_until_the_transport_has_told_their_fate() {
    let (mut failover, now) = (failover(Kind::Timed { lifetime: Duration::from_millis(500) }), start());
    meter(&mut failover, 3);
    failover.finish();
    connect(&mut failover, true);
    let (messages, _) = collect(&mut failover, now);
    assert_eq!((failover.books().waiting, failover.is_done()), (3, false));
    let token = messages.last().unwrap().token.unwrap();
    failover.handle_sent(now, token, Outcome::Abandoned);
    assert_eq!((failover.books().abandoned(), failover.is_done()), (3, false));
    let (_, seen) = collect(&mut failover, now);
    assert_eq!(seen, ["templates", "stream 2: 3 sent, 3 settled, 3 abandoned"]);
    assert!(failover.is_done());
    assert_balanced(&failover);
}

#[test]
fn a_record_being_packed_for_a_lost_association_is_dropped_and_the_rest_waits() {
    let (mut failover, now) = (failover(Kind::Unreliable), start());
    meter(&mut failover, 1);
    connect(&mut failover, true);
    collect(&mut failover, now);
    meter(&mut failover, 1);
    failover.handle_lost(now);
    let books = failover.books();
    assert_eq!((books.dropped[DropReason::Association as usize], books.waiting), (1, 1));
    assert_balanced(&failover);
}

#[test]
fn statistics_are_told_at_intervals_while_there_is_news() {
    let (mut failover, now) = (failover(Kind::Unreliable), start());
    meter(&mut failover, 1);
    connect(&mut failover, true);
    collect(&mut failover, now);
    let mut tokens = Vec::new();
    for waited in [100, 150, 200, 250].map(Duration::from_millis) {
        if waited.as_millis().is_multiple_of(100) {
            meter(&mut failover, 1);
        }
        tokens.extend(collect_more(&mut failover, now + waited).iter().filter_map(|message| message.token));
    }
    assert_eq!(tokens.len(), 2);
    failover.handle_sent(now, tokens[1], Outcome::Delivered);
    let due = failover.poll_timeout(true).unwrap();
    assert_eq!(due, now + Duration::from_secs(10));
    let (_, seen) = collect(&mut failover, due);
    // The second message has arrived, but what became of the first is not known.
    assert_eq!(seen, ["templates", "stream 2: 3 sent, 0 settled, 0 abandoned"]);
    assert_eq!(failover.poll_timeout(true), None, "there is no news");
    failover.handle_sent(due, tokens[0], Outcome::Abandoned);
    assert_eq!(failover.class_books(ClassIndex(0)).abandoned(), 2);
    assert_eq!(failover.poll_timeout(true), Some(due + Duration::from_secs(10)), "a fate is news");
}

#[test]
fn whoever_is_left_in_good_order_is_told_what_was_given_up() {
    let (mut failover, now) = (three_classes(), start());
    meter_class(&mut failover, DNS, 10..12);
    failover.finish();
    connect(&mut failover, true);
    collect(&mut failover, now);
    let messages = failover.farewell(EXPORT_TIME);
    failover.handle_lost(now);
    let mut session = CollectingSession::new(CollectingConfig::default());
    let mut seen = Seen::default();
    for message in &messages {
        assert_eq!((message.stream, message.reliability), (0, Reliability::Full));
        session.decode(message.stream, &message.octets, &mut seen).unwrap();
    }
    let told = ["stream 2: 2 sent, 2 settled, 2 abandoned", "stream 3: 0 sent, 0 settled, 0 abandoned"];
    assert_eq!(seen.0, ["templates", told[0], told[1]]);
    assert_eq!(failover.class_books(DNS).abandoned(), 2);
}

#[test]
fn classes_that_share_one_stream_say_which_they_are_and_are_all_reliable() {
    let (mut failover, now) = (three_classes(), start());
    meter_class(&mut failover, REST, 20..21);
    meter_class(&mut failover, RELIABLE, 0..2);
    failover.finish();
    failover.handle_connected(Carrier::OneStream, true);
    let (mut messages, seen) = collect(&mut failover, now);
    assert_eq!(seen, ["templates", "session 0<0", "templates", "0", "1", "class rest timed", "20"]);
    meter_class(&mut failover, RELIABLE, 2..3);
    meter_class(&mut failover, DNS, 10..11);
    let more = collect_more(&mut failover, now);
    // Flow records follow a session record by their numbers, so after others there is another one.
    let mut session = CollectingSession::new(CollectingConfig::default());
    messages.extend(more);
    let mut all = Seen::default();
    for message in &messages {
        assert!(message.reliability == Reliability::Full && !message.unordered);
        assert_eq!(session.decode(0, &message.octets, &mut all).unwrap().lost, 0);
    }
    assert_eq!(all.0[7..], ["session 2<2", "2", "class dns limited", "10"]);
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

const RELIABLE: ClassIndex = ClassIndex(0);
const DNS: ClassIndex = ClassIndex(1);
const REST: ClassIndex = ClassIndex(2);

fn three_classes() -> Failover {
    let class = |name: &str, kind| crate::export::Class { name: name.to_owned(), kind };
    let classes = vec![
        class("reliable", Kind::Reliable),
        class("dns", Kind::Limited { max_retransmissions: 1 }),
        class("rest", Kind::Timed { lifetime: Duration::from_millis(500) }),
    ];
    with_classes(Classes::new(classes).unwrap())
}

#[test]
fn every_class_goes_on_its_own_stream_with_its_own_templates_the_highest_first() {
    let (mut failover, now) = (three_classes(), start());
    meter_class(&mut failover, REST, 20..22);
    meter_class(&mut failover, DNS, 10..11);
    meter_class(&mut failover, RELIABLE, 0..3);
    failover.finish();
    connect(&mut failover, true);
    let (messages, seen) = collect(&mut failover, now);
    let streams: Vec<u16> = messages.iter().map(|message| message.stream).collect();
    assert_eq!(streams, [1, 1, 1, 1, 2, 2, 3, 3, 2, 3]);
    assert_eq!(
        seen,
        [
            "templates",
            "session 0<0",
            "templates",
            "0",
            "1",
            "2",
            "templates",
            "class dns limited",
            "templates",
            "class rest timed",
            "10",
            "20",
            "21"
        ]
    );
    for (class, metered) in [(RELIABLE, 3), (DNS, 1), (REST, 2)] {
        let books = failover.class_books(class);
        assert_eq!((books.metered, books.exported, books.waiting), (metered, metered, metered));
    }
    assert_balanced(&failover);
}

#[test]
fn where_room_is_short_the_lowest_class_loses_its_oldest_records_first() {
    let mut failover = three_classes();
    let mut record = Vec::new();
    let template = FlowEncoder::new().encode(&flow(1), &mut record);
    let fits = u64::try_from((1 << 20) / (record.len() + 4)).unwrap();
    let dropped =
        |failover: &Failover| [RELIABLE, DNS, REST].map(|class| failover.class_books(class).dropped());
    for _ in 0..fits {
        failover.push(REST, template, &record).unwrap();
    }
    assert_eq!(dropped(&failover), [0, 0, 0]);
    failover.push(REST, template, &record).unwrap();
    failover.push(DNS, template, &record).unwrap();
    failover.push(RELIABLE, template, &record).unwrap();
    assert_eq!((dropped(&failover)[0], dropped(&failover)[1]), (0, 0));
    assert!((3..=4).contains(&dropped(&failover)[2]));
    for _ in 0..2 * fits {
        failover.push(DNS, template, &record).unwrap();
    }
    assert_eq!(failover.class_books(REST).waiting, 0, "the lowest class is gone");
    failover.push(REST, template, &record).unwrap();
    assert_eq!(failover.class_books(REST).waiting, 0, "and does not push out a higher one");
    assert_eq!(failover.class_books(RELIABLE).dropped(), 0);
    assert_balanced(&failover);
    while failover.has_room() || failover.class_books(DNS).waiting > 0 {
        failover.push(RELIABLE, template, &record).unwrap();
    }
    assert_eq!(failover.class_books(RELIABLE).dropped(), 0);
    assert!(!failover.has_room(), "now the source waits");
    assert_balanced(&failover);
}

#[test]
fn a_failover_replays_class_reliable_and_counts_what_the_others_had_on_their_way() {
    let (mut failover, now) = (three_classes(), start());
    meter_class(&mut failover, RELIABLE, 0..3);
    meter_class(&mut failover, DNS, 10..12);
    failover.finish();
    connect(&mut failover, true);
    collect(&mut failover, now);
    failover.handle_lost(now);
    meter_class(&mut failover, DNS, 12..13);
    connect(&mut failover, true);
    let (_, seen) = collect(&mut failover, now);
    assert_eq!(seen[..7], ["templates", "session 0<3", "templates", "0", "1", "2", "templates"]);
    assert_eq!(seen[7..], ["class dns limited", "templates", "class rest timed", "12"]);
    let dns = failover.class_books(DNS);
    assert_eq!((dns.abandoned[Abandonment::Association as usize], dns.waiting), (2, 1));
    assert_balanced(&failover);
}

#[test]
fn a_standby_has_templates_and_the_request_for_cookies_before_it_is_promoted_and_records_after() {
    let (mut failover, now) = (three_classes(), start());
    meter_class(&mut failover, RELIABLE, 0..3);
    meter_class(&mut failover, DNS, 10..11);
    failover.finish();
    connect(&mut failover, true);
    collect(&mut failover, now);
    failover.handle_cookie(now, &cookie(0..1)).unwrap();

    failover.handle_standby_connected(Carrier::Streams, true);
    let advance: Vec<Transmit> =
        std::iter::from_fn(|| failover.poll_standby_transmit(now, EXPORT_TIME)).collect();
    let mut session = CollectingSession::new(CollectingConfig::default());
    let mut seen = Seen::default();
    for message in &advance {
        session.decode(message.stream, &message.octets, &mut seen).unwrap();
        if let Some(token) = message.token {
            failover.handle_standby_sent(now, token, Outcome::Delivered);
        }
    }
    let classes = ["templates", "class dns limited", "templates", "class rest timed"];
    assert_eq!(seen.0[..3], ["templates", "session 3<3", "templates"]);
    assert_eq!(seen.0[3..], classes[1..], "no flow record, and templates side by side");
    assert_eq!(failover.poll_standby_transmit(now, EXPORT_TIME), None);
    assert_eq!(failover.handle_standby_cookie(&cookie(0..3)), Ok(State::Ok));
    assert_eq!(failover.books().covered, 1, "its cookies are not about records");

    failover.handle_lost(now);
    failover.promote();
    meter_class(&mut failover, DNS, 12..13);
    let echo = failover.poll_transmit(now, EXPORT_TIME).unwrap();
    assert_eq!(echo.ppid, Ppid::ASAP);
    let rest = collect_more(&mut failover, now);
    let mut seen = Seen::default();
    for message in &rest {
        let summary = session.decode(message.stream, &message.octets, &mut seen).unwrap();
        assert_eq!((summary.lost, summary.no_template_sets), (0, 0));
    }
    assert_eq!(seen.0, ["session 1<3", "1", "2", "12"], "without templates, and without waiting");
    assert_balanced(&failover);
}

#[test]
fn a_collector_that_is_paused_gets_what_was_begun_and_nothing_more_and_is_settled_by_its_cookie() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 3);
    connect(&mut failover, true);
    collect(&mut failover, now);
    assert!(!failover.is_settled(), "a message is not full");
    failover.pause(now);
    meter(&mut failover, 1);
    assert_eq!(collect_more(&mut failover, now).len(), 1);
    assert!(!failover.is_settled());
    failover.handle_cookie(now, &cookie(0..3)).unwrap();
    assert!(failover.is_settled());

    failover.handle_standby_connected(Carrier::Streams, true);
    failover.handle_lost(now);
    failover.promote();
    failover.finish();
    let later = now + Duration::from_millis(10);
    assert_eq!(collect(&mut failover, later).1[2..], ["session 3<3", "templates", "0"]);
    assert_eq!((failover.books().resent, failover.take_gap()), (0, Some(Duration::from_millis(10))));
    assert_balanced(&failover);
}

#[test]
fn a_pause_that_is_taken_back_lets_records_go_on() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    failover.finish();
    connect(&mut failover, true);
    failover.pause(now);
    meter(&mut failover, 3);
    assert_eq!(collect_more(&mut failover, now), []);
    failover.resume();
    assert_eq!(collect(&mut failover, now).1.len(), 6);
    assert_eq!(failover.take_gap(), None);
}

#[test]
fn a_standby_that_is_dropped_takes_nothing_with_it() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    meter(&mut failover, 2);
    failover.finish();
    connect(&mut failover, true);
    failover.handle_standby_connected(Carrier::Streams, true);
    while failover.poll_standby_transmit(now, EXPORT_TIME).is_some() {}
    failover.drop_standby();
    assert_eq!(failover.handle_standby_cookie(&cookie(0..1)), Err(CookieRefused::NoSession));
    collect(&mut failover, now);
    failover.handle_cookie(now, &cookie(0..2)).unwrap();
    assert!(failover.is_done());
    assert_balanced(&failover);
}
