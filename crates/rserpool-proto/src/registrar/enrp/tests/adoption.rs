use super::super::super::Removal;
use super::*;
use crate::wire::asap::keep_alive::EndpointKeepAlive;

/// A registrar whose only peer, with these elements, is dead and taken over; and what was done then.
fn taken_over(adoptions: usize, elements: &[PoolElementParameter]) -> (Bench, Vec<Did>) {
    let mut bench = Bench::ready_with(|config| config.adoptions = adoptions);
    let dead = bench.join(THIRD);
    for element in elements {
        bench.say(dead, THIRD, add(element.clone()));
    }
    bench.lose(dead);
    let mut done = bench.pass(Duration::from_millis(1_001));
    done.retain(|did| !matches!(did, Did::Connect(_, ControlProtocol::Enrp, _)));
    (bench, done)
}

fn connected(bench: &mut Bench, connection: ConnectionId) -> Vec<Did> {
    bench.registrar.handle_connected(bench.now, connection, Bench::remote(IpAddr::from([10, 0, 1, 1])));
    bench.drain()
}

#[test]
fn the_acknowledgement_of_a_keep_alive_with_h_makes_the_connection_ours() {
    let (mut bench, done) = taken_over(64, &[element(0xa1, THIRD)]);
    let [(connection, ControlProtocol::Asap, address)] = connects(&done)[..] else { panic!("{done:?}") };
    assert_eq!(address, RegistrarAddress::sctp(IpAddr::from([10, 0, 1, 0xa1]), 3864));
    let asked = EndpointKeepAlive {
        home: true,
        draining: false,
        registrar: ME,
        pool: pool(),
        pe: Some(PE),
        unknown: vec![],
    };
    let did = connected(&mut bench, connection);
    assert_eq!(did, [Did::Asap(connection, wire::Message::EndpointKeepAlive(asked))]);
    let peer = bench.join(LOW);
    let done = bench.ack(connection, 0xa1);
    assert!(events(&done).contains(&Event::ElementAdopted { pool: pool(), pe: PE, from: None }));
    let told = messages(&done);
    assert!(
        matches!(&told[..], [(to, Body::HandleUpdate(update))] if *to == peer && update.element.home == ME)
    );
    // From here on it is watched like any other.
    let done = bench.pass(Duration::from_millis(1_600));
    assert!(done.iter().any(|did| matches!(did, Did::Asap(to, _) if *to == connection)));
}

#[test]
fn so_many_connections_at_once_and_one_for_all_elements_of_an_endpoint() {
    let mut elements: Vec<_> = (1..=10).map(|pe| element(pe, THIRD)).collect();
    elements.push(PoolElementParameter { pe: PeId(0x101), ..element(1, THIRD) });
    let (mut bench, done) = taken_over(3, &elements);
    let first = connects(&done);
    assert_eq!(first.len(), 3);
    let mut asked = 0;
    let mut open: Vec<ConnectionId> = first.iter().map(|(connection, ..)| *connection).collect();
    for _ in 0..40 {
        for connection in std::mem::take(&mut open) {
            for did in connected(&mut bench, connection) {
                if let Did::Asap(to, wire::Message::EndpointKeepAlive(message)) = did {
                    asked += 1;
                    let more = bench.ack(to, message.pe.unwrap().0);
                    open.extend(connects(&more).into_iter().map(|(connection, ..)| connection));
                }
            }
            let more = bench.drain();
            open.extend(connects(&more).into_iter().map(|(connection, ..)| connection));
        }
        let running = bench.registrar.enrp.adoptions.running_now();
        assert!(running <= 3, "{running}");
        let more = bench.pass(Duration::from_millis(20));
        open.extend(connects(&more).into_iter().map(|(connection, ..)| connection));
    }
    assert_eq!(asked, 11);
    assert_eq!(bench.registrar.handlespace().elements(), 11);
}

#[test]
fn an_element_is_up_until_it_was_not_reached_and_gone_after_its_grace() {
    let (mut bench, done) = taken_over(64, &[element(0xa1, THIRD)]);
    let peer = bench.join(LOW);
    assert!(!bench.registrar.is_suspect(&(pool(), PE)));
    let [(connection, ..)] = connects(&done)[..] else { panic!("{done:?}") };
    bench.registrar.handle_connect_failed(bench.now, connection);
    let done = bench.drain();
    assert!(events(&done).contains(&Event::ElementSuspect { pool: pool(), pe: PE }));
    let done = bench.pass_with(Duration::from_secs(4), &[(peer, LOW)]);
    assert!(connects(&done).len() > 1, "it is tried again");
    let why = |event: &Event| matches!(event, Event::ElementRemoved { reason: Removal::TakenOverSilent, .. });
    assert!(events(&done).iter().any(why));
    let told = messages(&done);
    let gone = |(_, body): &(_, Body)| matches!(body, Body::HandleUpdate(update) if update.action == UpdateAction::DEL_PE);
    assert!(told.iter().any(gone), "and the peers are told");
}

#[test]
fn an_element_that_registers_meanwhile_is_not_asked_any_more() {
    let (mut bench, done) = taken_over(64, &[element(0xa1, THIRD)]);
    let [(connection, ..)] = connects(&done)[..] else { panic!("{done:?}") };
    let pe = bench.register(0xa1);
    bench.registrar.handle_connect_failed(bench.now, connection);
    bench.drain();
    let mut done = vec![];
    for _ in 0..20 {
        done.extend(bench.pass(Duration::from_millis(500)));
        bench.ack(pe, 0xa1);
    }
    assert!(connects(&done).iter().all(|(_, protocol, _)| *protocol == ControlProtocol::Enrp));
    assert_eq!(bench.home(0xa1), Some(ME));
}

#[test]
fn an_element_without_asap_transport_stays_until_its_life_ends() {
    let lonely = PoolElementParameter { asap_transport: None, ..element(0xa1, THIRD) };
    let (mut bench, done) = taken_over(64, &[lonely]);
    assert_eq!(connects(&done), []);
    bench.pass(Duration::from_secs(25));
    assert_eq!(bench.home(0xa1), Some(ME));
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.home(0xa1), None);
}
