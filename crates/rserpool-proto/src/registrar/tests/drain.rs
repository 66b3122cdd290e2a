use super::*;
use crate::wire::param::draining;

fn states(bench: &Bench) -> Vec<(PeId, ElementState)> {
    let elements = bench.registrar.elements(&pool(), None, 10);
    elements.iter().map(|status| (status.element.pe, status.state)).collect()
}

fn other(pe: u32) -> PoolElementParameter {
    PoolElementParameter { pe: PeId(pe), ..element(&[HERE]) }
}

fn chosen(response: &HandleResolutionResponse) -> Vec<PeId> {
    response.elements.iter().map(|element| element.pe).collect()
}

#[test]
fn a_draining_element_is_registered_and_watched_and_never_selected() {
    let mut bench = Bench::default();
    bench.register(FIRST, other(0xa1));
    bench.register(FIRST, other(0xa2));
    bench.registrar.drain(bench.now, &pool(), PE).unwrap();
    assert_eq!(states(&bench), [(PE, ElementState::Draining), (PeId(0xa2), ElementState::Up)]);
    assert_eq!(chosen(&bench.resolve(Some(10))), [PeId(0xa2)]);
    let status = bench.registrar.pools().next().unwrap();
    assert_eq!((status.up, status.suspect, status.draining), (1, 0, 1));

    // It is still asked, and registers again, without coming back.
    let sent = bench.pass(Duration::from_millis(1_600));
    let asked = |pe| sent.iter().any(|(_, m)| matches!(m, Message::EndpointKeepAlive(k) if k.pe == Some(pe)));
    assert!(asked(PE) && asked(PeId(0xa2)));
    assert!(!bench.register(FIRST, other(0xa1)).rejected);
    assert_eq!(states(&bench)[0], (PE, ElementState::Draining));
    assert_eq!(chosen(&bench.resolve(Some(10))), [PeId(0xa2)]);
}

#[test]
fn a_draining_element_is_put_back() {
    let mut bench = Bench::default();
    bench.register(FIRST, other(0xa1));
    bench.registrar.drain(bench.now, &pool(), PE).unwrap();
    // The pool is known, but nobody is there to choose from.
    let causes = bench.resolve(Some(1)).causes.unwrap();
    assert_eq!(causes[0].code, CauseCode::LACK_OF_RESOURCES);
    bench.registrar.undrain(bench.now, &pool(), PE).unwrap();
    assert_eq!(chosen(&bench.resolve(Some(10))), [PE]);
    // Once more changes nothing.
    bench.registrar.undrain(bench.now, &pool(), PE).unwrap();
    assert_eq!(states(&bench), [(PE, ElementState::Up)]);
}

#[test]
fn an_element_is_told_by_every_keep_alive_whether_it_drains() {
    let told = |sent: &[(ConnectionId, Message)]| -> Vec<bool> {
        let keep_alives = sent.iter().filter_map(|(_, message)| match message {
            Message::EndpointKeepAlive(keep_alive) => Some(keep_alive.draining),
            _ => None,
        });
        keep_alives.collect()
    };
    let mut bench = Bench::default();
    bench.register(FIRST, other(0xa1));
    let next = |bench: &mut Bench| {
        let draining = told(&bench.pass(Duration::from_millis(1_600)));
        bench.ack(FIRST);
        draining[0]
    };
    assert!(!next(&mut bench));
    bench.registrar.drain(bench.now, &pool(), PE).unwrap();
    assert!(next(&mut bench) && next(&mut bench));
    bench.registrar.undrain(bench.now, &pool(), PE).unwrap();
    assert!(!next(&mut bench));
}

#[test]
fn a_draining_element_leaves_like_any_other() {
    let mut bench = Bench::default();
    bench.register(FIRST, other(0xa1));
    bench.registrar.drain(bench.now, &pool(), PE).unwrap();
    let message = Deregistration { pool: pool(), pe: PE, unknown: vec![] };
    bench.tell(FIRST, &Message::Deregistration(message));
    assert_eq!(states(&bench), []);
    assert_eq!(bench.registrar.drain(bench.now, &pool(), PE), Err(DrainError::Unknown));

    // One that falls silent goes, too.
    bench.register(FIRST, other(0xa1));
    bench.registrar.drain(bench.now, &pool(), PE).unwrap();
    bench.pass(Duration::from_secs(4));
    assert_eq!(states(&bench), []);
    assert_eq!(bench.registrar.pools().count(), 0);
}

#[test]
fn subscribers_are_told_at_once_that_an_element_drains() {
    let mut bench = Bench::default();
    bench.register(FIRST, other(0xa1));
    bench.register(FIRST, other(0xa2));
    let request = HandleResolution { send_updates: true, pool: pool(), items: None, unknown: vec![] };
    bench.tell(SECOND, &Message::HandleResolution(request));
    bench.registrar.drain(bench.now, &pool(), PE).unwrap();
    let told = bench.pass(Duration::from_millis(50));
    let Some((SECOND, Message::HandleResolutionResponse(update))) = told.into_iter().next() else {
        panic!("no update")
    };
    assert_eq!(chosen(&update), [PeId(0xa2)]);
}

#[test]
fn a_pool_stays_what_it_is_while_its_elements_drain() {
    let mut bench = Bench::default();
    bench.register(FIRST, other(0xa1));
    bench.registrar.drain(bench.now, &pool(), PE).unwrap();
    let load =
        PoolElementParameter { policy: Policy::LeastUsed { load: crate::wire::Load(0) }, ..other(0xa2) };
    let refused = bench.register(FIRST, load);
    assert_eq!(refused.causes[0].code, CauseCode::INCONSISTENT_POLICY);
}

#[test]
fn an_element_does_not_mark_itself() {
    let mut bench = Bench::default();
    bench.register(FIRST, PoolElementParameter { unknown: vec![draining::mark()], ..other(0xa1) });
    assert_eq!(states(&bench), [(PE, ElementState::Up)]);
}

#[test]
fn a_silent_element_that_drains_is_not_resolved_to_when_it_is_put_aside_or_back() {
    let mut bench = Bench::default();
    bench.register(FIRST, other(0xa1));
    bench.registrar.drain(bench.now, &pool(), PE).unwrap();
    // Its association is lost, and it comes back over another one.
    bench.registrar.handle_lost(bench.now, FIRST);
    bench.pass(Duration::from_millis(10));
    assert_eq!(chosen(&bench.resolve(Some(1))), []);
    bench.registrar.undrain(bench.now, &pool(), PE).unwrap();
    assert_eq!(states(&bench), [(PE, ElementState::Suspect)]);
    assert_eq!(chosen(&bench.resolve(Some(1))), [PE]);
}

#[test]
fn a_page_of_elements_continues_after_the_last_one() {
    let mut bench = Bench::default();
    for pe in 1..=5 {
        bench.register(FIRST, other(pe));
    }
    bench.registrar.drain(bench.now, &pool(), PeId(3)).unwrap();
    let page = |after, count| -> Vec<u32> {
        bench.registrar.elements(&pool(), after, count).iter().map(|status| status.element.pe.0).collect()
    };
    assert_eq!(page(None, 2), [1, 2]);
    assert_eq!(page(Some(PeId(2)), 2), [3, 4]);
    assert_eq!(page(Some(PeId(4)), 2), [5]);
    assert_eq!(page(Some(PeId(5)), 2), []);
}
