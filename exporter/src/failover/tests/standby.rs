//! The collector that stands by, and make before break.

use super::*;

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
