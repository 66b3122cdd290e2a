//! Drives machines against each other in virtual time and writes down what passes between them.
//!
//! Links deliver in order after 1 ms. A frozen node handles nothing until it thaws; a killed one is
//! noticed by its peers after 300 ms, one without power never.

#![expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
#![expect(unreachable_pub, reason = "the harness is used as a whole by one test binary")]

mod describe;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{Debug, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rserpool_proto::pe::{PoolElement, PoolElementConfig};
use rserpool_proto::pu::{PoolUser, PoolUserConfig, Selected};
use rserpool_proto::registrar::{self, Registrar, RegistrarConfig};
use rserpool_proto::wire::{Load, Message, Policy, TransportUse};
use rserpool_proto::{
    ConnectionId, ENCAPSULATION_PORT, Output, PeId, PoolHandle, Profile, Protocol, RegistrarAddress,
    RegistrarId, Remote, UserTransport,
};

const LATENCY: Duration = Duration::from_millis(1);
const LOSS_NOTICED: Duration = Duration::from_millis(300);

/// Names a machine of the world.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Node(usize);

enum Machine {
    Element(PoolElement),
    User(PoolUser),
    Registrar(Registrar),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Running,
    Frozen,
    Dead,
}

struct Place {
    name: String,
    ip: IpAddr,
    machine: Machine,
    state: State,
    /// What arrived while frozen.
    waiting: VecDeque<Input>,
}

enum Input {
    Handshake { link: usize },
    Connected(ConnectionId),
    ConnectFailed(ConnectionId),
    Lost(ConnectionId),
    Message(ConnectionId, Vec<u8>),
}

struct Link {
    client: (Node, ConnectionId),
    server: (Node, ConnectionId),
    up: bool,
    closed: bool,
}

pub struct World {
    start: Instant,
    now: Duration,
    places: Vec<Place>,
    links: Vec<Link>,
    arrivals: BTreeMap<(Duration, u64), (Node, Input)>,
    number: u64,
    profile: Profile,
    pub trace: String,
}

pub fn pool() -> PoolHandle {
    PoolHandle::new("ipfix").unwrap()
}

pub fn least_used(load: u32) -> Policy {
    Policy::LeastUsed { load: Load(load) }
}

impl World {
    pub fn new(profile: Profile) -> World {
        World {
            start: Instant::now(),
            now: Duration::ZERO,
            places: Vec::new(),
            links: Vec::new(),
            arrivals: BTreeMap::new(),
            number: 0,
            profile,
            trace: String::new(),
        }
    }

    pub fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn add(&mut self, name: String, ip: IpAddr, machine: Machine) -> Node {
        self.places.push(Place { name, ip, machine, state: State::Running, waiting: VecDeque::new() });
        Node(self.places.len() - 1)
    }

    fn registrar_ip(number: u8) -> IpAddr {
        IpAddr::from([127, 9, 0, number])
    }

    /// Adds registrar 0000000`number` at 127.9.0.`number`.
    pub fn registrar(&mut self, number: u8) -> Node {
        self.registrar_with(number, |_| {})
    }

    pub fn registrar_with(&mut self, number: u8, change: impl FnOnce(&mut RegistrarConfig)) -> Node {
        let id = Some(RegistrarId(number.into()));
        let mut config = RegistrarConfig { id, profile: self.profile, ..RegistrarConfig::default() };
        change(&mut config);
        let machine = Machine::Registrar(Registrar::new(config, number.into()));
        self.add(format!("registrar {number}"), Self::registrar_ip(number), machine)
    }

    fn registrars(numbers: &[u8]) -> Vec<RegistrarAddress> {
        let address = |&number| RegistrarAddress::sctp(Self::registrar_ip(number), 3863);
        numbers.iter().map(address).collect()
    }

    pub fn element_config(&self, pe: u8, registrars: &[u8]) -> PoolElementConfig {
        PoolElementConfig {
            pool: pool(),
            pe: Some(PeId(pe.into())),
            transport: UserTransport {
                protocol: Protocol::Sctp,
                addresses: vec![IpAddr::from([127, 9, 1, pe])],
                port: 4739,
                transport_use: TransportUse::DATA_PLUS_CONTROL,
                encapsulation: ENCAPSULATION_PORT,
            },
            policy: Policy::RoundRobin,
            registrars: Self::registrars(registrars),
            profile: self.profile,
        }
    }

    /// Adds element 000000`pe` at 127.9.1.`pe`, which starts to register.
    pub fn element(&mut self, pe: u8, registrars: &[u8]) -> Node {
        let config = self.element_config(pe, registrars);
        self.element_with(pe, config)
    }

    pub fn element_with(&mut self, number: u8, config: PoolElementConfig) -> Node {
        let ip = config.transport.addresses[0];
        let element = PoolElement::new(config, number.into()).unwrap();
        let node = self.add(format!("pe {number:x}"), ip, Machine::Element(element));
        self.with_element(node, PoolElement::register);
        node
    }

    pub fn user(&mut self, number: u8, registrars: &[u8]) -> Node {
        let config = PoolUserConfig {
            pool: pool(),
            registrars: Self::registrars(registrars),
            items: Some(16),
            updates: false,
            profile: self.profile,
        };
        self.user_with(number, config)
    }

    pub fn user_with(&mut self, number: u8, config: PoolUserConfig) -> Node {
        let machine = Machine::User(PoolUser::new(config, number.into()));
        self.add(format!("pu {number}"), IpAddr::from([127, 9, 2, number]), machine)
    }

    pub fn with_element<T>(&mut self, node: Node, command: impl FnOnce(&mut PoolElement, Instant) -> T) -> T {
        let now = self.instant();
        let Machine::Element(element) = &mut self.places[node.0].machine else { panic!("no element") };
        let result = command(element, now);
        self.drain(node);
        result
    }

    pub fn with_user<T>(&mut self, node: Node, command: impl FnOnce(&mut PoolUser, Instant) -> T) -> T {
        let now = self.instant();
        let Machine::User(user) = &mut self.places[node.0].machine else { panic!("no user") };
        let result = command(user, now);
        self.drain(node);
        result
    }

    /// Selects an element and writes it down.
    pub fn select(&mut self, node: Node) -> Option<Selected> {
        let selected = self.with_user(node, PoolUser::next_element);
        let text = match &selected {
            Some(one) => format!("selects {}{}", one.pe, if one.stale { " (stale)" } else { "" }),
            None => "selects none".to_string(),
        };
        let name = self.places[node.0].name.clone();
        self.line(&format!("{name}: {text}"));
        selected
    }

    pub fn report(&mut self, node: Node, pe: u8) -> bool {
        self.with_user(node, |user, now| user.report_unreachable(now, PeId(pe.into())))
    }

    pub fn machine(&self, node: Node) -> &Registrar {
        match &self.places[node.0].machine {
            Machine::Registrar(registrar) => registrar,
            Machine::Element(_) | Machine::User(_) => panic!("no registrar"),
        }
    }

    /// Identifiers registered at the registrar.
    pub fn registered(&self, node: Node) -> Vec<u32> {
        let pools = self.machine(node).handlespace().pools();
        pools.flat_map(|(_, pool)| pool.elements().map(|element| element.pe.0)).collect()
    }

    pub fn freeze(&mut self, node: Node) {
        self.note(node, "is stopped");
        self.places[node.0].state = State::Frozen;
    }

    /// Continues; what was due in the meantime comes first, as it may in a driver.
    pub fn thaw(&mut self, node: Node) {
        self.note(node, "continues");
        self.places[node.0].state = State::Running;
        if self.timeout(node).is_some_and(|at| at <= self.instant()) {
            self.fire(node);
        }
        while let Some(input) = self.places[node.0].waiting.pop_front() {
            self.handle(node, input);
        }
    }

    /// Ends a process: its peers notice.
    pub fn kill(&mut self, node: Node) {
        self.note(node, "is killed");
        self.places[node.0].state = State::Dead;
        for link in 0..self.links.len() {
            self.close(link, node, LOSS_NOTICED);
        }
    }

    /// Takes the power from a machine: nobody notices by itself.
    pub fn cut(&mut self, node: Node) {
        self.note(node, "loses power");
        self.places[node.0].state = State::Dead;
    }

    fn note(&mut self, node: Node, text: &str) {
        let line = format!("--- {} {text}", self.places[node.0].name);
        self.line(&line);
    }

    fn line(&mut self, text: &str) {
        writeln!(self.trace, "{:9.3} s  {text}", self.now.as_secs_f64()).unwrap();
    }

    /// Lets `seconds` pass.
    pub fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some((at, node)) = self.next().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            match node {
                Some(node) => self.fire(node),
                None => {
                    let (_, (node, input)) = self.arrivals.pop_first().unwrap();
                    match self.places[node.0].state {
                        State::Running => self.handle(node, input),
                        State::Frozen => self.places[node.0].waiting.push_back(input),
                        State::Dead => self.refuse(input),
                    }
                }
            }
        }
        self.now = end;
    }

    /// The next thing to happen: an arrival, or a node's timer.
    fn next(&self) -> Option<(Duration, Option<Node>)> {
        let arrival = self.arrivals.keys().next().map(|&(at, _)| (at, None));
        let timers = (0..self.places.len()).map(Node).filter_map(|node| {
            let running = self.places[node.0].state == State::Running;
            let at = self.timeout(node).filter(|_| running)?;
            Some((at.saturating_duration_since(self.start), Some(node)))
        });
        arrival.into_iter().chain(timers).min_by_key(|(at, _)| *at)
    }

    fn timeout(&self, node: Node) -> Option<Instant> {
        match &self.places[node.0].machine {
            Machine::Element(element) => element.poll_timeout(),
            Machine::User(user) => user.poll_timeout(),
            Machine::Registrar(registrar) => registrar.poll_timeout(),
        }
    }

    fn fire(&mut self, node: Node) {
        let now = self.instant();
        match &mut self.places[node.0].machine {
            Machine::Element(element) => element.handle_timeout(now),
            Machine::User(user) => user.handle_timeout(now),
            Machine::Registrar(registrar) => registrar.handle_timeout(now),
        }
        self.drain(node);
        assert!(
            self.timeout(node).is_none_or(|at| at > now),
            "{}: timer not served",
            self.places[node.0].name
        );
    }

    fn handle(&mut self, node: Node, input: Input) {
        let now = self.instant();
        match (&mut self.places[node.0].machine, input) {
            (Machine::Registrar(_), Input::Handshake { link }) => {
                if self.links[link].closed {
                    return;
                }
                let (client, client_connection) = self.links[link].client;
                let server_connection = self.links[link].server.1;
                let ip = self.places[client.0].ip;
                let remote = Remote {
                    protocol: Protocol::Sctp,
                    addresses: vec![ip],
                    port: 50_000,
                    encapsulation: None,
                };
                let Machine::Registrar(registrar) = &mut self.places[node.0].machine else { return };
                registrar.handle_accepted(now, server_connection, remote);
                self.links[link].up = true;
                self.arrive(client, LATENCY, Input::Connected(client_connection));
            }
            (_, Input::Handshake { .. }) => panic!("only registrars listen"),
            (Machine::Registrar(registrar), Input::Lost(connection)) => {
                registrar.handle_lost(now, connection);
            }
            (Machine::Registrar(registrar), Input::Message(connection, octets)) => {
                registrar.handle_message(now, connection, &octets);
            }
            (Machine::Registrar(_), Input::Connected(_) | Input::ConnectFailed(_)) => panic!("no client"),
            (Machine::Element(element), Input::Connected(connection)) => {
                element.handle_connected(now, connection);
            }
            (Machine::Element(element), Input::ConnectFailed(connection)) => {
                element.handle_connect_failed(now, connection);
            }
            (Machine::Element(element), Input::Lost(connection)) => element.handle_lost(now, connection),
            (Machine::Element(element), Input::Message(connection, octets)) => {
                element.handle_message(now, connection, &octets);
            }
            (Machine::User(user), Input::Connected(connection)) => user.handle_connected(now, connection),
            (Machine::User(user), Input::ConnectFailed(connection)) => {
                user.handle_connect_failed(now, connection);
            }
            (Machine::User(user), Input::Lost(connection)) => user.handle_lost(now, connection),
            (Machine::User(user), Input::Message(connection, octets)) => {
                user.handle_message(now, connection, &octets);
            }
        }
        self.drain(node);
    }

    /// Nobody is there any more.
    fn refuse(&mut self, input: Input) {
        if let Input::Handshake { link } = input {
            let (client, connection) = self.links[link].client;
            self.arrive(client, LATENCY, Input::ConnectFailed(connection));
        }
    }

    fn drain(&mut self, node: Node) {
        loop {
            let output = match &mut self.places[node.0].machine {
                Machine::Element(element) => {
                    element.poll_output().map(|it| erase(it, |event| format!("{event:?}")))
                }
                Machine::User(user) => user.poll_output().map(|it| erase(it, |event| format!("{event:?}"))),
                Machine::Registrar(registrar) => registrar.poll_output().map(|it| erase(it, registrar_event)),
            };
            let Some(output) = output else { return };
            self.perform(node, output);
        }
    }

    fn perform(&mut self, node: Node, output: Output<String>) {
        match output {
            Output::Connect { connection, address, .. } => self.connect(node, connection, address),
            Output::Send { connection, octets } => {
                let Some((to, theirs)) = self.far_end(node, connection) else { return };
                let message =
                    Message::decode(&octets).map_or_else(|e| e.to_string(), |m| describe::message(&m));
                let (from, target) = (&self.places[node.0].name, &self.places[to.0].name);
                let line = format!("{from} → {target}  {message}");
                self.line(&line);
                self.arrive(to, LATENCY, Input::Message(theirs, octets));
            }
            Output::Disconnect { connection } => {
                let found = self.links.iter().position(|link| {
                    !link.closed && (link.client == (node, connection) || link.server == (node, connection))
                });
                if let Some(link) = found {
                    self.close(link, node, LATENCY);
                }
            }
            Output::Announce { .. } | Output::LookUp { .. } => {}
            Output::Event(event) => {
                let line = format!("{}: {event}", self.places[node.0].name);
                self.line(&line);
            }
        }
    }

    fn connect(&mut self, node: Node, connection: ConnectionId, address: RegistrarAddress) {
        let listening = self.places.iter().position(|place| {
            place.ip == address.ip
                && matches!(place.machine, Machine::Registrar(_))
                && place.state != State::Dead
        });
        let Some(server) = listening.map(Node) else {
            return self.arrive(node, LATENCY, Input::ConnectFailed(connection));
        };
        self.number += 1;
        let server = (server, ConnectionId::accepted(self.number));
        self.links.push(Link { client: (node, connection), server, up: false, closed: false });
        let link = self.links.len() - 1;
        self.arrive(server.0, LATENCY, Input::Handshake { link });
    }

    fn far_end(&self, node: Node, connection: ConnectionId) -> Option<(Node, ConnectionId)> {
        self.links.iter().filter(|link| !link.closed).find_map(|link| match (node, connection) {
            near if near == link.client => Some(link.server),
            near if near == link.server => Some(link.client),
            _ => None,
        })
    }

    /// Closes the link if `node` is an end of it; the other end learns it after `noticed`.
    fn close(&mut self, link: usize, node: Node, noticed: Duration) {
        let Link { client, server, up, closed } = self.links[link];
        if closed || (client.0 != node && server.0 != node) {
            return;
        }
        self.links[link].closed = true;
        let (to, connection) = if client.0 == node { server } else { client };
        if up || to == client.0 {
            self.arrive(to, noticed, Input::Lost(connection));
        }
    }

    fn arrive(&mut self, node: Node, after: Duration, input: Input) {
        self.number += 1;
        self.arrivals.insert((self.now + after, self.number), (node, input));
    }

    /// Compares the trace with `tests/golden/NAME.txt`, or rewrites that with `UPDATE_GOLDEN=1`.
    pub fn assert_golden(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &self.trace).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(self.trace, expected, "{name} differs; rewrite with UPDATE_GOLDEN=1 if that is right");
    }
}

fn erase<E>(output: Output<E>, describe: impl FnOnce(&E) -> String) -> Output<String> {
    match output {
        Output::Connect { connection, protocol, address } => {
            Output::Connect { connection, protocol, address }
        }
        Output::Send { connection, octets } => Output::Send { connection, octets },
        Output::Disconnect { connection } => Output::Disconnect { connection },
        Output::Announce { protocol, octets } => Output::Announce { protocol, octets },
        Output::LookUp { peer } => Output::LookUp { peer },
        Output::Event(event) => Output::Event(describe(&event)),
    }
}

/// Who registered is on the lines before.
fn registrar_event(event: &registrar::Event) -> String {
    let (name, pool, pe, reason) = match event {
        registrar::Event::RegistrationRejected { pool, pe, cause, .. } => {
            return format!("RegistrationRejected {{ pool: {pool:?}, pe: {pe:?}, cause: {cause:?} }}");
        }
        registrar::Event::ElementRegistered { pool, pe, .. } => ("ElementRegistered", pool, pe, None),
        registrar::Event::ElementUpdated { pool, pe, .. } => ("ElementUpdated", pool, pe, None),
        registrar::Event::ElementRemoved { pool, pe, reason, .. } => {
            ("ElementRemoved", pool, pe, Some(reason))
        }
        other => return format!("{other:?}"),
    };
    let reason = reason.map_or(String::new(), |reason| format!(", reason: {reason:?}"));
    format!("{name} {{ pool: {pool:?}, pe: {pe:?}{reason} }}")
}
