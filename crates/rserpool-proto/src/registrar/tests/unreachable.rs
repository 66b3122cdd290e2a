//! Reports of unreachability, and what they do to an element that lives or not (RFC 5352 section 3.5).

use super::*;

#[test]
fn a_report_asks_the_element_at_once_and_a_flood_of_them_does_not_flood_it() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    let sent = bench.report(SECOND);
    assert!(matches!(&sent[..], [(FIRST, Message::EndpointKeepAlive(_))]), "{sent:?}");
    bench.ack(FIRST);
    for _ in 0..100 {
        assert_eq!(bench.report(SECOND), []);
    }
    // A burst of five, then one per second.
    let counters = bench.registrar.counters();
    assert_eq!((counters.reports_accepted, counters.reports_limited), (5, 96));
    assert!(bench.is_registered());
}

#[test]
fn after_reports_of_three_others_one_missed_keep_alive_is_enough() {
    let mut bench = Bench::default();
    let users = [3, 4, 5].map(ConnectionId::accepted);
    bench.register(FIRST, element(&[HERE]));
    for user in users {
        bench.accept(user, address(user));
        bench.report(user);
    }
    bench.pass(Profile::FAST.keep_alive_timeout);
    assert!(!bench.is_registered());
}

/// Each connection's own address.
fn address(connection: ConnectionId) -> [u8; 4] {
    [10, 0, 1, connection.0.to_be_bytes()[7]]
}

#[test]
fn one_host_with_three_connections_is_one_reporter() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    for user in [3, 4, 5].map(ConnectionId::accepted) {
        bench.accept(user, THERE);
        bench.report(user);
    }
    bench.pass(Profile::FAST.keep_alive_timeout);
    assert!(bench.is_registered(), "one missed keep-alive is not enough");
    for user in (6..40).map(ConnectionId::accepted) {
        bench.accept(user, THERE);
        bench.report(user);
    }
    assert!(bench.registrar.counters().reports_accepted <= 6, "its rate is that of one");
}

#[test]
fn secured_reporters_are_counted_by_their_names() {
    for (names, removed) in [([0, 1, 2], true), ([0, 0, 0], false)] {
        let mut bench = Bench::default();
        bench.register(FIRST, element(&[HERE]));
        for (user, name) in [3, 4, 5].map(ConnectionId::accepted).into_iter().zip(names) {
            bench.accept(user, if removed { THERE } else { address(user) });
            let names = vec![format!("pu{name}.example")];
            bench.registrar.authorize(user, Authority { names, pools: None });
            bench.report(user);
        }
        bench.pass(Profile::FAST.keep_alive_timeout);
        assert_eq!(bench.is_registered(), !removed);
    }
}

#[test]
fn an_answer_clears_the_reports() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    for user in [3, 4, 5].map(ConnectionId::accepted) {
        bench.accept(user, address(user));
        bench.report(user);
    }
    bench.ack(FIRST);
    let next = bench.registrar.poll_timeout().unwrap();
    let sent = bench.pass(next - bench.now);
    assert!(matches!(&sent[..], [(FIRST, Message::EndpointKeepAlive(_))]), "{sent:?}");
    bench.pass(Profile::FAST.keep_alive_timeout);
    assert!(bench.is_registered(), "one missed keep-alive is not enough any more");
}

#[test]
fn an_element_that_answers_survives_any_number_of_reporters() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    for user in (3..200).map(ConnectionId::accepted) {
        bench.accept(user, address(user));
        bench.report(user);
        let sent = bench.pass(Duration::from_millis(100));
        if !sent.is_empty() || user.0 % 2 == 0 {
            bench.ack(FIRST);
        }
    }
    assert!(bench.is_registered());
}

#[test]
fn doubts_ask_an_element_at_most_once_a_second_whoever_has_them() {
    for profile in [Profile::FAST, Profile::RFC, Profile::RSPLIB] {
        let mut bench = Bench::new(RegistrarConfig { profile, ..RegistrarConfig::default() });
        bench.register(FIRST, PoolElementParameter { life: RegistrationLife(3_600_000), ..element(&[HERE]) });
        let mut asked: Vec<Instant> = Vec::new();
        for user in (3..1_203).map(ConnectionId::accepted) {
            bench.accept(user, [10, 0, 2 + user.0.to_be_bytes()[6], user.0.to_be_bytes()[7]]);
            let sent = bench.report(user);
            asked.extend(sent.iter().map(|_| bench.now));
            // It answers at once whatever it is asked.
            if !sent.is_empty() {
                bench.ack(FIRST);
            }
            if !bench.pass(Duration::from_millis(50)).is_empty() {
                bench.ack(FIRST);
            }
        }
        let counters = bench.registrar.counters();
        assert_eq!(counters.reports_limited, 0, "each has a rate of its own");
        assert!(counters.reports_accepted == 1_200 && !asked.is_empty(), "{}: {counters:?}", profile.name);
        let closest = asked.windows(2).map(|pair| pair[1] - pair[0]).min();
        assert!(closest.is_none_or(|gap| gap >= Duration::from_secs(1)), "{}: {closest:?}", profile.name);
        assert!(bench.is_registered());
    }
}
