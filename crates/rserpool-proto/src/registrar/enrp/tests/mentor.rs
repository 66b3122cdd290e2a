use super::*;
use crate::wire::enrp::handle_table::{HandleTableResponse, PoolEntry};
use crate::wire::enrp::list::{ListRequest, ListResponse};

fn has_list_request(done: &[Did], to: ConnectionId) -> bool {
    messages(done).iter().any(|(connection, body)| *connection == to && matches!(body, Body::ListRequest(_)))
}

fn has_table_request(done: &[Did], to: ConnectionId) -> bool {
    messages(done).iter().any(|(connection, body)| {
        *connection == to && matches!(body, Body::HandleTableRequest(request) if !request.own_children_only)
    })
}

fn list(peers: &[RegistrarId]) -> ListResponse {
    ListResponse { rejected: false, peers: peers.iter().copied().map(information).collect(), unknown: vec![] }
}

fn table(elements: Vec<PoolElementParameter>, more_to_send: bool) -> HandleTableResponse {
    let entries = vec![PoolEntry { pool: pool(), elements }];
    HandleTableResponse { rejected: false, more_to_send, entries, unknown: vec![] }
}

#[test]
fn a_registrar_without_peers_is_ready_at_once() {
    let mut bench = Bench::with(|config| config.networks.clear());
    bench.start();
    assert!(bench.registrar.is_ready());
}

#[test]
fn the_first_peer_is_the_mentor_and_gives_list_and_table_in_parts() {
    let mut bench = Bench::with(|_| {});
    bench.start();
    let (mentor, _) = bench.accept(ip(LOW));
    let done = bench.say(mentor, LOW, presence(LOW, false, 0xffff));
    assert!(has_list_request(&done, mentor) && !has_table_request(&done, mentor));
    let done = bench.say(mentor, LOW, list(&[HIGH]));
    assert!(has_table_request(&done, mentor));
    assert_eq!(connects(&done)[0].2, RegistrarAddress::sctp(ip(HIGH), 9901), "the list is used");
    let done = bench.say(mentor, LOW, table(vec![element(0xa1, LOW)], true));
    assert!(has_table_request(&done, mentor) && !bench.registrar.is_ready());
    let done = bench.say(mentor, LOW, table(vec![element(0xa2, HIGH)], false));
    assert!(events(&done).contains(&Event::Ready { mentor: Some(LOW) }));
    assert_eq!((bench.home(0xa1), bench.home(0xa2)), (Some(LOW), Some(HIGH)));
}

#[test]
fn while_we_start_list_and_table_are_refused() {
    let mut bench = Bench::with(|_| {});
    bench.start();
    let connection = bench.join(LOW);
    let done = bench.say(connection, LOW, ListRequest::default());
    assert!(matches!(&messages(&done)[..], [(_, Body::ListResponse(list))] if list.rejected));
    let request = wire::enrp::handle_table::HandleTableRequest { own_children_only: true, unknown: vec![] };
    let done = bench.say(connection, LOW, request);
    assert!(matches!(&messages(&done)[..], [(_, Body::HandleTableResponse(table))] if table.rejected));
}

#[test]
fn a_mentor_that_refuses_or_falls_silent_is_followed_by_a_back_up() {
    for refuses in [true, false] {
        let mut bench = Bench::with(|_| {});
        bench.start();
        let first = bench.join(LOW);
        let second = bench.join(HIGH);
        let done = if refuses {
            bench.say(first, LOW, ListResponse { rejected: true, ..ListResponse::default() })
        } else {
            bench.pass(Duration::from_millis(1_001))
        };
        assert!(has_list_request(&done, second), "refuses: {refuses}");
        bench.say(second, HIGH, list(&[LOW]));
        bench.say(second, HIGH, table(vec![element(0xa1, HIGH)], false));
        assert!(bench.registrar.is_ready());
    }
}

#[test]
fn an_interrupted_download_is_begun_again_with_a_back_up() {
    let mut bench = Bench::with(|_| {});
    bench.start();
    let first = bench.join(LOW);
    let second = bench.join(HIGH);
    bench.say(first, LOW, list(&[HIGH]));
    bench.say(first, LOW, table(vec![element(0xa1, LOW)], true));
    assert!(has_list_request(&bench.lose(first), second));
}

#[test]
fn a_mentor_that_is_always_starting_itself_does_not_keep_us_from_serving() {
    let mut bench = Bench::with(|_| {});
    bench.start();
    let mentor = bench.join(LOW);
    for _ in 0..10 {
        let refusal = ListResponse { rejected: true, ..ListResponse::default() };
        bench.say(mentor, LOW, refusal);
        bench.pass(Duration::from_millis(300));
    }
    assert!(bench.registrar.is_ready());
}

#[test]
fn an_element_of_ours_that_the_mentor_remembers_is_asked_to_come_back() {
    let mut bench = Bench::with(|_| {});
    bench.start();
    let mentor = bench.join(LOW);
    bench.say(mentor, LOW, list(&[]));
    let done = bench.say(mentor, LOW, table(vec![element(0xa1, ME)], false));
    assert_eq!(bench.home(0xa1), Some(ME));
    let came = Event::ElementReplicated { pool: pool(), pe: PeId(0xa1), home: ME };
    assert!(events(&done).contains(&came), "{done:?}");
    let [(connection, ControlProtocol::Asap, address)] = connects(&done)[..] else { panic!("{done:?}") };
    assert_eq!(address, RegistrarAddress::sctp(IpAddr::from([10, 0, 1, 0xa1]), 3864));
    bench.registrar.handle_connected(bench.now, connection, Bench::remote(address.ip));
    bench.drain();
    bench.ack(connection, 0xa1);
    bench.pass_with(Duration::from_secs(1), &[(mentor, LOW)]);
    assert_eq!(bench.home(0xa1), Some(ME));
}

#[test]
fn a_list_nobody_asked_for_and_strangers_in_it_are_refused() {
    let mut bench = Bench::with(|_| {});
    bench.start();
    let mentor = bench.join(LOW);
    let mut foreign = information(HIGH);
    foreign.transport.addresses = vec![IpAddr::from([192, 0, 2, 9])];
    let peers = vec![foreign];
    let done = bench.say(mentor, LOW, ListResponse { rejected: false, peers, unknown: vec![] });
    assert_eq!((connects(&done), bench.refused(Refusal::Stranger)), (vec![], 1));
    bench.say(mentor, LOW, list(&[HIGH]));
    assert_eq!((bench.registrar.peers().count(), bench.refused(Refusal::Unasked)), (1, 1));
}

#[test]
fn the_identifier_is_drawn_unless_it_is_configured_and_is_never_zero() {
    let id = |id, seed| Registrar::new(RegistrarConfig { id, ..RegistrarConfig::default() }, seed).id();
    let drawn: BTreeSet<RegistrarId> = (0..1_000).map(|seed| id(None, seed)).collect();
    assert!(drawn.len() > 990 && !drawn.contains(&RegistrarId::UNDETERMINED));
    assert_ne!(id(Some(RegistrarId::UNDETERMINED), 1), RegistrarId::UNDETERMINED);
    assert_eq!(id(Some(ME), 1), ME);
}
