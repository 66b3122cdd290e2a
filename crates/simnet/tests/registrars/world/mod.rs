//! The model's world: registrars, pool elements and pool users at nodes, connections over links between them.

mod connections;
mod faults;
mod node;
mod setting;
mod stranger;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rserpool_proto::pe::PoolElement;
use rserpool_proto::pu::{PoolUser, Selected};
use rserpool_proto::registrar::Registrar;
use rserpool_proto::wire::{MessageType, enrp};
use rserpool_proto::{ConnectionId, ControlProtocol, Output};
use simnet::{Agenda, Ladder, Link, Random};

use self::connections::{Connection, Input};
use self::faults::Cut;
pub(crate) use self::node::Told;
use self::node::{ENRP_PORT, Machine};
pub(crate) use self::setting::{Options, pool};
use crate::describe;

const KEEP_ALIVE_ACK: u8 = MessageType::ENDPOINT_KEEP_ALIVE_ACK.0;

const PRESENCE: u8 = enrp::MessageType::PRESENCE.0;

/// Names a node of the world.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Node(usize);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Running,
    Frozen,
    Killed,
    Off,
}

struct Place {
    name: String,
    ip: IpAddr,
    machine: Machine,
    state: State,
    /// When it came into this state.
    since: Instant,
    /// Counts its starts.
    incarnation: u64,
    /// What arrived while it was frozen.
    waiting: VecDeque<Input>,
}

#[derive(Debug)]
enum Event {
    Arrival { to: Node, input: Input },
    PathCheck { connection: usize, side: usize, since: Instant },
}

/// What passed, for bounds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Messages of either protocol.
    pub(crate) messages: u64,
    /// Connections asked for.
    pub(crate) connects: u64,
    /// Octets of the longest message.
    pub(crate) longest: usize,
}

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) random: Random,
    start: Instant,
    now: Instant,
    agenda: Agenda<Event>,
    places: Vec<Place>,
    connections: Vec<Connection>,
    /// Which connection, and which side of it, a machine means.
    names: BTreeMap<(Node, u64, ConnectionId), (usize, usize)>,
    cuts: BTreeMap<(Node, Node), Cut>,
    /// Names of accepted connections given.
    opened: u64,
    pub(crate) traffic: BTreeMap<Node, Traffic>,
    /// What machines told since it was last looked at.
    pub(crate) told: Vec<(Instant, Node, Told)>,
    ladder: Option<Ladder>,
    /// Whether the last keep-alive over a connection asked for a change of home.
    asked_home: BTreeMap<usize, bool>,
    /// The last presence of one registrar to another.
    presences: BTreeMap<(Node, Node), Vec<u8>>,
    /// Events that are not written down.
    pub(crate) hushed: Option<&'static str>,
    /// Writes down repeated presences as well.
    pub(crate) repetitions: bool,
    /// Between these SCTP does not come up.
    without_sctp: Vec<(Node, Node)>,
    /// What was sent, if it is wanted.
    pub(crate) sent: Option<Vec<(Node, Node, Vec<u8>)>>,
    /// Messages that never arrive, by who sends them and their first octet.
    swallowed: Vec<(Node, ControlProtocol, u8)>,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let start = simnet::start();
        Self {
            random: Random::new(options.seed),
            ladder: options.ladder.then(|| Ladder::new(start)),
            options,
            start,
            now: start,
            agenda: Agenda::new(),
            places: Vec::new(),
            connections: Vec::new(),
            names: BTreeMap::new(),
            cuts: BTreeMap::new(),
            opened: 0,
            traffic: BTreeMap::new(),
            told: Vec::new(),
            asked_home: BTreeMap::new(),
            presences: BTreeMap::new(),
            hushed: None,
            repetitions: false,
            without_sctp: Vec::new(),
            sent: None,
            swallowed: Vec::new(),
        }
    }

    /// Returns the time that has passed.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Returns the time from the start until then.
    pub(crate) fn since_start(&self, at: Instant) -> Duration {
        at - self.start
    }

    pub(crate) fn ip(&self, node: Node) -> IpAddr {
        self.places[node.0].ip
    }

    pub(crate) fn name(&self, node: Node) -> &str {
        &self.places[node.0].name
    }

    pub(crate) fn is_running(&self, node: Node) -> bool {
        self.places[node.0].state == State::Running
    }

    pub(crate) fn is_frozen(&self, node: Node) -> bool {
        self.places[node.0].state == State::Frozen
    }

    /// Whether its machine was neither killed nor without power.
    pub(crate) fn is_alive(&self, node: Node) -> bool {
        self.is_running(node) || self.is_frozen(node)
    }

    /// Since when the node is in its state.
    pub(crate) fn since(&self, node: Node) -> Duration {
        self.places[node.0].since - self.start
    }

    /// Whether nothing passes between them.
    pub(crate) fn is_cut(&self, one: Node, other: Node) -> bool {
        self.cuts.get(&Self::pair(one, other)).is_some_and(|cut| self.now < cut.until)
    }

    pub(crate) fn registrar(&self, node: Node) -> &Registrar {
        let Machine::Registrar(registrar) = &self.places[node.0].machine else { panic!("no registrar") };
        registrar
    }

    pub(crate) fn element(&self, node: Node) -> &PoolElement {
        let Machine::Element(element) = &self.places[node.0].machine else { panic!("no element") };
        element
    }

    pub(crate) fn with_registrar<T>(
        &mut self,
        node: Node,
        command: impl FnOnce(&mut Registrar, Instant) -> T,
    ) -> T {
        let now = self.now;
        let Machine::Registrar(registrar) = &mut self.places[node.0].machine else { panic!("no registrar") };
        let result = command(registrar, now);
        self.drain(node);
        result
    }

    pub(crate) fn with_element<T>(
        &mut self,
        node: Node,
        command: impl FnOnce(&mut PoolElement, Instant) -> T,
    ) -> T {
        let now = self.now;
        let Machine::Element(element) = &mut self.places[node.0].machine else { panic!("no element") };
        let result = command(element, now);
        self.drain(node);
        result
    }

    pub(crate) fn with_user<T>(
        &mut self,
        node: Node,
        command: impl FnOnce(&mut PoolUser, Instant) -> T,
    ) -> T {
        let now = self.now;
        let Machine::User(user) = &mut self.places[node.0].machine else { panic!("no user") };
        let result = command(user, now);
        self.drain(node);
        result
    }

    /// Selects an element and writes it down.
    pub(crate) fn select(&mut self, node: Node) -> Option<Selected> {
        let selected = self.with_user(node, PoolUser::next_element);
        let text = match &selected {
            Some(one) => format!("selects {}{}", one.pe, if one.stale { " (stale)" } else { "" }),
            None => "selects none".to_string(),
        };
        self.note(node, &text);
        selected
    }

    /// Writes down what passes from now on.
    pub(crate) fn begin_ladder(&mut self) {
        self.ladder = Some(Ladder::new(self.now));
    }

    /// Lets no association over SCTP come up between them.
    pub(crate) fn without_sctp(&mut self, one: Node, other: Node) {
        self.without_sctp.push(Self::pair(one, other));
    }

    /// Lets no message of this type arrive that the node sends.
    pub(crate) fn swallow(&mut self, from: Node, protocol: ControlProtocol, kind: u8) {
        self.swallowed.push((from, protocol, kind));
    }

    /// Lets every message arrive again.
    pub(crate) fn swallow_nothing(&mut self) {
        self.swallowed.clear();
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Does the next thing that happens until `end`, if there is one.
    fn step(&mut self, end: Instant) -> bool {
        let timers = self.places.iter().enumerate().filter(|(_, place)| place.state == State::Running);
        let timer = timers.filter_map(|(at, place)| Some((place.machine.poll_timeout()?, Node(at)))).min();
        let event = self.agenda.next_at();
        match (event, timer) {
            (Some(at), timer) if at <= end && timer.is_none_or(|(due, _)| at <= due) => {
                let (at, event) = self.agenda.take().expect("it is the next");
                self.now = self.now.max(at);
                self.happen(event);
                true
            }
            (_, Some((due, node))) if due <= end => {
                self.now = self.now.max(due);
                self.fire_due(node);
                true
            }
            _ => false,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival { to, input } => match self.places[to.0].state {
                State::Running => self.handle(to, input),
                State::Frozen => self.places[to.0].waiting.push_back(input),
                State::Killed => self.refuse(&input),
                State::Off => {}
            },
            Event::PathCheck { connection, side, since } => self.check_path(connection, side, since),
        }
    }

    fn fire_due(&mut self, node: Node) {
        let now = self.now;
        let machine = &mut self.places[node.0].machine;
        if machine.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        machine.handle_timeout(now);
        let next = machine.poll_timeout();
        assert!(next.is_none_or(|at| at > now), "{}: timer not served", self.places[node.0].name);
        self.drain(node);
    }

    fn drain(&mut self, node: Node) {
        while let Some(output) = self.places[node.0].machine.poll_output() {
            self.perform(node, output);
        }
    }

    fn perform(&mut self, node: Node, output: Output<Told>) {
        match output {
            Output::Connect { connection, protocol, address } => {
                self.traffic.entry(node).or_default().connects += 1;
                self.connect(node, connection, protocol, address);
            }
            Output::Send { connection, octets } => self.send(node, connection, octets),
            Output::Disconnect { connection } => self.disconnect(node, connection),
            Output::Announce { protocol, octets } => self.announce(node, protocol, &octets),
            // Everybody is configured by address.
            Output::LookUp { .. } => {}
            Output::Event(told) => {
                if let Some(ladder) = &mut self.ladder {
                    let text = describe::told(&told);
                    if self.hushed.is_none_or(|hushed| !text.starts_with(hushed)) {
                        ladder.event(self.now, &self.places[node.0].name, text);
                    }
                }
                self.told.push((self.now, node, told));
            }
        }
    }

    /// A datagram to everybody who listens to the group.
    fn announce(&mut self, node: Node, protocol: ControlProtocol, octets: &[u8]) {
        for to in (0..self.places.len()).map(Node).filter(|to| *to != node) {
            let listens = matches!(self.places[to.0].machine, Machine::Registrar(_));
            if protocol != ControlProtocol::Enrp || !listens || self.is_cut(node, to) {
                continue;
            }
            let link = self.link(node, to);
            if let Some(at) = link.datagram(self.now, &mut self.random) {
                self.arrive(at, to, Input::Datagram { from: node, octets: octets.to_vec() });
            }
        }
    }

    fn socket(&self, node: Node) -> SocketAddr {
        SocketAddr::new(self.places[node.0].ip, ENRP_PORT)
    }

    fn arrive(&mut self, at: Instant, to: Node, input: Input) {
        self.agenda.add(at, Event::Arrival { to, input });
    }

    fn link(&self, one: Node, other: Node) -> Link {
        let mut link = self.options.link.clone();
        if let Some(cut) = self.cuts.get(&Self::pair(one, other)) {
            link.cut(cut.until);
        }
        link
    }

    fn tell_message(&mut self, from: Node, to: Node, connection: usize, octets: &[u8]) {
        if let Some(sent) = &mut self.sent {
            sent.push((from, to, octets.to_vec()));
        }
        let traffic = self.traffic.entry(from).or_default();
        traffic.messages += 1;
        traffic.longest = traffic.longest.max(octets.len());
        if let Some(ladder) = &mut self.ladder {
            let protocol = self.connections[connection].protocol;
            // Regular keep-alives are left out, and presences that say what the last one said.
            let way = (from, to);
            let ask = describe::is_home_change(protocol, octets);
            if let Some(asked) = ask {
                self.asked_home.insert(connection, asked);
            }
            let ack = protocol == ControlProtocol::Asap && octets.first() == Some(&KEEP_ALIVE_ACK);
            let regular = match ask {
                Some(home) => !home,
                None => ack && self.asked_home.get(&connection) != Some(&true),
            };
            let presence = octets.first() == Some(&PRESENCE) && protocol == ControlProtocol::Enrp;
            let told = presence.then(|| self.presences.insert(way, octets.to_vec())).flatten();
            if !regular && (self.repetitions || told.is_none_or(|told| told != octets)) {
                let [from, to] = [from, to].map(|node| &self.places[node.0].name);
                ladder.message(self.now, from, to, describe::message(protocol, octets));
            }
        }
    }

    pub(crate) fn note(&mut self, node: Node, text: &str) {
        if let Some(ladder) = &mut self.ladder {
            ladder.event(self.now, &self.places[node.0].name, text);
        }
    }

    /// Writes down what happens next, in words.
    pub(crate) fn remark(&mut self, text: &str) {
        if let Some(ladder) = &mut self.ladder {
            ladder.event(self.now, "*", text);
        }
    }

    /// Returns what passed.
    ///
    /// # Panics
    ///
    /// When the world was made without a ladder.
    pub(crate) fn ladder(&self) -> &str {
        self.ladder.as_ref().expect("made with a ladder").text()
    }
}
