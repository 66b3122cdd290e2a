//! Handle resolution and its updates (RFC 5352 section 3.3).

use super::*;

#[test]
fn the_number_of_elements_asked_for_is_given_up_to_the_maximum() {
    let mut bench =
        Bench::new(RegistrarConfig { max_items: 4, default_items: 2, ..RegistrarConfig::default() });
    for pe in 1..=6 {
        bench.register(FIRST, PoolElementParameter { pe: PeId(pe), ..element(&[HERE]) });
    }
    for (items, given) in [(None, 2), (Some(0), 2), (Some(1), 1), (Some(3), 3), (Some(u32::MAX), 4)] {
        assert_eq!(bench.resolve(items).elements.len(), given, "{items:?}");
    }
}

#[test]
fn an_answer_beyond_64_kib_is_cut_until_it_fits() {
    let config =
        RegistrarConfig { max_items: u32::MAX, default_items: u32::MAX, ..RegistrarConfig::default() };
    let mut bench = Bench::new(RegistrarConfig { max_elements_per_connection: 10_000, ..config });
    for pe in 1..=3000 {
        bench.now += Duration::from_millis(10);
        bench.register(FIRST, PoolElementParameter { pe: PeId(pe), ..element(&[HERE]) });
    }
    let answer = bench.resolve(None);
    assert_eq!(answer.elements.len(), 1637);
    assert_eq!(resolution_option::cut_from(&answer.unknown), Some(3000), "it says so");
    assert_eq!(bench.registrar.counters().answers_cut, 1);
}

#[test]
fn thousands_of_elements_are_served_in_turn() {
    let mut bench = Bench::new(RegistrarConfig {
        max_elements_per_connection: 20_000,
        max_octets_per_connection: 4 << 20,
        limits: crate::handlespace::Limits { elements_per_pool: 20_000, ..Default::default() },
        registrations_per_second: 0,
        ..RegistrarConfig::default()
    });
    for pe in 1..=20_000 {
        bench.register(FIRST, PoolElementParameter { pe: PeId(pe), ..element(&[HERE]) });
    }
    let first = |bench: &mut Bench| bench.resolve(Some(1)).elements[0].pe.0;
    let chosen: Vec<u32> = (0..20_001).map(|_| first(&mut bench)).collect();
    assert_eq!((chosen[0], chosen[19_999], chosen[20_000]), (1, 20_000, 1));
}

#[test]
fn who_asked_for_updates_is_told_when_an_element_leaves_and_when_the_pool_ends() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    let third = ConnectionId::accepted(3);
    bench.accept(third, HERE);
    bench.register(third, PoolElementParameter { pe: PeId(0xa2), ..element(&[HERE]) });
    let request = HandleResolution { send_updates: true, pool: pool(), items: None, unknown: vec![] };
    let sent = bench.tell(SECOND, &Message::HandleResolution(request));
    assert!(matches!(&sent[..], [(_, Message::HandleResolutionResponse(r))] if r.updates_accepted));
    let leave = |pe| Message::Deregistration(Deregistration { pool: pool(), pe, unknown: vec![] });
    bench.tell(FIRST, &leave(PE));
    let sent = bench.pass(Duration::from_millis(20));
    let [(SECOND, Message::HandleResolutionResponse(update))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(update.elements.iter().map(|e| e.pe.0).collect::<Vec<_>>(), [0xa2]);
    bench.tell(third, &leave(PeId(0xa2)));
    let sent = bench.pass(Duration::from_millis(20));
    let [(SECOND, Message::HandleResolutionResponse(update))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(update.causes, Some(vec![ErrorCause::plain(CauseCode::UNKNOWN_POOL_HANDLE)]));
    assert!(bench.registrar.subscribers.is_empty());
}

#[test]
fn a_pool_in_which_nobody_gives_service_is_resolved_to_a_lack_of_resources() {
    let mut bench = Bench::default();
    let weighted =
        |weight| PoolElementParameter { policy: Policy::WeightedRandom { weight }, ..element(&[HERE]) };
    assert!(!bench.register(FIRST, weighted(0)).rejected);
    let response = bench.resolve(None);
    assert_eq!(response.causes, Some(vec![ErrorCause::plain(CauseCode::LACK_OF_RESOURCES)]));
    assert_eq!((response.elements, response.policy), (vec![], None));
    bench.register(FIRST, weighted(1));
    assert_eq!(bench.resolve(None).elements.len(), 1);
}
