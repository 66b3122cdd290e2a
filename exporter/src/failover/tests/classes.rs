//! Several classes: their streams, what they may lose, and how it is counted and told.

use super::*;

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
