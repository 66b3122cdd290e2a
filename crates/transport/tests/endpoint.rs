//! An endpoint with several addresses, on a stack with one path.

use std::net::{IpAddr, Ipv6Addr};

use transport::{ConnectError, Connector, Endpoint, EndpointConfig, Event, MsgOut, PeerAddress, Ppid, Stack};

fn addresses() -> [IpAddr; 3] {
    let [a, b, ..] = getrandom::u32().unwrap().to_be_bytes();
    [1, 2, 3].map(|host| IpAddr::from([127, a, b.max(1), host]))
}

fn config(address: IpAddr) -> EndpointConfig {
    let mut config = EndpointConfig::new(address);
    config.stack = Stack::Userland;
    config
}

#[tokio::test]
async fn a_listener_is_reached_at_each_of_its_addresses() {
    let [first, second, client] = addresses();
    let mut both = config(first);
    both.more_addresses = vec![second];
    let server = Endpoint::bind(both).unwrap();
    let mut listener = server.listen(4739).await.unwrap();
    let client = Endpoint::bind(config(client)).unwrap();
    let reached = server.peer_addresses(4739);
    assert_eq!(reached, [PeerAddress::sctp(first, 4739), PeerAddress::sctp(second, 4739)]);
    for address in reached {
        let a = client.connect(address).await.unwrap();
        let b = listener.accept().await.unwrap();
        assert_eq!(b.local(), address);
        drop(a);
    }
}

#[tokio::test]
async fn of_a_peer_with_several_addresses_the_first_that_answers_is_taken() {
    let [silent, living, client] = addresses();
    let server = Endpoint::bind(config(living)).unwrap();
    let mut listener = server.listen(4739).await.unwrap();
    let client = Endpoint::bind(config(client)).unwrap();
    let peers = [silent, living].map(|ip| PeerAddress::sctp(ip, 4739));
    let a = client.connect_any(&peers).await.unwrap();
    assert_eq!(a.peer(), peers[1]);
    let mut b = listener.accept().await.unwrap();
    a.send(MsgOut::new(Ppid::IPFIX, vec![0; 20])).await.unwrap();
    assert!(matches!(b.recv().await, Event::Message(_)));
    assert!(client.connect_any(&[]).await.is_err());
}

#[tokio::test]
async fn addresses_of_a_family_without_a_local_address_are_left_out() {
    let [_, living, client] = addresses();
    let server = Endpoint::bind(config(living)).unwrap();
    let _listener = server.listen(4739).await.unwrap();
    let client = Endpoint::bind(config(client)).unwrap();
    let v6 = PeerAddress::sctp(Ipv6Addr::LOCALHOST.into(), 4739);
    let a = client.connect_any(&[v6, PeerAddress::sctp(living, 4739)]).await.unwrap();
    assert_eq!(a.peer_addresses(), [PeerAddress::sctp(living, 4739)]);
    let error = client.connect_any(&[v6]).await.unwrap_err();
    assert!(matches!(error, ConnectError::Address(peer) if peer == v6), "{error}");
}

#[tokio::test]
async fn a_free_encapsulation_port_is_the_same_at_every_address() {
    let [first, second, _] = addresses();
    let mut free = config(first);
    (free.encapsulation, free.more_addresses) = (0, vec![second]);
    let ports = Endpoint::bind(free).unwrap().peer_addresses(4739);
    let port = |peer: &PeerAddress| match *peer {
        PeerAddress::Sctp { encapsulation, .. } => encapsulation.unwrap(),
        _ => panic!("{peer}"),
    };
    assert!(port(&ports[0]) != 0 && port(&ports[0]) == port(&ports[1]), "{ports:?}");
}

#[tokio::test]
async fn an_endpoint_opened_later_is_used_from_then_on() {
    let [server, client, _] = addresses();
    let listening = Endpoint::bind(config(server)).unwrap();
    let mut listener = listening.listen(3863).await.unwrap();
    let connector = Connector::default();
    let known_elsewhere = connector.clone();
    let refused = connector.connect(listener.local()).await;
    assert!(matches!(refused, Err(ConnectError::Address(_))), "{refused:?}");
    let endpoint = Endpoint::bind(config(client)).unwrap();
    known_elsewhere.later.set(endpoint).unwrap();
    let association = connector.connect(listener.local()).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().peer().ip(), association.local().ip());
}
