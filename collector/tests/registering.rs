//! The collector in its pool, as a registrar sees it.

mod world;

use std::net::{IpAddr, Ipv4Addr};

use rserpool_proto::wire::asap::deregistration::DeregistrationResponse;
use rserpool_proto::wire::asap::registration::{Registration, RegistrationResponse};
use rserpool_proto::wire::{Message, Policy, Transport, TransportUse};
use transport::{Association, Endpoint, EndpointConfig, Event, Listener, MsgOut, Ppid};
use world::{Collector, Directory, Exporter, PATIENCE, address, lines, output, read};

/// The registrar's side, by hand.
struct Registrar {
    listener: Listener,
    _endpoint: Endpoint,
}

impl Registrar {
    async fn start(address: Ipv4Addr) -> Self {
        let endpoint = Endpoint::bind(EndpointConfig::new(IpAddr::V4(address))).unwrap();
        Self { listener: endpoint.listen(3863).await.unwrap(), _endpoint: endpoint }
    }

    async fn accept(&mut self) -> Association {
        tokio::time::timeout(PATIENCE, self.listener.accept()).await.expect("a pool element").unwrap()
    }
}

/// Returns the next ASAP message.
async fn receive(association: &mut Association) -> Message {
    loop {
        match tokio::time::timeout(PATIENCE, association.recv()).await.expect("a message in time") {
            Event::Message(message) => return Message::decode(&message.data).unwrap(),
            Event::Lost(reason) => panic!("association lost: {reason}"),
            _ => {}
        }
    }
}

async fn send(association: &Association, message: Message) {
    association.send(MsgOut::new(Ppid::ASAP, message.to_octets().unwrap())).await.unwrap();
}

/// Takes the registration and grants it.
async fn register(association: &mut Association) -> Registration {
    let Message::Registration(registration) = receive(association).await else { panic!("no registration") };
    let (pool, pe) = (registration.pool.clone(), registration.element.pe);
    let (causes, unknown) = (Vec::new(), Vec::new());
    let response = RegistrationResponse { rejected: false, pool, pe, causes, unknown };
    send(association, Message::RegistrationResponse(response)).await;
    registration
}

fn pool(directory: &Directory, registrar: Ipv4Addr, more: &str) -> String {
    let key = directory.path("pool.key");
    format!(
        "[[pool]]\nhandle = \"ipfix\"\nregistrars = [\"{registrar}:3863\"]\nkey-file = \"{}\"\n{more}\n",
        key.display()
    )
}

#[tokio::test]
async fn the_collector_registers_where_it_listens_and_leaves_before_it_ends() {
    let (directory, registrar_address) = (Directory::new(), address());
    let mut registrar = Registrar::start(registrar_address).await;
    let config =
        output(&directory) + &pool(&directory, registrar_address, "policy.least-used = { capacity = 1000 }");
    let mut collector = Collector::start(&directory, address(), &config);
    assert!(collector.http("/readyz").starts_with("HTTP/1.1 503"), "not registered yet");
    let mut element = registrar.accept().await;
    let registration = register(&mut element).await;
    assert_eq!(registration.pool.to_string(), "ipfix");
    assert!(matches!(registration.element.policy, Policy::LeastUsed { .. }));
    let Transport::Sctp(transport) = registration.element.user_transport else { panic!("no SCTP transport") };
    assert_eq!((transport.port, transport.transport_use), (4739, TransportUse::DATA_PLUS_CONTROL));
    assert_eq!(transport.addresses, [IpAddr::V4(collector.address)]);
    collector.wait_for("registered");
    collector.wait_until_ready();
    assert_eq!(collector.metric("ipfix_collector_pool_registered{pool=\"ipfix\"}"), 1.0);

    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..10);
    exporter.send().await;
    collector.terminate();
    loop {
        match receive(&mut element).await {
            Message::Deregistration(deregistration) => {
                assert!(collector.http("/readyz").starts_with("HTTP/1.1 503"), "not ready while it ends");
                // The exporter is still served: it may have read the pool before.
                exporter.wait_for(0..10).await;
                let (pool, pe) = (deregistration.pool, deregistration.pe);
                let response = DeregistrationResponse { pool, pe, causes: Vec::new(), unknown: Vec::new() };
                send(&element, Message::DeregistrationResponse(response)).await;
                break;
            }
            // A change of load.
            Message::Registration(_) => {}
            other => panic!("{other:?}"),
        }
    }
    exporter.wait_for_end().await;
    assert_eq!(collector.wait().code(), Some(0));
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..10, true));
}

#[tokio::test]
async fn without_a_registrar_the_collector_serves_says_so_once_and_registers_when_one_comes() {
    let (directory, registrar_address) = (Directory::new(), address());
    let config = output(&directory) + &pool(&directory, registrar_address, "");
    let mut collector = Collector::start(&directory, address(), &config);
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..10);
    exporter.send().await;
    exporter.wait_for(0..10).await;
    collector.wait_for("WARN pool_element{pool=ipfix}: rserpool::driver: no registrar reachable, retrying");
    let mut registrar = Registrar::start(registrar_address).await;
    let mut element = registrar.accept().await;
    register(&mut element).await;
    collector.wait_for("rserpool::pool_element: registered");
    assert_eq!(collector.logged("no registrar reachable"), 1);
    exporter.flows.flows(10..20);
    exporter.send().await;
    exporter.wait_for(0..20).await;
}

#[tokio::test]
async fn all_addresses_are_registered_as_one_element_and_serve() {
    let (directory, registrar_address) = (Directory::new(), address());
    let mut registrar = Registrar::start(registrar_address).await;
    let config = output(&directory) + &pool(&directory, registrar_address, "");
    let (first, second) = (address(), address());
    let mut collector = Collector::start_at(&directory, &[first, second], &config);
    let registration = register(&mut registrar.accept().await).await;
    let Transport::Sctp(transport) = registration.element.user_transport else { panic!("no SCTP transport") };
    assert_eq!(transport.port, 4739);
    assert_eq!(transport.addresses, [IpAddr::V4(first), IpAddr::V4(second)]);
    collector.address = second;
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..10);
    exporter.send().await;
    exporter.wait_for(0..10).await;
}

#[tokio::test]
async fn a_registrar_whose_name_is_unknown_is_told_once_and_another_one_is_taken() {
    let (directory, registrar_address) = (Directory::new(), address());
    let pool = pool(&directory, registrar_address, "");
    let config = output(&directory) + &pool.replace("[\"", "[\"registrar.invalid\", \"");
    let mut collector = Collector::start(&directory, address(), &config);
    collector.wait_for("no registrar reachable, retrying");
    let mut registrar = Registrar::start(registrar_address).await;
    register(&mut registrar.accept().await).await;
    collector.wait_for("rserpool::pool_element: registered");
    assert_eq!(collector.logged("the registrar's name cannot be looked up, retrying"), 1);
}
