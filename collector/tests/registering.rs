//! The collector in its pool, as a registrar sees it.

mod world;

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use delivery::cookie::State;
use rserpool_proto::PeId;
use rserpool_proto::wire::asap::deregistration::DeregistrationResponse;
use rserpool_proto::wire::asap::handle_resolution::HandleResolutionResponse;
use rserpool_proto::wire::{Message, Policy, PoolElementParameter, Transport, TransportUse};
use transport::{Association, MsgOut, Ppid};
use world::registrar::{Answering, Registrar, pool, receive, register, send};
use world::{Collector, Directory, Exporter, address, lines, output, read};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_collector_registers_where_it_listens_and_leaves_before_it_ends() {
    let (directory, registrar_address) = (Directory::new(), address());
    let registrar = Registrar::start(registrar_address).await;
    let config =
        output(&directory) + &pool(&directory, registrar_address, "policy.least-used = { capacity = 1000 }");
    let mut collector = Collector::start(&directory, address(), &config);
    assert!(collector.http("/readyz").starts_with("HTTP/1.1 503"), "not registered yet");
    let mut registrar = Answering::start(registrar);
    let registration = registrar.registration().await;
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
    let (deregistration, element) = registrar.deregistration().await;
    assert!(collector.http("/readyz").starts_with("HTTP/1.1 503"), "not ready while it ends");
    // The exporter is still served: it may have read the pool before.
    exporter.wait_for(0..10).await;
    let (pool, pe) = (deregistration.pool, deregistration.pe);
    let response = DeregistrationResponse { pool, pe, causes: Vec::new(), unknown: Vec::new() };
    // The collector waits 1.5 s for this, and on a busy machine has gone on without it.
    let _ = element
        .send(MsgOut::new(Ppid::ASAP, Message::DeregistrationResponse(response).to_octets().unwrap()))
        .await;
    exporter.wait_for_end().await;
    assert_eq!(collector.wait().code(), Some(0));
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..10, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_whose_output_is_slow_tells_a_higher_load_and_a_lower_one_once_it_is_drained() {
    let (directory, registrar_address) = (Directory::new(), address());
    let pipe = directory.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Open for both, which waits for no writer.
    let mut reader = File::options().read(true).write(true).open(&pipe).unwrap();
    let tap = format!(
        "[output.tap.jsonl]\npath = {pipe:?}\ndurable = false\nqueue = \"256KiB\"\nwhen-full = \"wait\"\n"
    );
    let policy = "policy.least-used = { load = \"queue\" }";
    let config = output(&directory) + &tap + &pool(&directory, registrar_address, policy);
    let mut registrar = Answering::start(Registrar::start(registrar_address).await);
    let collector = Collector::start(&directory, address(), &config);
    assert_eq!(registrar.load(|_| true).await, 0.0, "nothing waits at the start");

    // Some 150 octets a line: first the pipe fills, which takes 64 KiB, and then the queue.
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..1_500);
    exporter.send().await;
    let full = registrar.load(|load| load > 0.25).await;

    std::thread::spawn(move || {
        let mut octets = [0; 4_096];
        while reader.read(&mut octets).is_ok_and(|read| read > 0) {}
    });
    let drained = registrar.load(|load| load < full / 2.0).await;
    println!("load {full:.2} behind a pipe nobody read, {drained:.2} after");
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

/// Waits for the element's question after the others, and answers with these elements.
async fn tell_peers(association: &mut Association, elements: Vec<PoolElementParameter>) {
    loop {
        match receive(association).await {
            Message::HandleResolution(request) => {
                assert!(request.send_updates);
                let (updates_accepted, policy, causes, unknown) = (true, None, None, Vec::new());
                let pool = request.pool;
                let response =
                    HandleResolutionResponse { updates_accepted, pool, policy, elements, causes, unknown };
                return send(association, Message::HandleResolutionResponse(response)).await;
            }
            // A change of load.
            Message::Registration(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn exporters_are_told_the_other_collectors_of_the_pool_and_whom_to_turn_to_at_the_end() {
    let (directory, registrar_address) = (Directory::new(), address());
    let mut registrar = Registrar::start(registrar_address).await;
    let config = output(&directory) + &pool(&directory, registrar_address, "");
    let mut collector = Collector::start(&directory, address(), &config);
    let mut association = registrar.accept().await;
    let own = register(&mut association).await.element;
    let other = PoolElementParameter { pe: PeId(0xb2), ..own.clone() };
    tell_peers(&mut association, vec![own.clone(), other.clone()]).await;
    collector.wait_for("the pool's other elements have changed");

    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..10);
    exporter.send().await;
    exporter.wait_for(0..10).await;
    let [card] = &exporter.cards[..] else { panic!("{:?}", exporter.cards) };
    assert_eq!(card.pool.to_string(), "ipfix");
    assert_eq!(card.elements.iter().map(|element| element.pe).collect::<Vec<_>>(), [other.pe]);

    drop((association, registrar));
    collector.terminate();
    exporter.wait_for_end().await;
    assert_eq!(exporter.cards.len(), 2, "again before it leaves");
    assert_eq!(exporter.state, Some(State::Draining));
    assert_eq!(exporter.cards[1].elements.len(), 1);
}

#[tokio::test]
async fn a_pool_of_minimal_service_has_neither_cookies_nor_cards() {
    let (directory, registrar_address) = (Directory::new(), address());
    let mut registrar = Registrar::start(registrar_address).await;
    let config = output(&directory) + &pool(&directory, registrar_address, "service = \"minimal\"");
    let mut collector = Collector::start(&directory, address(), &config);
    let registration = register(&mut registrar.accept().await).await;
    assert_eq!(registration.element.user_transport.transport_use(), TransportUse::DATA_ONLY);
    collector.wait_for("rserpool::pool_element: registered");
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..10);
    exporter.send().await;
    while read(&directory.path("flows.jsonl")).lines().count() < 10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    collector.terminate();
    exporter.wait_for_end().await;
    assert_eq!((exporter.cookies, exporter.cards.len()), (0, 0));
}

#[tokio::test]
async fn a_collector_in_two_pools_is_two_elements_each_with_its_own_load_and_registrar() {
    let (directory, first_address, second_address) = (Directory::new(), address(), address());
    let mut first = Registrar::start(first_address).await;
    let mut second = Registrar::start(second_address).await;
    let least_used = "policy.least-used = { capacity = 10 }";
    let other = pool(&directory, second_address, "transport = \"tcp\"").replace("ipfix", "other");
    let config = output(&directory) + &pool(&directory, first_address, least_used) + &other;
    let collector = Collector::start(&directory, address(), &config);
    let (mut to_first, mut to_second) = (first.accept().await, second.accept().await);
    let (one, two) = (register(&mut to_first).await, register(&mut to_second).await);
    assert_eq!((one.pool.to_string(), two.pool.to_string()), ("ipfix".to_owned(), "other".to_owned()));
    assert_ne!(one.element.pe, two.element.pe);
    assert!(matches!(one.element.user_transport, Transport::Sctp(_)));
    assert!(matches!(two.element.user_transport, Transport::Tcp(_)));
    assert_eq!(two.element.policy, Policy::RoundRobin);
    tell_peers(&mut to_first, Vec::new()).await;

    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..20);
    exporter.send().await;
    exporter.wait_for(0..20).await;
    let loaded = loop {
        if let Message::Registration(registration) = receive(&mut to_first).await {
            break registration.element;
        }
    };
    assert_eq!(loaded.pe, one.element.pe);
    assert_ne!(loaded.policy, one.element.policy);

    // One registrar's end is the end of one registration.
    drop((to_first, first));
    let registered =
        |pool: &str| collector.metric(&format!("ipfix_collector_pool_registered{{pool=\"{pool}\"}}"));
    while registered("ipfix") > 0.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(registered("other"), 1.0);
}

#[tokio::test]
async fn a_registration_that_the_registrar_ends_is_made_again() {
    let (directory, registrar_address) = (Directory::new(), address());
    let mut registrar = Registrar::start(registrar_address).await;
    let config = output(&directory) + &pool(&directory, registrar_address, "service = \"minimal\"");
    let mut collector = Collector::start(&directory, address(), &config);
    let mut association = registrar.accept().await;
    let registration = register(&mut association).await;
    let (pool, pe) = (registration.pool, registration.element.pe);
    let response = DeregistrationResponse { pool, pe, causes: Vec::new(), unknown: Vec::new() };
    send(&association, Message::DeregistrationResponse(response)).await;
    assert_eq!(register(&mut association).await.element.pe, pe);
    collector.wait_for("the registration has expired, registering again");
}

#[tokio::test]
async fn with_the_profile_rsplib_lives_are_in_milliseconds_and_a_long_handle_is_told() {
    let (directory, registrar_address) = (Directory::new(), address());
    let mut registrar = Registrar::start(registrar_address).await;
    let handle = "ipfix-of-a-name-that-is-33-octets";
    let pool = pool(&directory, registrar_address, "").replace("\"ipfix\"", &format!("{handle:?}"));
    let config = output(&directory) + &pool + "[profile]\ntimers = \"rsplib\"\n";
    let mut collector = Collector::start(&directory, address(), &config);
    let registration = register(&mut registrar.accept().await).await;
    assert_eq!((registration.pool.to_string(), registration.element.life.0), (handle.to_owned(), 90_000));
    collector.wait_for("registered");
    assert_eq!(collector.logged("rsplib refuses a pool handle as long as this one"), 1);
}
