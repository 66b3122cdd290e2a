//! Connections between nodes: coming up, carrying messages, and ending as each side learns of it.

use std::time::Duration;

use rserpool_proto::{ConnectionId, ControlProtocol, Protocol, RegistrarAddress, Remote};
use simnet::Link;

use super::node::Machine;
use super::{Event, Node, State, World};

/// How long a transport tries to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    Opening,
    Up,
    Closed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) node: Node,
    pub(super) incarnation: u64,
    pub(super) name: ConnectionId,
    pub(super) stage: Stage,
}

/// An association: who opened it is side 0.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ends: [End; 2],
    pub(super) protocol: ControlProtocol,
    /// It is over TCP.
    pub(super) tcp: bool,
    /// What side 0 sends, and what side 1 sends.
    pub(super) links: [Link; 2],
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Handshake { connection: usize },
    Connected { connection: usize },
    ConnectFailed { connection: usize },
    Lost { connection: usize, side: usize },
    Message { connection: usize, side: usize, octets: Vec<u8> },
    Datagram { from: Node, octets: Vec<u8> },
}

impl World {
    pub(super) fn connect(
        &mut self,
        node: Node,
        name: ConnectionId,
        protocol: ControlProtocol,
        address: RegistrarAddress,
    ) {
        self.opened += 1;
        let tcp = address.protocol == Protocol::Tcp;
        let server = self.listening(protocol, address);
        let server = server.filter(|&at| tcp || !self.without_sctp.contains(&Self::pair(node, at)));
        let Some(server) = server else {
            let at = self.now + CONNECT_TIMEOUT;
            let connection = self.open([(node, name), (node, name)], protocol, tcp);
            return self.arrive(at, node, Input::ConnectFailed { connection });
        };
        let accepted = ConnectionId::accepted(self.opened);
        let connection = self.open([(node, name), (server, accepted)], protocol, tcp);
        let at = self.transmit(connection, 0);
        self.arrive(at, server, Input::Handshake { connection });
        self.arrive(self.now + CONNECT_TIMEOUT, node, Input::ConnectFailed { connection });
    }

    fn listening(&self, protocol: ControlProtocol, address: RegistrarAddress) -> Option<Node> {
        let listens = |machine: &Machine| machine.listens() && machine.port(protocol) == address.port;
        let at = self.places.iter().position(|place| place.ip == address.ip && listens(&place.machine))?;
        Some(Node(at))
    }

    fn open(&mut self, ends: [(Node, ConnectionId); 2], protocol: ControlProtocol, tcp: bool) -> usize {
        let ends = ends.map(|(node, name)| End {
            node,
            incarnation: self.places[node.0].incarnation,
            name,
            stage: Stage::Opening,
        });
        let link = self.link(ends[0].node, ends[1].node);
        self.connections.push(Connection { ends, protocol, tcp, links: [link.clone(), link] });
        let connection = self.connections.len() - 1;
        for (side, end) in ends.into_iter().enumerate() {
            self.names.insert((end.node, end.incarnation, end.name), (connection, side));
        }
        connection
    }

    /// Returns when what this side sends now arrives.
    fn transmit(&mut self, connection: usize, side: usize) -> std::time::Instant {
        self.connections[connection].links[side].ordered(self.now, &mut self.random)
    }

    pub(super) fn found(&self, node: Node, name: ConnectionId) -> Option<(usize, usize)> {
        self.names.get(&(node, self.places[node.0].incarnation, name)).copied()
    }

    pub(super) fn send(&mut self, node: Node, name: ConnectionId, octets: Vec<u8>) {
        let Some((connection, side)) = self.found(node, name) else { return };
        if self.connections[connection].ends[side].stage == Stage::Closed {
            return;
        }
        let to = self.connections[connection].ends[1 - side].node;
        self.tell_message(node, to, connection, &octets);
        let kind = (node, self.connections[connection].protocol, octets.first().copied().unwrap_or(0));
        if self.swallowed.contains(&kind) {
            return self.note(node, "that message is lost");
        }
        let at = self.transmit(connection, side);
        self.arrive(at, to, Input::Message { connection, side: 1 - side, octets });
    }

    /// A node ends a connection: the far end learns it behind what was sent before.
    pub(super) fn disconnect(&mut self, node: Node, name: ConnectionId) {
        let Some((connection, side)) = self.found(node, name) else { return };
        if self.connections[connection].ends[side].stage == Stage::Closed {
            return;
        }
        self.connections[connection].ends[side].stage = Stage::Closed;
        let far = self.connections[connection].ends[1 - side];
        if far.node == node || far.stage == Stage::Closed || (side == 0 && far.stage == Stage::Opening) {
            return;
        }
        let at = self.transmit(connection, side);
        self.arrive(at, far.node, Input::Lost { connection, side: 1 - side });
    }

    /// Nobody is there for this: the sender is told, if the machine is there to tell it.
    pub(super) fn refuse(&mut self, input: &Input) {
        match *input {
            Input::Handshake { connection } => {
                let at = self.transmit(connection, 1);
                let client = self.connections[connection].ends[0].node;
                self.arrive(at, client, Input::ConnectFailed { connection });
            }
            Input::Message { connection, side, .. } => {
                let at = self.transmit(connection, side);
                let sender = self.connections[connection].ends[1 - side].node;
                self.arrive(at, sender, Input::Lost { connection, side: 1 - side });
            }
            Input::Connected { .. }
            | Input::ConnectFailed { .. }
            | Input::Lost { .. }
            | Input::Datagram { .. } => {}
        }
    }

    /// Whether the node an input is for is still the one it was for.
    pub(super) fn is_current(&self, input: &Input) -> bool {
        let (connection, side) = match *input {
            Input::Handshake { connection } => {
                // A server started since is as good: it listens at the same address.
                return self.connections[connection].ends[0].stage != Stage::Closed;
            }
            Input::Connected { connection } | Input::ConnectFailed { connection } => (connection, 0),
            Input::Lost { connection, side } | Input::Message { connection, side, .. } => (connection, side),
            Input::Datagram { .. } => return true,
        };
        let end = self.connections[connection].ends[side];
        self.places[end.node.0].incarnation == end.incarnation
    }

    /// Gives an input to the machine, if its connection is in a stage for it.
    pub(super) fn handle(&mut self, node: Node, input: Input) {
        if !self.is_current(&input) {
            return self.refuse(&input);
        }
        let now = self.now;
        match input {
            Input::Handshake { connection } => return self.accept(node, connection),
            Input::Connected { connection } => {
                let remote = self.remote(connection, 0);
                let Some(name) = self.enter(connection, 0, Stage::Opening, Stage::Up) else { return };
                self.places[node.0].machine.handle_connected(now, name, remote);
            }
            Input::ConnectFailed { connection } => {
                let Some(name) = self.enter(connection, 0, Stage::Opening, Stage::Closed) else { return };
                self.places[node.0].machine.handle_connect_failed(now, name);
            }
            Input::Lost { connection, side } => {
                let Some(name) = self.enter(connection, side, Stage::Up, Stage::Closed) else { return };
                self.places[node.0].machine.handle_lost(now, name);
                self.watch(connection, 1 - side);
            }
            Input::Message { connection, side, octets } => {
                let end = self.connections[connection].ends[side];
                if end.stage == Stage::Closed {
                    return self.refuse(&Input::Message { connection, side, octets });
                }
                self.places[node.0].machine.handle_message(now, end.name, &octets);
            }
            Input::Datagram { from, octets } => {
                let from = self.socket(from);
                self.places[node.0].machine.handle_datagram(now, from, &octets);
            }
        }
        self.drain(node);
    }

    fn enter(&mut self, connection: usize, side: usize, from: Stage, to: Stage) -> Option<ConnectionId> {
        let end = &mut self.connections[connection].ends[side];
        (end.stage == from).then(|| {
            end.stage = to;
            end.name
        })
    }

    fn accept(&mut self, node: Node, connection: usize) {
        let incarnation = self.places[node.0].incarnation;
        let end = &mut self.connections[connection].ends[1];
        (end.incarnation, end.stage) = (incarnation, Stage::Up);
        let name = end.name;
        self.names.insert((node, incarnation, name), (connection, 1));
        let client = self.connections[connection].ends[0].node;
        let at = self.transmit(connection, 1);
        self.arrive(at, client, Input::Connected { connection });
        let (remote, protocol) = (self.remote(connection, 1), self.connections[connection].protocol);
        self.places[node.0].machine.handle_accepted(self.now, name, protocol, remote);
        self.drain(node);
    }

    /// The far end as this side sees it.
    fn remote(&self, connection: usize, side: usize) -> Remote {
        let Connection { ends, protocol, tcp, .. } = &self.connections[connection];
        let far = &self.places[ends[1 - side].node.0];
        let port = if side == 0 { far.machine.port(*protocol) } else { 50_000 };
        let element = self.options.elements_over_tcp && matches!(far.machine, Machine::Element(_));
        let tcp = *tcp || element;
        let protocol = if tcp { Protocol::Tcp } else { Protocol::Sctp };
        Remote { protocol, addresses: vec![far.ip], port, encapsulation: None }
    }

    /// Checks after the transport's time-out whether this side still reaches the other.
    pub(super) fn watch(&mut self, connection: usize, side: usize) {
        let Some(timeout) = self.options.transport_timeout else { return };
        if self.connections[connection].ends[side].stage != Stage::Closed {
            let since = self.now;
            self.agenda.add(since + timeout, Event::PathCheck { connection, side, since });
        }
    }

    /// The transport's time-out is over: if the far end was out of reach all the time, the connection is lost.
    pub(super) fn check_path(&mut self, connection: usize, side: usize, since: std::time::Instant) {
        let [near, far] = [side, 1 - side].map(|side| self.connections[connection].ends[side]);
        let silent_since = self.silent_since(near.node, far.node);
        let gone = far.stage == Stage::Closed || self.places[far.node.0].incarnation != far.incarnation;
        // Connecting has a time-out of its own.
        if near.stage == Stage::Up && (gone || silent_since.is_some_and(|at| at <= since)) {
            self.arrive(self.now, near.node, Input::Lost { connection, side });
        }
    }

    /// Since when nothing comes from there, if so.
    fn silent_since(&self, near: Node, far: Node) -> Option<std::time::Instant> {
        let place = &self.places[far.0];
        let silent = (place.state != State::Running).then_some(place.since);
        let cut = self.cuts.get(&Self::pair(near, far)).filter(|cut| self.now < cut.until);
        [silent, cut.map(|cut| cut.since)].into_iter().flatten().min()
    }

    /// Watches every connection of the node, from both sides.
    pub(super) fn watch_all(&mut self, of: impl Fn(&Connection) -> bool) {
        for connection in 0..self.connections.len() {
            if of(&self.connections[connection]) {
                self.watch(connection, 0);
                self.watch(connection, 1);
            }
        }
    }
}
