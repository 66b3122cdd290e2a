//! Which addresses are registered, and told for ASAP.

use super::*;

#[test]
fn the_asap_transport_is_told_from_the_next_registration_on() {
    let mut bench = Bench::registered();
    let addresses = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2])];
    let asap = UserTransport {
        addresses,
        port: 50_000,
        transport_use: TransportUse::DATA_ONLY,
        ..config(Profile::FAST).transport
    };
    bench.element.set_asap_transport(Some(asap.clone())).unwrap();
    bench.element.set_load(bench.now, Load(1));
    let did = bench.drain();
    let told = registration(&did).unwrap().element.asap_transport.clone().unwrap();
    assert_eq!((told.port, told.addresses), (50_000, asap.addresses.clone()));

    let mut refused = |change: fn(&mut UserTransport)| {
        let mut asap = asap.clone();
        change(&mut asap);
        bench.element.set_asap_transport(Some(asap)).unwrap_err()
    };
    assert_eq!(refused(|asap| asap.protocol = Protocol::Tcp), ConfigError::AsapTransport);
    assert_eq!(refused(|asap| asap.encapsulation = 9_900), ConfigError::AsapTransport);
    assert_eq!(refused(|asap| asap.addresses.clear()), ConfigError::NoAddress);
    bench.element.set_load(bench.now, Load(2));
    let did = bench.grant();
    assert_eq!(registration(&did).unwrap().element.asap_transport.as_ref().unwrap().port, 50_000);
}

#[test]
fn the_encapsulation_port_of_the_asap_transport_is_told_where_users_come_over_tcp() {
    let mut config = config(Profile::FAST);
    let asap = UserTransport { encapsulation: 9_900, ..config.transport.clone() };
    config.transport.protocol = Protocol::Tcp;
    let mut bench = Bench::new(config);
    bench.element.set_asap_transport(Some(asap)).unwrap();
    bench.element.register(bench.now);
    bench.element.handle_connected(bench.now, HOME);
    let did = bench.drain();
    let element = &registration(&did).unwrap().element;
    assert_eq!((element.encapsulation, element.asap_transport.is_some()), (Some(9_900), true));
}

/// An element with these addresses whose registrar is at `registrar`, up to its first registration.
fn element_at(addresses: &[[u8; 4]], registrar: [u8; 4]) -> Bench {
    let mut config = config(Profile { jitter_percent: 0, ..Profile::FAST });
    config.transport.addresses = addresses.iter().map(|&octets| IpAddr::from(octets)).collect();
    config.registrars = vec![RegistrarAddress::sctp(IpAddr::from(registrar), 3863)];
    let mut bench = Bench::new(config);
    bench.element.register(bench.now);
    bench
}

fn registered_addresses(did: &[Did]) -> Vec<IpAddr> {
    registration(did).map(|sent| sent.element.user_transport.addresses().to_vec()).unwrap_or_default()
}

#[test]
fn only_addresses_of_use_where_the_registrar_is_are_registered() {
    let mut bench = element_at(&[LOOPBACK, PRIVATE], [192, 0, 2, 9]);
    let asap = UserTransport {
        addresses: vec![IpAddr::from(LOOPBACK), IpAddr::from(PRIVATE)],
        port: 50_000,
        ..config(Profile::FAST).transport
    };
    bench.element.set_asap_transport(Some(asap)).unwrap();
    bench.element.handle_connected(bench.now, HOME);
    let did = bench.drain();
    assert_eq!(registered_addresses(&did), [IpAddr::from(PRIVATE)]);
    let asap = registration(&did).unwrap().element.asap_transport.clone().unwrap();
    assert_eq!(asap.addresses, [IpAddr::from(PRIVATE)]);
    // A registrar on this host takes all.
    let mut bench = element_at(&[LOOPBACK, PRIVATE], [127, 0, 0, 9]);
    bench.element.handle_connected(bench.now, HOME);
    assert_eq!(registered_addresses(&bench.drain()).len(), 2);
}

#[test]
fn without_an_address_of_use_nothing_is_registered_and_another_registrar_is_looked_for() {
    let mut bench = element_at(&[LOOPBACK], [192, 0, 2, 9]);
    bench.element.handle_connected(bench.now, HOME);
    let did = bench.drain();
    assert!(registration(&did).is_none());
    let address = RegistrarAddress::sctp(IpAddr::from([192, 0, 2, 9]), 3863);
    let out_of_scope = Event::OutOfScope { address, retry: Duration::from_secs(1) };
    assert!(did.contains(&Did::Event(out_of_scope)), "{did:?}");
    let (after, did) = bench.next();
    assert_eq!(after, Duration::from_secs(1));
    assert!(did.contains(&Did::Disconnect(HOME)) && did.contains(&Did::Connect(ConnectionId(2))), "{did:?}");
    // It does not come back in ever shorter times.
    bench.element.handle_connected(bench.now, ConnectionId(2));
    bench.drain();
    assert_eq!(bench.next().0, Duration::from_secs(2));
}

fn refusal(bench: &Bench, observed: [u8; 4], rejected: bool) -> Message {
    let causes = vec![ErrorCause::plain(CauseCode::INVALID_VALUES)];
    let unknown = vec![observed_address::parameter(IpAddr::from(observed))];
    let pe = bench.element.pe();
    Message::RegistrationResponse(RegistrationResponse { rejected, pool: pool(), pe, causes, unknown })
}

#[test]
fn behind_a_translator_the_address_the_registrar_sees_is_registered_if_that_is_wanted() {
    let seen = [192, 0, 2, 77];
    let mut bench = element_at(&[PRIVATE], [192, 0, 2, 9]);
    bench.element.use_observed_address();
    bench.element.handle_connected(bench.now, HOME);
    bench.drain();
    let did = bench.tell(HOME, &refusal(&bench, seen, true));
    assert_eq!(registered_addresses(&did), [IpAddr::from(seen)]);
    assert!(did.contains(&Did::Event(Event::AddressObserved { address: IpAddr::from(seen) })));
    // Refused all the same, it is refused for good.
    let did = bench.tell(HOME, &refusal(&bench, seen, true));
    assert!(matches!(did[..], [Did::Event(Event::Rejected { .. })]), "{did:?}");

    let mut unwilling = element_at(&[PRIVATE], [192, 0, 2, 9]);
    unwilling.element.handle_connected(unwilling.now, HOME);
    unwilling.drain();
    let did = unwilling.tell(HOME, &refusal(&unwilling, seen, true));
    assert!(matches!(did[..], [Did::Event(Event::Rejected { .. })]), "{did:?}");
}
