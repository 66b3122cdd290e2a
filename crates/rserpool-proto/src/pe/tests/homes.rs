//! Keep-alives: who is home, who wants to be, and what the home says.

use super::*;

#[test]
fn a_keep_alive_for_another_pool_or_element_is_discarded_silently() {
    let mut bench = Bench::registered();
    let other = |pool: &str, pe| {
        let (registrar, pool) = (RegistrarId(0x0b), PoolHandle::new(pool).unwrap());
        Message::EndpointKeepAlive(EndpointKeepAlive {
            home: false,
            draining: false,
            registrar,
            pool,
            pe,
            unknown: vec![],
        })
    };
    assert_eq!(bench.tell(HOME, &other("other", Some(PE))), []);
    assert_eq!(bench.tell(HOME, &other("ipfix", Some(PeId(0xa2)))), []);
    // The RFC's keep-alive has no identifier.
    assert_eq!(bench.tell(HOME, &other("ipfix", None)), [ack(HOME)]);
}

#[test]
fn only_the_home_says_whether_the_element_drains() {
    let mut bench = Bench::registered();
    let other = ConnectionId::accepted(1);
    bench.element.handle_accepted(bench.now, other, OTHER);
    let saying = |home, draining| match keep_alive(home) {
        Message::EndpointKeepAlive(message) => {
            Message::EndpointKeepAlive(EndpointKeepAlive { draining, ..message })
        }
        other => other,
    };
    let changed = |draining| Did::Event(Event::DrainingChanged { draining });
    assert_eq!(bench.tell(other, &saying(false, true)), [ack(other)], "not from one that is not home");
    assert!(bench.tell(HOME, &saying(false, true)).contains(&changed(true)));
    assert_eq!(bench.tell(HOME, &saying(false, true)), [ack(HOME)], "once");
    assert!(bench.tell(HOME, &saying(false, false)).contains(&changed(false)));
    assert!(bench.tell(other, &saying(true, true)).contains(&changed(true)), "a new home says so, too");
}

#[test]
fn a_registrar_that_connects_and_sets_the_home_flag_becomes_home() {
    let mut bench = Bench::registered();
    let other = ConnectionId::accepted(1);
    bench.element.handle_accepted(bench.now, other, OTHER);
    assert_eq!(bench.tell(other, &keep_alive(false)), [ack(other)]);
    let adopted = Did::Event(Event::HomeAdopted { registrar: RegistrarId(0x0b), address: OTHER });
    assert_eq!(bench.tell(other, &keep_alive(true)), [ack(other), Did::Disconnect(HOME), adopted]);
    // It is home like any other: its loss starts a hunt.
    bench.element.handle_lost(bench.now, other);
    let lost = Did::Event(Event::RegistrarLost { address: OTHER, reason: LostReason::Connection });
    assert_eq!(bench.drain(), [lost, Did::Connect(ConnectionId(2))]);
}

#[test]
fn adoption_during_a_hunt_ends_the_hunt_and_registers() {
    let mut bench = Bench::registered();
    let other = ConnectionId::accepted(1);
    bench.element.handle_accepted(bench.now, other, OTHER);
    bench.element.handle_lost(bench.now, HOME);
    bench.drain();
    let did = bench.tell(other, &keep_alive(true));
    assert!(did.contains(&Did::Disconnect(ConnectionId(2))));
    assert!(registration(&did).is_some());
}

#[test]
fn a_stranger_that_sets_the_home_flag_is_sent_away_unanswered() {
    let mut bench = Bench::registered();
    bench.element.trust_registrars(vec![]);
    let other = ConnectionId::accepted(1);
    bench.element.handle_accepted(bench.now, other, OTHER);
    let refused = |why| Did::Event(Event::HomeRefused { registrar: RegistrarId(0x0b), address: OTHER, why });
    let did = bench.tell(other, &keep_alive(true));
    assert_eq!(did, [refused(HomeRefusal::Stranger), Did::Disconnect(other)]);
    assert_eq!(bench.tell(other, &keep_alive(true)), []);
    assert_eq!(bench.tell(HOME, &keep_alive(false)), [ack(HOME)], "the home is the old one");
    // Nor while there is no home.
    bench.element.handle_lost(bench.now, HOME);
    bench.drain();
    bench.element.handle_accepted(bench.now, other, OTHER);
    let did = bench.tell(other, &keep_alive(true));
    assert_eq!(did, [refused(HomeRefusal::Stranger), Did::Disconnect(other)]);
}

#[test]
fn configured_registrars_and_those_in_the_networks_of_announces_become_home() {
    let connection = ConnectionId::accepted(1);
    let becomes_home = |prepare: &dyn Fn(&mut PoolElement)| {
        let mut bench = Bench::registered();
        bench.element.trust_registrars(vec![]);
        prepare(&mut bench.element);
        bench.element.handle_accepted(bench.now, connection, OTHER);
        bench.tell(connection, &keep_alive(true)).contains(&ack(connection))
    };
    assert!(!becomes_home(&|_| {}));
    // Whatever port a registrar connects from.
    let configured = RegistrarAddress { port: 1, ..OTHER };
    assert!(becomes_home(&|element| element.set_registrars(vec![configured])));
    let network: Network = OTHER.ip.to_string().parse().unwrap();
    assert!(becomes_home(&|element| element.believe_announces(vec![network])));
    assert!(becomes_home(&|element| element.trust_registrars(vec![network])));
}

#[test]
fn registrars_cannot_take_an_element_from_each_other_without_end() {
    let mut bench = Bench::registered();
    let mut adopted = 0;
    for number in 0..100 {
        let connection = ConnectionId::accepted(number);
        bench.element.handle_accepted(bench.now, connection, OTHER);
        adopted += usize::from(bench.tell(connection, &keep_alive(true)).contains(&ack(connection)));
    }
    assert_eq!(adopted, 5);
    // Without a home anyone is followed.
    bench.element.handle_lost(bench.now, ConnectionId::accepted(4));
    bench.drain();
    let last = ConnectionId::accepted(100);
    bench.element.handle_accepted(bench.now, last, OTHER);
    assert!(bench.tell(last, &keep_alive(true)).contains(&ack(last)));
}

#[test]
fn strangers_fill_no_memory_and_keep_out_no_registrar() {
    let mut bench = Bench::registered();
    let home = ConnectionId::accepted(0);
    bench.element.handle_accepted(bench.now, home, OTHER);
    bench.tell(home, &keep_alive(true));
    let registrar = ConnectionId::accepted(1);
    bench.element.handle_accepted(bench.now, registrar, OTHER);
    let stranger = RegistrarAddress { ip: IpAddr::from([192, 0, 2, 66]), ..OTHER };
    for number in 2..100 {
        bench.element.handle_accepted(bench.now, ConnectionId::accepted(number), stranger);
    }
    let did = bench.drain();
    assert_eq!(did.len(), 100 - MAX_ACCEPTED);
    assert!(!did.contains(&Did::Disconnect(home)), "home stays");
    assert_eq!(bench.tell(registrar, &keep_alive(false)), [ack(registrar)], "so does a registrar");
    let last = ConnectionId::accepted(99);
    assert_eq!(bench.tell(last, &keep_alive(false)), [ack(last)]);
}
