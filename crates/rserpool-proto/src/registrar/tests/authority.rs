use super::*;
use crate::wire::asap::deregistration::DeregistrationResponse;

fn bench_with(first: &[&str], pools: &[&str]) -> Bench {
    let mut bench = Bench::default();
    bench.registrar.authorize(FIRST, authority(first, pools));
    bench
}

fn authority(names: &[&str], pools: &[&str]) -> Authority {
    Authority {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        pools: Some(pools.iter().map(|pattern| PoolPattern::new(pattern)).collect()),
    }
}

fn deregister(bench: &mut Bench, from: ConnectionId) -> DeregistrationResponse {
    let message = Deregistration { pool: pool(), pe: PE, unknown: vec![] };
    let answers = bench.tell(from, &Message::Deregistration(message));
    let Some((_, Message::DeregistrationResponse(response))) = answers.into_iter().next() else {
        panic!("no response")
    };
    response
}

#[test]
fn an_element_registers_only_in_pools_its_name_is_listed_for() {
    let mut bench = bench_with(&["a.example"], &["other", "ip*"]);
    assert_eq!(codes(&bench.register(FIRST, element(&[HERE]))), []);
    bench.registrar.authorize(SECOND, authority(&["b.example"], &["other"]));
    let other = PoolElementParameter { pe: PeId(0xa2), ..element(&[HERE]) };
    assert_eq!(codes(&bench.register(SECOND, other)), [CauseCode::SECURITY]);
    // Who may register nothing may still ask.
    assert_eq!(bench.resolve(None).elements.len(), 1);
}

#[test]
fn the_same_identifier_of_another_name_is_refused_whatever_its_addresses() {
    let mut bench = bench_with(&["a.example"], &["*"]);
    bench.register(FIRST, element(&[HERE]));
    bench.registrar.handle_lost(bench.now, FIRST);
    bench.registrar.authorize(SECOND, authority(&["b.example"], &["*"]));
    assert_eq!(codes(&bench.register(SECOND, element(&[HERE]))), [CauseCode::NON_UNIQUE_PE_ID]);
    assert_eq!(deregister(&mut bench, SECOND).causes[0].code, CauseCode::SECURITY);
    assert!(bench.is_registered());
}

#[test]
fn the_same_name_from_another_address_is_the_same_element() {
    let mut bench = bench_with(&["a.example"], &["*"]);
    bench.register(FIRST, element(&[HERE]));
    bench.registrar.handle_lost(bench.now, FIRST);
    let third = ConnectionId::accepted(3);
    bench.accept(third, THERE);
    bench.registrar.authorize(third, authority(&["a.example"], &["*"]));
    assert_eq!(codes(&bench.register(third, element(&[THERE]))), []);
    assert!(deregister(&mut bench, third).causes.is_empty());
    assert!(!bench.is_registered());
}

#[test]
fn registrations_lack_resources_when_they_take_too_many_octets() {
    let config = RegistrarConfig { max_octets: 200, max_octets_per_connection: 130, ..Default::default() };
    let mut bench = Bench::new(config);
    let mut register =
        |from, pe| codes(&bench.register(from, PoolElementParameter { pe: PeId(pe), ..element(&[HERE]) }));
    // Each has 56 octets.
    assert_eq!(register(FIRST, 1), []);
    assert_eq!(register(FIRST, 2), []);
    assert_eq!(register(FIRST, 3), [CauseCode::LACK_OF_RESOURCES], "beyond the connection's part");
    assert_eq!(register(FIRST, 2), [], "again takes nothing more");
    assert_eq!(register(SECOND, 3), []);
    assert_eq!(register(SECOND, 4), [CauseCode::LACK_OF_RESOURCES], "beyond the whole");
    let message = Deregistration { pool: pool(), pe: PeId(1), unknown: vec![] };
    bench.tell(FIRST, &Message::Deregistration(message));
    let fourth = PoolElementParameter { pe: PeId(4), ..element(&[HERE]) };
    assert_eq!(codes(&bench.register(SECOND, fourth)), []);
}

#[test]
fn what_registrations_take_is_given_back_however_they_end() {
    let config = RegistrarConfig { max_octets: 60, max_octets_per_connection: 60, ..Default::default() };
    let mut bench = Bench::new(config);
    for round in 0..3 {
        let from = ConnectionId::accepted(10 + round);
        bench.accept(from, HERE);
        assert_eq!(codes(&bench.register(from, element(&[HERE]))), [], "round {round}");
        bench.registrar.handle_lost(bench.now, from);
        bench.pass(Duration::from_secs(3));
        assert!(!bench.is_registered());
    }
}

#[test]
fn all_connections_together_have_a_rate_of_registrations() {
    let config = RegistrarConfig { all_registrations_per_second: 1, ..Default::default() };
    let mut bench = Bench::new(config);
    for from in [FIRST, SECOND, FIRST, SECOND, FIRST] {
        let pe = PeId(if from == FIRST { 1 } else { 2 });
        let answer = bench.register(from, PoolElementParameter { pe, ..element(&[HERE]) });
        assert_eq!(codes(&answer), []);
    }
    let refused = bench.register(SECOND, PoolElementParameter { pe: PeId(2), ..element(&[HERE]) });
    assert_eq!(codes(&refused), [CauseCode::LACK_OF_RESOURCES]);
}

#[test]
fn many_connections_of_one_address_have_the_rate_of_one() {
    let mut bench = Bench::new(RegistrarConfig { registrations_per_second: 1, ..Default::default() });
    let from = (10..30).map(ConnectionId::accepted);
    let accepted = from.filter(|&from| {
        bench.accept(from, THERE);
        let pe = PeId(u32::try_from(from.0 & 0xff).unwrap());
        codes(&bench.register(from, PoolElementParameter { pe, ..element(&[THERE]) })).is_empty()
    });
    assert_eq!(accepted.count(), 4, "one second's worth is for those that are registered");
    assert_eq!(codes(&bench.register(FIRST, element(&[HERE]))), [], "others do not pay for it");
}

#[test]
fn who_comes_again_has_no_full_bucket() {
    let mut bench = Bench::new(RegistrarConfig { registrations_per_second: 1, ..Default::default() });
    let accepted = (10..30).map(ConnectionId::accepted).filter(|&from| {
        bench.accept(from, THERE);
        let answer = bench.register(from, PoolElementParameter { pe: PeId(1), ..element(&[THERE]) });
        bench.registrar.handle_lost(bench.now, from);
        bench.drain();
        codes(&answer).is_empty()
    });
    assert_eq!(accepted.count(), 4);
}

#[test]
fn registered_elements_live_on_while_others_flood() {
    let config = RegistrarConfig { all_registrations_per_second: 2, ..Default::default() };
    let mut bench = Bench::new(config);
    bench.register(FIRST, element(&[HERE]));
    for from in (10..60).map(ConnectionId::accepted) {
        bench.accept(from, [10, 0, 1, from.0.to_be_bytes()[7]]);
        let pe = PeId(u32::try_from(from.0 & 0xff).unwrap());
        bench.register(from, PoolElementParameter { pe, ..element(&[[10, 0, 1, from.0.to_be_bytes()[7]]]) });
    }
    assert_eq!(codes(&bench.register(FIRST, element(&[HERE]))), []);
}

#[test]
fn who_may_not_register_takes_nothing_from_those_who_may() {
    let config = RegistrarConfig { all_registrations_per_second: 1, ..Default::default() };
    let mut bench = Bench::new(config);
    bench.registrar.authorize(SECOND, authority(&["b.example"], &["other"]));
    for _ in 0..50 {
        assert_eq!(codes(&bench.register(SECOND, element(&[HERE]))), [CauseCode::SECURITY]);
    }
    assert_eq!(codes(&bench.register(FIRST, element(&[HERE]))), []);
}

#[test]
fn a_handle_that_leaves_no_room_for_an_element_is_answered_with_an_error() {
    let mut bench = Bench::default();
    let long = |length| PoolHandle::new(vec![b'x'; length]).unwrap();
    // An answer has a policy of its own beside the element, which a registration has not.
    for (length, answered) in [(65_476, true), (65_480, false)] {
        let registration = Registration { pool: long(length), element: element(&[HERE]), unknown: vec![] };
        bench.tell(FIRST, &Message::Registration(registration));
        let request =
            HandleResolution { send_updates: false, pool: long(length), items: None, unknown: vec![] };
        let answers = bench.tell(SECOND, &Message::HandleResolution(request));
        let [(SECOND, Message::HandleResolutionResponse(response))] = &answers[..] else {
            panic!("{length}: no response")
        };
        assert_eq!(response.elements.len(), usize::from(answered));
        let causes = response.causes.as_deref().unwrap_or_default();
        assert_eq!(causes.iter().any(|c| c.code == CauseCode::LACK_OF_RESOURCES), !answered, "{length}");
    }
    let unknown = HandleResolution { send_updates: false, pool: long(65_524), items: None, unknown: vec![] };
    let answers = bench.tell(SECOND, &Message::HandleResolution(unknown));
    let [(SECOND, Message::Error(error))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(error.causes[0].code, CauseCode::LACK_OF_RESOURCES);
}

#[test]
fn thousands_of_subscribers_are_told_in_portions_and_each_of_the_last_change() {
    let mut bench = Bench::new(RegistrarConfig { max_subscriptions: 1_001, ..Default::default() });
    bench.register(FIRST, element(&[HERE]));
    let subscribe = |bench: &mut Bench, subscriber| {
        let request = HandleResolution { send_updates: true, pool: pool(), items: None, unknown: vec![] };
        let answers = bench.tell(subscriber, &Message::HandleResolution(request));
        matches!(&answers[..], [(_, Message::HandleResolutionResponse(answer))] if answer.updates_accepted)
    };
    bench.accept(ConnectionId::accepted(99), HERE);
    for n in 0..1_001 {
        bench.accept(ConnectionId::accepted(100 + n), HERE);
        assert!(subscribe(&mut bench, ConnectionId::accepted(100 + n)));
    }
    assert!(!subscribe(&mut bench, ConnectionId::accepted(99)), "beyond the whole");
    assert!(subscribe(&mut bench, ConnectionId::accepted(100)), "again takes nothing more");

    let elements = |pe| PoolElementParameter { pe: PeId(pe), ..element(&[HERE]) };
    bench.register(FIRST, elements(0xa2));
    let first = bench.pass(Duration::from_millis(21));
    assert!((128..1_001).contains(&first.len()), "{}", first.len());
    // One more change while they are being told.
    bench.register(FIRST, elements(0xa3));
    let all = bench.pass(Duration::from_millis(100));
    let last = |n: u64| {
        let of = all.iter().rev().find(|(to, _)| *to == ConnectionId::accepted(100 + n));
        let Some((_, Message::HandleResolutionResponse(update))) = of else { panic!("{n} was not told") };
        update.elements.len()
    };
    assert!((0..1_001).all(|n| last(n) == 3));

    // The end of the pool ends every subscription.
    for pe in [0xa1, 0xa2, 0xa3] {
        let leave = Deregistration { pool: pool(), pe: PeId(pe), unknown: vec![] };
        bench.tell(FIRST, &Message::Deregistration(leave));
    }
    let told = bench.pass(Duration::from_millis(100));
    assert_eq!(told.len(), 1_001);
    bench.register(FIRST, element(&[HERE]));
    assert_eq!(bench.pass(Duration::from_millis(100)).len(), 0);
    assert!(subscribe(&mut bench, ConnectionId::accepted(99)));
}
