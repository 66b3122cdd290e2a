//! What a relay learns while sessions go on: templates, and options records of other exporters.

use ipfix::FieldSpecifier;

use super::*;

/// sourceTransportPort and protocolIdentifier, behind the templates there were.
fn grown() -> (Templates, TemplateIndex) {
    let mut templates = FlowEncoder::new().templates().clone();
    let fields = vec![FieldSpecifier::iana(7, 2), FieldSpecifier::iana(4, 1)];
    let index = templates.add_unnamed(0, fields).unwrap();
    (templates, index)
}

/// Takes a record of a template that was just learned.
fn learn(failover: &mut Failover, class: ClassIndex, port: u8) {
    let (templates, index) = grown();
    failover.follow_templates(&templates);
    failover.push(class, index, &[0, port, 6]).unwrap();
}

#[test]
fn a_template_learned_during_a_session_goes_before_its_first_record_and_ends_no_numbering() {
    let (mut failover, now) = (three_classes(), start());
    failover.finish();
    connect(&mut failover, true);
    for class in [RELIABLE, DNS, REST] {
        meter_class(&mut failover, class, 0..2);
    }
    collect(&mut failover, now);
    for class in [RELIABLE, DNS, REST] {
        learn(&mut failover, class, 100 + class.0);
        let stream = failover.classes().stream(class);
        let (messages, seen) = collect(&mut failover, now);
        assert_eq!(seen, ["templates".to_owned(), (100 + class.0).to_string()]);
        assert!(messages.iter().all(|message| message.stream == stream));
        assert_eq!(messages[0].reliability, Reliability::Full);
    }
    failover.handle_cookie(now, &cookie(0..3)).unwrap();
    assert_eq!(failover.class_books(RELIABLE).covered, 3);
    assert_balanced(&failover);
    // The next collector has it from the start.
    learn(&mut failover, RELIABLE, 7);
    failover.handle_lost(now);
    connect(&mut failover, true);
    assert!(collect(&mut failover, now).1.contains(&"7".to_owned()));
}

#[test]
fn records_of_a_class_that_may_lose_wait_for_the_acknowledgement_of_a_new_template() {
    let (mut failover, now) = (three_classes(), start());
    failover.finish();
    connect(&mut failover, true);
    meter_class(&mut failover, DNS, 0..1);
    collect(&mut failover, now);
    learn(&mut failover, DNS, 100);
    let template = collect_more(&mut failover, now);
    assert_eq!(template.len(), 1, "and no record");
    assert!(failover.poll_timeout(true) > Some(now), "there is nothing to do before");
    acknowledge_announcements(&mut failover, now, &template);
    let records = collect_more(&mut failover, now);
    assert!(records.len() == 1 && records[0].unordered);
}

#[test]
fn a_collector_that_stands_by_gets_a_new_template_at_once() {
    let (mut failover, now) = (three_classes(), start());
    failover.finish();
    connect(&mut failover, true);
    collect(&mut failover, now);
    failover.handle_standby_connected(Carrier::Streams, true);
    let drain = |failover: &mut Failover, session: &mut CollectingSession| {
        let mut seen = Seen::default();
        while let Some(message) = failover.poll_standby_transmit(now, EXPORT_TIME) {
            session.decode(message.stream, &message.octets, &mut seen).unwrap();
            message.token.into_iter().for_each(|token| {
                failover.handle_standby_sent(now, token, Outcome::Delivered);
            });
        }
        seen.0
    };
    let mut session = CollectingSession::new(CollectingConfig::default());
    drain(&mut failover, &mut session);
    let before = session.templates().count();
    learn(&mut failover, RELIABLE, 100);
    assert_eq!(drain(&mut failover, &mut session), ["templates"]);
    assert_eq!(session.templates().count(), before + 3, "one for each class");

    failover.handle_lost(now);
    failover.promote();
    let mut seen = Seen::default();
    for message in collect_more(&mut failover, now) {
        let summary = session.decode(message.stream, &message.octets, &mut seen).unwrap();
        assert_eq!((summary.templates, summary.no_template_sets), (0, 0));
    }
    assert_eq!(seen.0, ["session 0<0", "100"]);
}

/// Tables of options templates: originalObservationDomainId is scope, and sourceTransportPort says which record it is.
fn options() -> (Templates, TemplateIndex) {
    let mut templates = Templates::default();
    let fields = vec![FieldSpecifier::iana(405, 4), FieldSpecifier::iana(7, 2)];
    let index = templates.add_unnamed(1, fields).unwrap();
    (templates, index)
}

fn tell(failover: &mut Failover, domain: u8, what: u8) {
    let (templates, index) = options();
    failover.follow_options_templates(&templates);
    failover.pass_on(index, 4, &[0, 0, 0, domain, 0, what]);
}

#[test]
fn every_collector_is_told_the_last_of_what_another_exporter_told_and_each_once() {
    for carrier in [Carrier::Streams, Carrier::OneStream] {
        let (mut failover, now) = (failover(Kind::Reliable), start());
        failover.finish();
        for (domain, what) in [(1, 10), (2, 20), (1, 11), (2, 20)] {
            tell(&mut failover, domain, what);
        }
        meter(&mut failover, 1);
        failover.handle_connected(carrier, true);
        let seen = collect(&mut failover, now).1;
        assert_eq!(seen[..3], ["templates", "20", "11"], "{carrier:?}");
        assert!(
            seen.ends_with(&["session 0<0".into(), "templates".into(), "0".into()]),
            "{carrier:?} {seen:?}"
        );
        tell(&mut failover, 2, 20);
        assert_eq!(collect(&mut failover, now).1, [""; 0], "it is known");
        failover.handle_lost(now);
        failover.handle_connected(carrier, true);
        tell(&mut failover, 1, 12);
        let seen = collect(&mut failover, now).1;
        assert_eq!(seen[..3], ["templates", "20", "12"], "{carrier:?}");
        assert!(seen.contains(&"0".to_owned()));
    }
}

#[test]
fn a_collector_that_stands_by_is_told_in_advance() {
    let (mut failover, now) = (failover(Kind::Reliable), start());
    failover.finish();
    tell(&mut failover, 1, 10);
    failover.handle_standby_connected(Carrier::Streams, true);
    let mut session = CollectingSession::new(CollectingConfig::default());
    let mut seen = Seen::default();
    while let Some(message) = failover.poll_standby_transmit(now, EXPORT_TIME) {
        session.decode(message.stream, &message.octets, &mut seen).unwrap();
    }
    assert_eq!(seen.0[..2], ["templates", "10"]);
    failover.promote();
    assert_eq!(collect_more(&mut failover, now), []);
}

#[test]
fn what_others_tell_is_bounded() {
    let mut failover = failover(Kind::Reliable);
    let (templates, index) = options();
    failover.follow_options_templates(&templates);
    for subject in 0..10_000_u32 {
        failover.pass_on(index, 4, &[&subject.to_be_bytes()[..], &[0, 1]].concat());
    }
    let (kept, refused) = failover.passed();
    assert!((1_000..9_000).contains(&kept) && refused == 10_000 - kept as u64, "{kept} {refused}");
    failover.pass_on(index, 4, &[0, 0, 0, 0, 0, 2]);
    assert_eq!(failover.passed(), (kept, refused), "what is known may change");
}
