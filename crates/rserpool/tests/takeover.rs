//! A registrar that takes a pool element over connects to the element's ASAP transport (RFC 5352 section 3.4).

mod world;

use rserpool::wire::Message;
use rserpool::wire::asap::keep_alive::EndpointKeepAlive;
use rserpool::wire::asap::registration::Registration;
use rserpool::{
    Load, PeId, Policy, PoolElement, PoolElementConfig, PoolElementEvent, PoolElementState, PoolHandle,
    Profile, Protocol, TransportUse, UserTransport,
};
use rserpool_proto::RegistrarId;
use tokio::time::timeout;
use transport::{Association, PeerAddress};

use world::{Net, PATIENCE, Registrar, end, receive, register, send};

const PE: PeId = PeId(0xa1);
const TAKER: RegistrarId = RegistrarId(0x0b);

fn pool() -> PoolHandle {
    PoolHandle::new("ipfix").unwrap()
}

fn element(net: Net) -> PoolElement {
    element_that_follows(net, &[])
}

/// An element that follows registrars at these hosts, or, without any, all of this host.
fn element_that_follows(net: Net, hosts: &[u8]) -> PoolElement {
    PoolElement::spawn(config(net, hosts), Some(net.endpoint(2))).unwrap()
}

fn config(net: Net, hosts: &[u8]) -> PoolElementConfig {
    let transport = UserTransport {
        protocol: Protocol::Sctp,
        addresses: vec![net.host(2)],
        port: 4739,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        encapsulation: 9899,
    };
    let config = PoolElementConfig::new(pool(), transport, vec![net.host(1).to_string().parse().unwrap()]);
    let networks = hosts.iter().map(|&host| net.host(host).to_string().parse().unwrap());
    PoolElementConfig {
        pe: Some(PE),
        policy: Policy::LeastUsed { load: Load(0) },
        registrar_networks: networks.collect(),
        ..config
    }
}

/// Connects to where the element said that it listens.
async fn connect(registrar: &Registrar, registration: &Registration) -> Association {
    let asap = registration.element.asap_transport.as_ref().expect("an ASAP transport");
    let peer = PeerAddress::sctp(asap.addresses[0], asap.port);
    timeout(PATIENCE, registrar.endpoint.connect(peer)).await.expect("no association").unwrap()
}

fn keep_alive(home: bool) -> Message {
    let (registrar, pool, pe) = (TAKER, pool(), Some(PE));
    Message::EndpointKeepAlive(EndpointKeepAlive {
        home,
        draining: false,
        registrar,
        pool,
        pe,
        unknown: Vec::new(),
    })
}

#[tokio::test]
async fn a_registrar_that_connects_and_says_so_is_the_home_from_then_on() {
    let net = Net::random();
    let (mut first, second) = (net.registrar(1).await, net.registrar(3).await);
    let mut element = element(net);
    let mut old = first.accept().await;
    let registration = register(&mut old).await;
    let asap = registration.element.asap_transport.clone().expect("an ASAP transport");
    assert_eq!((asap.addresses, registration.element.encapsulation), (vec![net.host(2)], None));
    assert!(matches!(element.next_event().await, Some(PoolElementEvent::Registered { .. })));

    // A registrar that only asks does not become home.
    let mut taken = connect(&second, &registration).await;
    send(&taken, keep_alive(false)).await;
    assert!(matches!(receive(&mut taken).await, Message::EndpointKeepAliveAck(ack) if ack.pe == PE));
    send(&old, keep_alive(false)).await;
    assert!(matches!(receive(&mut old).await, Message::EndpointKeepAliveAck(_)), "the home is the old one");

    send(&taken, keep_alive(true)).await;
    assert!(matches!(receive(&mut taken).await, Message::EndpointKeepAliveAck(ack) if ack.pe == PE));
    end(&mut old).await;
    let Some(PoolElementEvent::HomeChanged { pe, registrar }) = element.next_event().await else {
        panic!("the home has changed")
    };
    assert_eq!((pe, registrar.peer().ip()), (PE, Some(net.host(3))));
    assert_eq!(*element.state().borrow(), PoolElementState::Registered { pe, registrar });

    // Whatever the element has to tell, it tells its new home.
    element.set_load(Load(7));
    let registration = register(&mut taken).await;
    assert_eq!(registration.element.home, TAKER);
    assert_eq!(registration.element.policy, Policy::LeastUsed { load: Load(7) });
}

#[tokio::test]
async fn an_element_whose_registrar_is_gone_registers_with_the_one_that_takes_it_over() {
    let net = Net::random();
    let (mut first, second) = (net.registrar(1).await, net.registrar(3).await);
    let mut element = element(net);
    let mut old = first.accept().await;
    let registration = register(&mut old).await;
    assert!(matches!(element.next_event().await, Some(PoolElementEvent::Registered { .. })));
    drop((old, first));
    assert_eq!(element.next_event().await, Some(PoolElementEvent::RegistrarLost));
    let mut taken = connect(&second, &registration).await;
    send(&taken, keep_alive(true)).await;
    assert!(matches!(receive(&mut taken).await, Message::EndpointKeepAliveAck(_)));
    assert_eq!(register(&mut taken).await.element.pe, PE);
    let events = [element.next_event().await, element.next_event().await];
    assert!(
        matches!(
            events,
            [Some(PoolElementEvent::HomeChanged { .. }), Some(PoolElementEvent::Registered { pe: PE, .. })]
        ),
        "{events:?}"
    );
}

/// The reference implementation hands on the port it sees, whatever is registered.
#[tokio::test]
async fn with_the_profile_rsplib_an_element_listens_for_registrars_where_it_connects_from() {
    let net = Net::random();
    let (mut first, second) = (net.registrar(1).await, net.registrar(3).await);
    let config = PoolElementConfig { profile: Profile::RSPLIB, ..config(net, &[]) };
    let mut element = PoolElement::spawn(config, Some(net.endpoint(2))).unwrap();
    let mut old = first.accept().await;
    let seen = old.peer();
    let registration = register(&mut old).await;
    assert_eq!(registration.element.asap_transport.map(|asap| asap.port), Some(seen.port()));
    assert!(matches!(element.next_event().await, Some(PoolElementEvent::Registered { .. })));
    let mut taken = timeout(PATIENCE, second.endpoint.connect(seen)).await.expect("no association").unwrap();
    send(&taken, keep_alive(true)).await;
    assert!(matches!(receive(&mut taken).await, Message::EndpointKeepAliveAck(ack) if ack.pe == PE));
}

#[tokio::test]
async fn a_registrar_outside_the_listed_networks_is_sent_away() {
    let net = Net::random();
    let (mut first, second, stranger) =
        (net.registrar(1).await, net.registrar(3).await, net.registrar(4).await);
    let mut element = element_that_follows(net, &[3]);
    let mut old = first.accept().await;
    let registration = register(&mut old).await;
    assert!(matches!(element.next_event().await, Some(PoolElementEvent::Registered { .. })));

    let mut refused = connect(&stranger, &registration).await;
    send(&refused, keep_alive(true)).await;
    end(&mut refused).await;
    assert_eq!(element.homes_refused(), 1);
    send(&old, keep_alive(false)).await;
    assert!(matches!(receive(&mut old).await, Message::EndpointKeepAliveAck(_)), "the home is the old one");

    let mut taken = connect(&second, &registration).await;
    send(&taken, keep_alive(true)).await;
    assert!(matches!(receive(&mut taken).await, Message::EndpointKeepAliveAck(ack) if ack.pe == PE));
}
