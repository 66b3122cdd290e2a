use super::*;
use crate::wire::asap::keep_alive::EndpointKeepAlive;

fn suggestion(element: PoolElementParameter) -> HandleUpdate {
    HandleUpdate { takeover_suggested: true, ..add(element) }
}

#[test]
fn a_suggested_element_is_ours_only_when_it_has_acknowledged() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    let done = bench.say(low, LOW, suggestion(element(0xa1, LOW)));
    let [(connection, ControlProtocol::Asap, _)] = connects(&done)[..] else { panic!("{done:?}") };
    assert_eq!(bench.home(0xa1), Some(LOW));
    bench.registrar.handle_connected(bench.now, connection, Bench::remote(IpAddr::from([10, 0, 1, 0xa1])));
    let done = bench.drain();
    let asks = |did: &Did| {
        matches!(did, Did::Asap(_, wire::Message::EndpointKeepAlive(EndpointKeepAlive { home: true, .. })))
    };
    assert!(done.iter().any(asks));
    assert_eq!(bench.home(0xa1), Some(LOW));
    let done = bench.ack(connection, 0xa1);
    assert_eq!(bench.home(0xa1), Some(ME));
    assert!(events(&done).contains(&Event::ElementAdopted { pool: pool(), pe: PE, from: Some(LOW) }));
    assert!(matches!(&messages(&done)[..], [(_, Body::HandleUpdate(update))] if update.element.home == ME));
    // What the old home says when it sees the association go is too late.
    bench.say(low, LOW, delete(element(0xa1, LOW)));
    assert_eq!(bench.home(0xa1), Some(ME));
}

#[test]
fn a_suggested_element_that_cannot_be_reached_stays_where_it_is() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    let done = bench.say(low, LOW, suggestion(element(0xa1, LOW)));
    let [(connection, ..)] = connects(&done)[..] else { panic!("{done:?}") };
    bench.registrar.handle_connect_failed(bench.now, connection);
    bench.drain();
    let done = bench.pass_with(Duration::from_secs(10), &[(low, LOW)]);
    assert_eq!((connects(&done), bench.home(0xa1)), (vec![], Some(LOW)));
}

#[test]
fn suggestions_are_only_followed_if_configured_and_of_the_home() {
    let mut bench = Bench::ready_with(|config| config.takeover_suggestion = false);
    let low = bench.join(LOW);
    assert_eq!(connects(&bench.say(low, LOW, suggestion(element(0xa1, LOW)))), []);
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    assert_eq!(connects(&bench.say(low, LOW, suggestion(element(0xa1, HIGH)))), []);
}

#[test]
fn leaving_offers_each_element_and_ends_when_all_are_handed_over() {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    let pe = bench.register(0xa1);
    bench.registrar.leave(bench.now);
    let done = bench.drain();
    let suggested: Vec<_> = messages(&done);
    // 90 xor a1 is 31, 10 xor a1 is b1: the larger one is offered the element.
    assert!(
        matches!(&suggested[..], [(to, Body::HandleUpdate(update))] if *to == low && update.takeover_suggested)
    );
    // The element goes over: its association ends before the new home's word arrives.
    let done = bench.lose(pe);
    assert!(!events(&done).contains(&Event::ElementSuspect { pool: pool(), pe: PE }), "no death");
    assert!(!bench.registrar.is_suspect(&(pool(), PE)));
    let done = bench.say(low, LOW, add(element(0xa1, LOW)));
    assert!(events(&done).contains(&Event::Left { elements: 0 }));
    let done = bench.pass_with(Duration::from_secs(5), &[(low, LOW), (high, HIGH)]);
    assert_eq!(messages(&done), [], "silent from here on");
}

#[test]
fn leaving_without_anybody_to_take_over_ends_at_once_and_removes_nothing() {
    let mut bench = Bench::ready_with(|config| config.takeover_suggestion = false);
    let low = bench.join(LOW);
    let pe = bench.register(0xa1);
    bench.registrar.leave(bench.now);
    assert!(events(&bench.drain()).contains(&Event::Left { elements: 1 }));
    bench.lose(pe);
    let done = bench.pass_with(Duration::from_secs(5), &[(low, LOW)]);
    assert_eq!(messages(&done), [], "no removal: the peers find out who lives");
}

#[test]
fn leaving_ends_although_nobody_follows_the_suggestion() {
    let mut bench = Bench::ready();
    let low = bench.join(LOW);
    let pe = bench.register(0xa1);
    bench.registrar.leave(bench.now);
    assert!(!events(&bench.drain()).iter().any(|event| matches!(event, Event::Left { .. })));
    let mut done = vec![];
    for _ in 0..8 {
        done.extend(bench.pass_with(Duration::from_millis(500), &[(low, LOW)]));
        bench.ack(pe, 0xa1);
    }
    assert!(events(&done).contains(&Event::Left { elements: 1 }));
}

#[test]
fn an_element_that_its_best_registrar_does_not_take_over_is_offered_to_the_next_best() {
    let mut bench = Bench::ready();
    let (low, high) = (bench.join(LOW), bench.join(HIGH));
    let pe = bench.register(0xa1);
    bench.registrar.leave(bench.now);
    let mut offered = Vec::new();
    let mut note = |done: &[Did]| {
        let suggested = |(to, body): (ConnectionId, Body)| {
            matches!(body, Body::HandleUpdate(update) if update.takeover_suggested).then_some(to)
        };
        offered.extend(messages(done).into_iter().filter_map(suggested));
    };
    note(&bench.drain());
    for _ in 0..8 {
        note(&bench.pass_with(Duration::from_millis(500), &[(low, LOW), (high, HIGH)]));
        note(&bench.ack(pe, 0xa1));
    }
    assert_eq!(offered, [low, high], "each once");
    bench.lose(pe);
    bench.say(high, HIGH, add(element(0xa1, HIGH)));
    assert_eq!(bench.home(0xa1), Some(HIGH));
}
