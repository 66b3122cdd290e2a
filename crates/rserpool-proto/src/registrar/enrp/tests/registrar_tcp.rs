//! Registrars that are told to speak ENRP over TCP (docs/wire.md section 18).

use super::next_generation::long;
use super::*;
use crate::wire::UnknownParameter;
use crate::wire::enrp::list::{ListRequest, ListResponse};
use crate::wire::param::registrar_tcp::RegistrarTcp;

fn tcp(id: RegistrarId, port: u16, tls: bool) -> RegistrarTcp {
    RegistrarTcp { address: SocketAddr::new(ip(id), port), tls, mptcp: false }
}

/// What a registrar tells that has SCTP, unless its port is 0, and these.
fn at(id: RegistrarId, port: u16, tcp: &[RegistrarTcp]) -> ServerInformation {
    let mut told = information(id);
    told.transport.port = port;
    told.unknown = vec![long(7, id).to_parameter()];
    told.unknown.extend(tcp.iter().map(RegistrarTcp::to_parameter));
    told
}

fn addresses(done: &[Did]) -> Vec<String> {
    connects(done).iter().map(|(_, _, address)| address.to_string()).collect()
}

impl Bench {
    /// A registrar that reads the next generation and has been told of these by its mentor.
    fn told_of(change: impl FnOnce(&mut EnrpConfig), peers: Vec<ServerInformation>) -> (Bench, Vec<Did>) {
        let mut bench = Bench::with(|enrp| {
            enrp.next_generation = true;
            change(enrp);
        });
        bench.start();
        let low = bench.join(LOW);
        let mut done = bench.say(low, LOW, ListResponse { rejected: false, peers, unknown: vec![] });
        done.retain(|did| !matches!(did, Did::Enrp(..)));
        (bench, done)
    }

    /// Every connection fails: returns where to they go until all was tried.
    fn fail(&mut self, mut done: Vec<Did>) -> Vec<String> {
        let mut tried = vec![];
        for _ in 0..100 {
            tried.extend(addresses(&done));
            for (connection, ..) in connects(&done) {
                self.registrar.handle_connect_failed(self.now, connection);
            }
            done = self.drain();
            done.extend(self.pass(Duration::from_millis(10)));
        }
        tried
    }
}

#[test]
fn a_registrar_without_a_path_over_sctp_is_reached_over_tcp_at_once() {
    let (mut bench, done) = Bench::told_of(|_| {}, vec![at(HIGH, 9901, &[tcp(HIGH, 9903, false)])]);
    let [(connection, _, address)] = connects(&done)[..] else { panic!("{done:?}") };
    assert_eq!(address, RegistrarAddress::sctp(ip(HIGH), 9901));
    bench.registrar.handle_connect_failed(bench.now, connection);
    let done = bench.drain();
    let [(connection, _, address)] = connects(&done)[..] else { panic!("{done:?}") };
    assert_eq!(address, RegistrarAddress::tcp(ip(HIGH), 9903));
    let remote = Remote { protocol: Protocol::Tcp, ..Bench::remote(ip(HIGH)) };
    bench.registrar.handle_connected(bench.now, connection, remote);
    bench.say(
        connection,
        HIGH,
        Presence { information: Some(at(HIGH, 9901, &[])), ..presence(HIGH, true, 0xffff) },
    );
    let peer = bench.registrar.peers().find(|peer| peer.id == HIGH).unwrap();
    assert_eq!((peer.state, peer.protocol), (PeerState::Active, Some(Protocol::Tcp)));
    // SCTP comes first again when the connection is lost.
    assert_eq!(addresses(&bench.lose(connection)), ["sctp:10.0.0.144:9901"]);
}

#[test]
fn a_registrar_without_sctp_is_reached_over_tcp_and_one_of_us_without_it_tries_none() {
    let (_, done) = Bench::told_of(|_| {}, vec![at(HIGH, 0, &[tcp(HIGH, 9903, false)])]);
    assert_eq!(addresses(&done), ["tcp:10.0.0.144:9903"]);
    let without_sctp = |enrp: &mut EnrpConfig| enrp.reach.sctp = false;
    let (_, done) = Bench::told_of(without_sctp, vec![at(HIGH, 9901, &[tcp(HIGH, 9903, false)])]);
    assert_eq!(addresses(&done), ["tcp:10.0.0.144:9903"]);
}

#[test]
fn a_secured_registrar_takes_tls_alone_and_an_open_one_without_certificate_no_tls() {
    let told = || vec![at(HIGH, 9901, &[tcp(HIGH, 9903, false), tcp(HIGH, 9902, true)])];
    let secured = |enrp: &mut EnrpConfig| enrp.reach = Reach { sctp: false, tcp: false, tls: true };
    let (mut bench, done) = Bench::told_of(secured, told());
    let tried = bench.fail(done);
    assert!(tried.len() > 1 && tried.iter().all(|to| to == "tls:10.0.0.144:9902"), "{tried:?}");
    let (mut bench, done) = Bench::told_of(|_| {}, told());
    let tried = bench.fail(done);
    assert!(tried.len() > 2 && !tried.iter().any(|to| to.starts_with("tls")), "{tried:?}");
}

#[test]
fn a_peer_configured_with_tls_is_not_led_to_less() {
    let peer = RegistrarAddress::tls(ip(HIGH), 9902);
    let mut bench = Bench::with(|enrp| {
        enrp.next_generation = true;
        enrp.reach.tls = true;
        enrp.peers = vec![peer];
    });
    let [(connection, ..)] = connects(&bench.start())[..] else { panic!() };
    let remote = Remote { protocol: Protocol::Tcp, ..Bench::remote(ip(HIGH)) };
    bench.registrar.handle_connected(bench.now, connection, remote);
    let told = at(HIGH, 9901, &[tcp(HIGH, 9903, false), tcp(HIGH, 9904, true)]);
    bench.say(connection, HIGH, Presence { information: Some(told), ..presence(HIGH, true, 0xffff) });
    let done = bench.lose(connection);
    let tried = bench.fail(done);
    assert!(tried.len() > 2 && tried.iter().all(|to| to.starts_with("tls:10.0.0.144:990")), "{tried:?}");
}

#[test]
fn only_addresses_where_peers_may_be_are_tried_and_a_hundred_are_not() {
    let elsewhere = RegistrarTcp { address: "192.0.2.1:9901".parse().unwrap(), tls: false, mptcp: false };
    let (mut bench, done) = Bench::told_of(|_| {}, vec![at(HIGH, 0, &[elsewhere])]);
    assert_eq!((bench.refused(Refusal::Stranger), bench.fail(done)), (1, vec![]));
    let mut many: Vec<RegistrarTcp> = (1..=100).map(|port| tcp(HIGH, port, false)).collect();
    many.insert(0, tcp(HIGH, 0, false));
    many.insert(1, elsewhere);
    let mut told = at(HIGH, 9901, &many);
    told.transport.addresses = (1..=64).map(|host| IpAddr::from([10, 0, 0, host])).collect();
    let (mut bench, done) = Bench::told_of(|_| {}, vec![told.clone()]);
    // Told again and again it is no more.
    for _ in 0..10 {
        bench.registrar.learn(bench.now, HIGH, &told);
    }
    let target = bench.registrar.enrp.targets.iter().find(|target| target.id == Some(HIGH)).unwrap();
    assert_eq!(target.addresses.len(), 8 + 7, "of eight told over TCP one is elsewhere");
    let tried = bench.fail(done);
    assert!(!tried.iter().any(|to| to.contains("192.0.2.1") || to.ends_with(":0")), "{tried:?}");
}

#[test]
fn a_transport_that_cannot_be_read_is_as_good_as_none() {
    let mut told = at(HIGH, 9901, &[]);
    let kind = wire::ParameterType::REGISTRAR_TCP;
    told.unknown.push(UnknownParameter { kind, value: vec![0x26, 0xad] });
    let (_, done) = Bench::told_of(|_| {}, vec![told]);
    assert_eq!(addresses(&done), ["sctp:10.0.0.144:9901"]);
}

#[test]
fn without_the_next_generation_transports_over_tcp_are_not_read() {
    let mut bench = Bench::with(|_| {});
    bench.start();
    let low = bench.join(LOW);
    let peers = vec![at(HIGH, 9901, &[tcp(HIGH, 9903, false)])];
    let done = bench.say(low, LOW, ListResponse { rejected: false, peers, unknown: vec![] });
    let tried = bench.fail(done);
    assert!(tried.len() > 1 && tried.iter().all(|to| to == "sctp:10.0.0.144:9901"), "{tried:?}");
}

#[test]
fn one_that_listens_over_tcp_says_so_and_names_no_sctp_port_where_it_has_none() {
    let ours = [tcp(ME, 9901, false), tcp(ME, 9902, true)];
    for sctp in [true, false] {
        let mut bench = Bench::ready_with(|enrp| {
            enrp.next_generation = true;
            enrp.tcp = ours.to_vec();
            if !sctp {
                enrp.transport.addresses.clear();
            }
        });
        let (low, _) = bench.accept(ip(LOW));
        let question = Presence { information: Some(at(LOW, 9901, &[])), ..presence(LOW, true, 0xffff) };
        let done = bench.say(low, LOW, question);
        let told = messages(&done).into_iter().find_map(|(_, body)| match body {
            Body::Presence(presence) => presence.information,
            _ => None,
        });
        let told = told.unwrap();
        assert_eq!(RegistrarTcp::all(&told.unknown), ours);
        let port = if sctp { 9901 } else { 0 };
        assert_eq!((told.transport.port, &told.transport.addresses[..]), (port, &[ip(ME)][..]));
    }
}

#[test]
fn one_without_sctp_is_listed_only_for_those_who_read_where_it_is() {
    let mut bench = Bench::ready_with(|enrp| enrp.next_generation = true);
    let (high, _) = bench.accept(ip(HIGH));
    let told = at(HIGH, 0, &[tcp(HIGH, 9903, false)]);
    bench.say(high, HIGH, Presence { information: Some(told.clone()), ..presence(HIGH, true, 0xffff) });
    let peer = bench.registrar.peers().next().unwrap();
    assert_eq!((peer.port, &peer.tcp[..]), (None, &[tcp(HIGH, 9903, false)][..]));
    let low = bench.join(LOW);
    let mut listed = |information: Option<ServerInformation>| {
        if let Some(information) = information {
            let presence = Presence { information: Some(information), ..presence(LOW, false, 0xffff) };
            bench.say(low, LOW, presence);
        }
        let done = bench.say(low, LOW, ListRequest::default());
        messages(&done).into_iter().find_map(|(_, body)| match body {
            Body::ListResponse(list) => Some(list.peers),
            _ => None,
        })
    };
    assert_eq!(listed(None), Some(vec![]));
    assert_eq!(listed(Some(at(LOW, 9901, &[]))), Some(vec![told]));
}
