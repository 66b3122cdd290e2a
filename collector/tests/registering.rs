//! The collector in its pool, as a registrar sees it.

mod world;

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use delivery::cookie::State;
use rserpool_proto::PeId;
use rserpool_proto::wire::asap::deregistration::DeregistrationResponse;
use rserpool_proto::wire::asap::handle_resolution::HandleResolutionResponse;
use rserpool_proto::wire::asap::registration::{Registration, RegistrationResponse};
use rserpool_proto::wire::{Message, Policy, PoolElementParameter, Transport, TransportUse};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use transport::{Association, Endpoint, EndpointConfig, Event, Listener, MsgOut, Ppid, Sender};
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

/// A registrar that answers by itself, however busy the test is: an element whose questions go unanswered for a second
/// and a half looks for another registrar.
struct Answering {
    heard: UnboundedReceiver<(Message, Sender)>,
    task: JoinHandle<()>,
}

impl Answering {
    fn start(mut registrar: Registrar) -> Self {
        let (tell, heard) = unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok(association) = registrar.listener.accept().await {
                tokio::spawn(answer(association, tell.clone()));
            }
        });
        Self { heard, task }
    }

    /// Returns the next message, and how to answer it.
    async fn next(&mut self) -> (Message, Sender) {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("a message in time").unwrap()
    }

    /// Returns the next registration; it was granted.
    async fn registration(&mut self) -> Registration {
        loop {
            if let (Message::Registration(registration), _) = self.next().await {
                return registration;
            }
        }
    }

    /// Returns the next registration whose load `wanted` accepts.
    async fn load(&mut self, wanted: impl Fn(f64) -> bool) -> f64 {
        loop {
            let Policy::LeastUsed { load } = self.registration().await.element.policy else {
                panic!("no load")
            };
            let load = f64::from(load.0) / f64::from(u32::MAX);
            if wanted(load) {
                return load;
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Grants registrations, and says that the pool has no elements but the last one registered.
async fn answer(mut association: Association, tell: UnboundedSender<(Message, Sender)>) {
    let (sender, mut elements) = (association.sender(), Vec::new());
    loop {
        let message = match association.recv().await {
            Event::Message(message) => Message::decode(&message.data).unwrap(),
            Event::Lost(_) => return,
            _ => continue,
        };
        let (causes, unknown) = (Vec::new(), Vec::new());
        let response = match &message {
            Message::Registration(registration) => {
                let (pool, pe) = (registration.pool.clone(), registration.element.pe);
                elements = vec![registration.element.clone()];
                Some(Message::RegistrationResponse(RegistrationResponse {
                    rejected: false,
                    pool,
                    pe,
                    causes,
                    unknown,
                }))
            }
            Message::HandleResolution(request) => {
                Some(Message::HandleResolutionResponse(HandleResolutionResponse {
                    updates_accepted: true,
                    pool: request.pool.clone(),
                    policy: None,
                    elements: elements.clone(),
                    causes: None,
                    unknown,
                }))
            }
            _ => None,
        };
        if let Some(response) = response {
            let _ = sender.send(MsgOut::new(Ppid::ASAP, response.to_octets().unwrap())).await;
        }
        if tell.send((message, sender.clone())).is_err() {
            return;
        }
    }
}

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
    let (deregistration, element) = loop {
        if let (Message::Deregistration(deregistration), element) = registrar.next().await {
            break (deregistration, element);
        }
    };
    assert!(collector.http("/readyz").starts_with("HTTP/1.1 503"), "not ready while it ends");
    // The exporter is still served: it may have read the pool before.
    exporter.wait_for(0..10).await;
    let (pool, pe) = (deregistration.pool, deregistration.pe);
    let response = DeregistrationResponse { pool, pe, causes: Vec::new(), unknown: Vec::new() };
    // The collector waits two seconds for this, and on a busy machine has gone on without it.
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
    let tap = format!("[output.tap.jsonl]\npath = {pipe:?}\ndurable = false\nqueue = \"256KiB\"\n");
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
